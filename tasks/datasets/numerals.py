"""How people write numbers: 1,234 and 20,5 and 1 234, told apart where the file says which is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.names import shown
from jko.preparation.table import Marks

MARKS = {"point": ".", "comma": ",", "space": " ", "apostrophe": "'", "none": ""}
#: minus signs, spaces and apostrophes of typesetting
TYPESET = str.maketrans("\u2212\u2013\uff0d\u00a0\u202f\u2009\u2007\u2019", "---    '")
PLAIN = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
#: every other way to write a number, by what it says of the marks
FORMS = {
    "comma groups": r"[+-]?\d{1,3}(?:(?:,\d{3}){2,}(?:\.\d*)?|(?:,\d{3})+\.\d*)",
    "point groups": r"[+-]?\d{1,3}(?:(?:\.\d{3}){2,}(?:,\d*)?|(?:\.\d{3})+,\d*)",
    "either comma": r"[+-]?[1-9]\d{0,2},\d{3}",
    "decimal comma": r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?",
    "either point": r"[+-]?[1-9]\d{0,2}\.\d{3}",
    "decimal point": r"[+-]?\d*\.\d*(?:[eE][+-]?\d+)?",
    "space": r"[+-]?\d{1,3}(?: \d{3})+",
    "space, decimal comma": r"[+-]?\d{1,3}(?: \d{3})+,\d*",
    "space, decimal point": r"[+-]?\d{1,3}(?: \d{3})+\.\d*",
    "apostrophe": r"[+-]?\d{1,3}(?:'\d{3})+",
    "apostrophe, decimal comma": r"[+-]?\d{1,3}(?:'\d{3})+,\d*",
    "apostrophe, decimal point": r"[+-]?\d{1,3}(?:'\d{3})+\.\d*",
}
NUMBER = re.compile("|".join(f"(?:{form})" for form in (PLAIN, *FORMS.values())))
INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Hints:
    """What is known of a file beside the forms of its numbers.

    Args:
        separator: of its fields.
        mixed: marks after which every cell of a column has three digits, or no mark and at most 999.
        known: the marks of another file that this one belongs to.
    """

    separator: str = ","
    mixed: frozenset[str] = frozenset()
    known: Marks | None = None


def tidy(cells: pd.Series) -> pd.Series:
    """Text cells without outer spaces and with plain minus signs, spaces and apostrophes."""
    places, words = pd.factorize(cells.astype(str))  # a word that occurs often is tidied once
    plain = pd.Series(words).str.translate(TYPESET).str.strip()
    return pd.Series(plain.array.take(places), index=cells.index)


def forms_of(cells: pd.Series) -> dict[str, str]:
    """Which forms occur among tidy cells, each with an example."""
    unique = pd.Series(cells.unique())
    found = {}
    for name, form in FORMS.items():
        own = unique[unique.str.fullmatch(form)]
        if len(own):
            found[name] = str(own.iloc[0])
            unique = unique.drop(own.index)
    if "either point" in found and unique.str.fullmatch(r"[+-]?\d{4,}").any():
        found.setdefault("decimal point", found["either point"])  # thousands are not grouped here
    return found


def mixed_marks(cells: pd.Series) -> frozenset[str]:
    """Marks that may be decimal or between thousands, some cells having none: 287 beside 3.315.

    Args:
        cells: tidy, not empty ones of one column.
    """
    found = set()
    for mark in ("comma", "point"):
        either = cells.str.fullmatch(FORMS[f"either {mark}"])
        if either.any() and not either.all() and cells[~either].str.fullmatch(r"[+-]?\d{1,3}").all():
            found.add(mark)
    return frozenset(found)


def find_marks(forms: Mapping[str, str], settings: Data, hints: Hints, place: str) -> Marks:
    """The marks of a file from the forms of its numbers and the settings.

    Args:
        forms: name of the form to an example.
        settings: data.decimal and data.thousands; what they leave open is inferred.
        hints: what else is known of the file.
        place: the file.

    Raises:
        InputError: the numbers contradict each other, or can be read in two ways.
    """
    decimal = settings.decimal if settings.decimal != "auto" else _decimal(forms, settings, hints, place)
    if settings.thousands != "auto":
        return Marks(MARKS[decimal], MARKS[settings.thousands])
    between = {mark: any(name.startswith(mark) for name in forms) for mark in ("space", "apostrophe")}
    if decimal == "comma":
        between["point"] = "point groups" in forms or "either point" in forms
        told = settings.decimal != "auto" or (hints.known is not None and hints.known.decimal == ",")
        if "either point" in forms and "point groups" not in forms and not told:
            raise _refusal(
                place, forms["either point"], "beside decimal commas",
                f"data.thousands=point reads it as {forms['either point'].replace('.', '')}",
            )  # fmt: skip
    else:
        between["comma"] = "comma groups" in forms or "either comma" in forms
    used = [name for name, there in between.items() if there]
    if len(used) > 1:
        raise InputError(f"{place}: thousands are separated by {' and by '.join(used)}; give data.thousands")
    return Marks(MARKS[decimal], MARKS[used[0]] if used else "")


def _decimal(forms: Mapping[str, str], settings: Data, hints: Hints, place: str) -> str:
    """What stands before decimals, as the forms say."""
    if settings.thousands in ("comma", "point"):
        return {"comma": "point", "point": "comma"}[settings.thousands]
    commas = [
        cell for name, cell in forms.items() if name.endswith("decimal comma") or name == "point groups"
    ]
    points = [
        cell for name, cell in forms.items() if name.endswith("decimal point") or name == "comma groups"
    ]
    if commas and points:
        raise InputError(
            f"{place}: {shown(commas[0])} has a decimal comma and {shown(points[0])} a decimal point; "
            "write all "
            "numbers alike, or give data.decimal"
        )
    either = [mark for mark in ("comma", "point") if f"either {mark}" in forms]
    if commas or points or not either:
        return "comma" if commas else "point"
    if hints.known is not None:
        return {mark: word for word, mark in MARKS.items()}[hints.known.decimal]
    others = settings.thousands != "auto" or any(name.startswith(("space", "apostrophe")) for name in forms)
    usual = {"comma": hints.separator == ";", "point": hints.separator != ";"}[either[0]]
    if len(either) == 1 and (others or (usual and either[0] not in hints.mixed)):
        return either[0]
    cell, mark = forms[f"either {either[0]}"], MARKS[either[0]]
    raise _refusal(
        place, cell, "and can be read in two ways",
        f"data.thousands={either[0]} reads it as {cell.replace(mark, '')}, "
        f"data.decimal={either[0]} as {cell.replace(mark, '.')}",
    )  # fmt: skip


def _refusal(place: str, cell: str, why: str, way_out: str) -> InputError:
    return InputError(f"{place}: a number is written {shown(cell)} {why}; {way_out}")


def parsed(cells: pd.Series, marks: Marks) -> NDArray[np.float64]:
    """Tidy cells as numbers, NaN where one is none with these marks."""
    decimal, between = re.escape(marks.decimal), re.escape(marks.thousands)
    whole = rf"\d{{1,3}}(?:{between}\d{{3}})+|\d+" if marks.thousands else r"\d+"
    form = rf"[+-]?(?:(?:{whole})(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?"
    right = cells.str.fullmatch(form)
    plain = cells.str.replace(marks.thousands, "", regex=False) if marks.thousands else cells
    plain = plain.str.replace(marks.decimal, ".", regex=False).where(right)
    return pd.to_numeric(plain, errors="coerce").to_numpy(dtype=float)
