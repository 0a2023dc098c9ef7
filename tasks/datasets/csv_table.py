"""A CSV as a table of named columns, its numbers read however they are written."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.names import shown
from jko.preparation.table import Marks
from tasks.datasets.dialect import Dialect, find_dialect
from tasks.datasets.formats import dressed, refuse_dressed
from tasks.datasets.holes import is_text, no_numbers, said_of
from tasks.datasets.numerals import (
    MARKS,
    NUMBER,
    PLAIN,
    Hints,
    find_marks,
    forms_of,
    mixed_marks,
    parsed,
    tidy,
)
from tasks.datasets.text import Text, text_of
from tasks.datasets.written import Written

#: of a column of more numbers than words, the share of cells that must be words if it is to be text
WORDS = 0.05
#: bytes at the end of a file in which blank lines are looked for
TAIL = 4096


@dataclass(frozen=True)
class _Way:
    """How a file is read.

    Args:
        source: its text.
        dialect: how it is written.
        settings: what is told of it.
        known: marks of another file like this one, for what can be read in two ways.
        words: different cells up to which numbers in a format that is not read are words.
        missing: cells that stand for a missing number, by column.
        text: columns of numbers and words that are text.
    """

    source: Text
    dialect: Dialect
    settings: Data
    known: Marks | None
    words: float
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)
    text: frozenset[str] = frozenset()


def read_csv(path: Path, settings: Data, known: Marks | None = None, *, words: float = 0) -> Written:
    """The file as a table of named columns.

    Args:
        path: the file.
        settings: how it is written, where that is told.
        known: marks of another file like this one, for what can be read in two ways.
        words: different cells up to which columns of numbers in a format that is not read, or of numbers and
            words, are text; of more, they are refused.

    Raises:
        InputError: no table, or numbers in a format that is not read or can be read in two ways.
    """
    source = text_of(path)
    way = _Way(source, find_dialect(source, settings), settings, known, words)
    frame = _read(way)
    missing = {name: found for name in _wanted(frame, settings) if (found := no_numbers(frame[name]))}
    if missing:
        way = replace(way, missing=missing)
        frame = _read(way)
    written = _by_marks(way, frame)
    notes = (*way.dialect.notes, *written.notes, *(said_of(name, cells) for name, cells in missing.items()))
    return replace(written, notes=notes, how=way.dialect.says(written.marks))


def _by_marks(way: _Way, frame: pd.DataFrame) -> Written:
    """The table with the numbers that its marks make of its cells."""
    settings = way.settings
    explicit = settings.decimal != "auto" or settings.thousands != "auto"
    wanted = _wanted(frame, settings)
    written = {name: tidy(frame[name].dropna()) for name in wanted if is_text(frame[name])}
    unusual = {name for name, cells in written.items() if _is_unusual(cells)}
    notes = []
    for name, cells in written.items():
        if name not in unusual and (note := _dressed(way, name, cells)):
            notes.append(note)
    text = {name: note for name, cells in written.items() if (note := _mixed(way, name, cells))}
    way = replace(way, text=frozenset(text))
    notes += text.values()
    if unusual - text.keys() or explicit:
        marked = _read_marked(way)
        return replace(marked, notes=(*notes, *marked.notes))
    broken = [frame[name].to_numpy() for name in wanted if pd.api.types.is_float_dtype(frame[name])]
    if any(map(_shows_point, broken)):
        return Written(frame, tuple(notes), Marks())
    # what is left are columns with empty cells, and 3.315 or 3.000, which may be thousands
    marked = _read_marked(way) if broken else Written(frame)
    plain = marked.marks in (None, Marks())
    return replace(marked, frame=frame if plain else marked.frame, notes=(*notes, *marked.notes))


def _dressed(way: _Way, name: str, cells: pd.Series) -> str:
    """A note on numbers in a format that is not read: <=50K and >50K are two words of a table.

    Raises:
        InputError: there are such numbers, and text is none of what is read.
    """
    if cells.nunique() > way.words:
        refuse_dressed(cells, f"{way.source.path}: column {shown(name)}")
        return ""
    example = dressed(cells)
    return f"column {shown(name)}: {shown(example)} and the like are taken as words" if example else ""


def _mixed(way: _Way, name: str, cells: pd.Series) -> str:
    """A note on numbers among which there are words; empty where there are none, or too few to be meant."""
    numbers = cells.str.fullmatch(NUMBER.pattern)
    words = cells[~numbers]
    if cells.nunique() > way.words or 2 * numbers.sum() <= len(cells) or len(words) < WORDS * len(cells):
        return ""
    return f"column {shown(name)} holds numbers and words as {shown(words.iloc[0])}: taken as text"


def _shows_point(values: NDArray[np.float64]) -> bool:
    """Whether some numbers read with decimal points could not be thousands: 0.5, 1.25, 1234.5."""
    parts = values[np.isfinite(values) & (values != np.rint(values))]
    thousandths = np.abs(parts * 1000 - np.rint(parts * 1000)) < 1e-6
    return bool((~thousandths | (np.abs(parts) < 1) | (np.abs(parts) >= 1000)).any())


def _read(way: _Way, dtype: type[str] | None = None) -> pd.DataFrame:
    path, dialect = way.source.path, way.dialect
    single = len(dialect.names) == 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                way.source.open(), sep=r"\s+" if dialect.separator == " " else dialect.separator, header=None,
                names=list(dialect.names), skiprows=dialect.skip, skipinitialspace=True, index_col=False,
                encoding=dialect.encoding, low_memory=False, skip_blank_lines=not single, dtype=dtype,
                quotechar=dialect.quote, na_values=dict(way.missing) or None,
            )  # fmt: skip
    except pd.errors.ParserWarning:
        raise InputError(
            f"{path}: some rows have more fields than the header has names (data.separator says what "
            "separates "
            "fields, data.decimal and data.thousands how numbers are written)"
        ) from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: the table has no rows") from None
    except (pd.errors.ParserError, UnicodeError, ValueError, OverflowError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: not a readable CSV table ({first})") from None
    return frame.iloc[: len(frame) - _blank_lines(way.source, frame)] if single else frame


def _blank_lines(source: Text, frame: pd.DataFrame) -> int:
    """Blank lines at the end of a table of one column: between others they are empty cells."""
    empty = frame.iloc[:, 0].isna().to_numpy()[::-1]
    with source.open() as stream:
        stream.seek(max(0, source.size - TAIL))
        tail = stream.read().replace(b"\r\n", b"\n")
    lines = tail[len(tail.rstrip()) :].count(b"\n") - 1
    return min(max(lines, 0), int(np.argmin(empty)) if not empty.all() else len(empty))


def _wanted(frame: pd.DataFrame, settings: Data) -> list[str]:
    """The columns that are asked for; all by default."""
    context = settings.context if isinstance(settings.context, tuple) else ()
    asked = None if settings.columns is None else {*settings.columns, *context}
    return [name for name in frame.columns if asked is None or name in asked]


def _is_unusual(cells: pd.Series) -> bool:
    """Whether most cells are numbers, and some of them written in another way than 1234.5."""
    numbers = cells.str.fullmatch(NUMBER.pattern)
    plain = cells.str.fullmatch(PLAIN) & cells.str.isascii()
    return bool(2 * numbers.sum() > len(cells) and (numbers & ~plain).any()) or bool(
        2 * numbers.sum() > len(cells) and plain.all()
    )


def _read_marked(way: _Way) -> Written:
    """The table read as text, its columns of numbers parsed by the marks that they show."""
    path, frame = way.source.path, _read(way, dtype=str)
    cells = {}
    for name in _wanted(frame, way.settings):
        if name in way.text:
            continue
        own = tidy(frame[name].dropna())
        if len(own) and 2 * own.str.fullmatch(NUMBER.pattern).sum() > len(own):
            cells[name] = own
    forms: dict[str, str] = {}
    for own in cells.values():
        forms = {**forms_of(own), **forms}
    mixed = frozenset[str]().union(*map(mixed_marks, cells.values()))
    marks = find_marks(forms, way.settings, Hints(way.dialect.separator, mixed, way.known), str(path))
    for name, own in cells.items():
        values = pd.Series(parsed(own, marks), index=own.index)
        words = _spelt(own)
        values = values.where(~words.notna(), words)
        bad = values.isna() & ~own.str.lower().isin(("nan", "-nan"))
        if bad.any():
            row = int(bad.index[int(np.argmax(bad.to_numpy()))])
            raise InputError(
                f"{path}: column {shown(name)} holds text {shown(frame[name].iloc[row])} at data row "
                f"{row + 1}; "
                f"only numbers are allowed ({_words(marks)})"
            )
        frame[name] = _whole(own, values, marks) if len(own) == len(frame) else values.reindex(frame.index)
    return Written(frame, _notes(marks), marks if forms else None)


def _whole(cells: pd.Series, values: pd.Series, marks: Marks) -> pd.Series:
    """Numbers as integers where all of them are written as such."""
    whole = bool((values.abs() < 2**53).all()) and not cells.str.contains(f"[{marks.decimal}a-zA-Z]").any()
    return values.astype("int64") if whole else values


def _spelt(cells: pd.Series) -> pd.Series:
    """Infinities as words, which are refused later by their name; NaN elsewhere."""
    known = {"inf": np.inf, "+inf": np.inf, "infinity": np.inf, "-inf": -np.inf, "-infinity": -np.inf}
    return cells.str.lower().map(known).astype(float)


def _words(marks: Marks) -> str:
    names = {mark: name for name, mark in MARKS.items()}
    between = f", {names[marks.thousands]} between thousands" if marks.thousands else ""
    return f"with a decimal {names[marks.decimal]}{between}"


def _notes(marks: Marks) -> tuple[str, ...]:
    if marks == Marks():
        return ()
    return (f"numbers are read {_words(marks)}",)
