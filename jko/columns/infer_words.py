"""The kind of a column of text or dates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jko.columns.aside import Text
from jko.columns.column import Values
from jko.columns.dates import WORDS, Dates, forms_of, resolution
from jko.columns.found import Found, plain_cell
from jko.columns.levels import Boolean, Categorical, Ordinal
from jko.preparation.names import listed, shown

#: levels at most of a category, and rows for each at least
MOST_LEVELS, ROWS_EACH = 200, 2
#: levels of which more than so many have a single row are warned of
RARE = 0.2
#: levels that often stand for a missing cell
MARKS = frozenset(("?", "-", "--", ".", "", "*", "..."))
#: words for no and yes
PAIRS = (
    ("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("off", "on"), ("absent", "present"),
    ("nein", "ja"), ("n", "j"), ("falsch", "wahr"), ("non", "oui"), ("faux", "vrai"), ("no", "sí"),
    ("no", "si"), ("falso", "verdadero"),
)  # fmt: skip
#: words in an order, low to high
SCALES = (
    ("very low", "low", "medium", "high", "very high"),
    ("very low", "low", "moderate", "high", "very high"),
    ("none", "mild", "moderate", "severe"),
    ("xs", "s", "m", "l", "xl", "xxl"),
    ("small", "medium", "large"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
    ("poor", "fair", "good", "very good", "excellent", "ideal"),
    ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    ("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
)


def word_kind(name: str, some: Values, levels: Values, order: tuple[object, ...]) -> Found:
    """The kind of a column of objects, most often text, with at least two different ones.

    Args:
        name: of the column.
        some: cells that kinds are told from.
        levels: the different cells of all rows, the commonest first.
        order: the levels of an ordered categorical.
    """
    if order:
        return Found(
            Ordinal(name=name, levels=tuple(map(plain_cell, order))), "an ordered categorical of the table"
        )
    if not all(isinstance(cell, str | bool | int | float) for cell in levels):
        kinds = listed(sorted({type(cell).__name__ for cell in levels}))
        return Found(Text(name=name), f"cells of other kinds than text and numbers ({kinds}): left out")
    written = {str(cell).strip().lower(): cell for cell in levels}
    if len(levels) == 2 and (pair := next((pair for pair in PAIRS if set(pair) == set(written)), None)):
        found = tuple(written[word] for word in pair)
        return Found(Boolean(name=name, levels=found), f"{found[0]} and {found[1]}")
    if all(isinstance(cell, str) for cell in levels) and (dates := _written_dates(name, levels)):
        return dates
    if len(written) == len(levels) > 2 and (
        scale := next((s for s in SCALES if set(written) <= set(s)), None)
    ):
        ordered = tuple(written[word] for word in scale if word in written)
        return Found(Ordinal(name=name, levels=ordered), f"words in an order, {ordered[0]} to {ordered[-1]}")
    return _category(name, some, levels)


def _category(name: str, some: Values, levels: Values) -> Found:
    """Categories, or free text where there are too many."""
    count = len(levels)
    if count > MOST_LEVELS or ROWS_EACH * count > len(some):
        example = shown(levels[0])
        return Found(Text(name=name), f"free text, {count} different cells such as {example}: left out")
    warnings = []
    folded = {str(cell).strip().lower() for cell in levels}
    if len(folded) < count:
        warnings.append(f"{count - len(folded)} levels differ from others by spaces or capitals alone")
    marks = [shown(cell) for cell in levels if str(cell).strip() in MARKS]
    if marks:
        warnings.append(f"{listed(marks)} may stand for a missing cell: then leave it empty in the file")
    once = count - len(_repeated(some))
    if once > RARE * count:
        warnings.append(f"{once} of {count} levels have one row only")
    found = tuple(plain_cell(cell) for cell in levels)
    what = "text" if all(isinstance(cell, str) for cell in levels) else "cells of several types"
    return Found(Categorical(name=name, levels=found), f"{what}, {count} different ones", tuple(warnings))


def _repeated(some: Values) -> set[object]:
    once, more = set[object](), set[object]()
    for cell in some:
        (more if cell in once else once).add(cell)
    return more


def _written_dates(name: str, levels: Values) -> Found | None:
    """Dates that are written as text; ``None`` for other text."""
    forms = forms_of(levels)
    if not forms:
        return None
    form, moments = next(iter(forms.items()))
    warnings: tuple[str, ...] = ()
    if len(forms) > 1:
        other = list(forms)[1]
        warnings = (
            f"dates can be read as {form} or as {other}; they are read as {form}: edit form to change it",
        )
    return _dates(name, moments, form, warnings)


def date_kind(name: str, moments: NDArray[np.datetime64]) -> Found:
    """The kind of a column of at least two different dates of numpy's type."""
    return _dates(name, moments, None, (), dtype=str(moments.dtype))


def _dates(
    name: str,
    moments: NDArray[np.datetime64],
    form: str | None,
    warnings: tuple[str, ...],
    dtype: str = "datetime64[us]",
) -> Found:
    unit, step = resolution(moments)
    origin = str(moments.min().astype(f"M8[{unit}]"))
    column = Dates(name=name, unit=unit, step=step, origin=origin, form=form, dtype=dtype)
    steps = WORDS[unit] if step == 1 else f"steps of {step} {WORDS[unit]}"
    return Found(column, f"dates to {steps}" + ("" if form is None else f", written {form}"), warnings)
