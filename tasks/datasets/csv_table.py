"""A CSV as a table of named columns, its numbers read however they are written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.names import listed, shown
from jko.preparation.table import Marks
from tasks.datasets.dialect import Dialect, find_dialect
from tasks.datasets.formats import refuse_dressed
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

#: looks at a column of text: its tidy cells, and file and column for a sentence
OnText = Callable[[pd.Series, str], None]
#: bytes at the end of a file in which blank lines are looked for
TAIL = 4096


@dataclass(frozen=True)
class Written:
    """A table as it was read.

    Args:
        frame: its columns.
        notes: sentences on how it was read.
        marks: those of its numbers; ``None`` where no number shows one.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    marks: Marks | None = None


def read_csv(
    path: Path, settings: Data, known: Marks | None = None, *, dressed: OnText = refuse_dressed
) -> Written:
    """The file as a table of named columns.

    Args:
        path: the file.
        settings: how it is written, where that is told.
        known: marks of another file like this one, for what can be read in two ways.
        dressed: what is done about columns of text, which may be numbers in a format that is not read.

    Raises:
        InputError: no table, or numbers in a format that is not read or can be read in two ways.
    """
    dialect = find_dialect(path, settings)
    frame = _read(path, dialect)
    _refuse_lost_digits(frame, path)
    explicit = settings.decimal != "auto" or settings.thousands != "auto"
    wanted = _wanted(frame, settings)
    names = [name for name in wanted if _is_text(frame[name])]
    written = {name: tidy(frame[name].dropna()) for name in names}
    unusual = {name: cells for name, cells in written.items() if _is_unusual(cells)}
    for name, cells in written.items():
        if name not in unusual:
            dressed(cells, f"{path}: column {shown(name)}")
    if unusual or explicit:
        return _read_marked(path, dialect, settings, known)
    broken = [frame[name].to_numpy() for name in wanted if pd.api.types.is_float_dtype(frame[name])]
    if any(map(_shows_point, broken)):
        return Written(frame, dialect.notes, Marks())
    # what is left are columns with empty cells, and 3.315 or 3.000, which may be thousands
    marked = _read_marked(path, dialect, settings, known) if broken else Written(frame)
    return Written(frame, dialect.notes, marked.marks) if marked.marks in (None, Marks()) else marked


def _shows_point(values: NDArray[np.float64]) -> bool:
    """Whether some numbers read with decimal points could not be thousands: 0.5, 1.25, 1234.5."""
    parts = values[np.isfinite(values) & (values != np.rint(values))]
    thousandths = np.abs(parts * 1000 - np.rint(parts * 1000)) < 1e-6
    return bool((~thousandths | (np.abs(parts) < 1) | (np.abs(parts) >= 1000)).any())


def _read(path: Path, dialect: Dialect, dtype: type[str] | None = None) -> pd.DataFrame:
    single = len(dialect.names) == 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path, sep=r"\s+" if dialect.separator == " " else dialect.separator, header=None,
                names=list(dialect.names), skiprows=dialect.skip, skipinitialspace=True, index_col=False,
                encoding=dialect.encoding, low_memory=False, skip_blank_lines=not single, dtype=dtype,
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
    return frame.iloc[: len(frame) - _blank_lines(path, frame)] if single else frame


def _blank_lines(path: Path, frame: pd.DataFrame) -> int:
    """Blank lines at the end of a table of one column: between others they are empty cells."""
    empty = frame.iloc[:, 0].isna().to_numpy()[::-1]
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL))
        tail = stream.read().replace(b"\r\n", b"\n")
    lines = tail[len(tail.rstrip()) :].count(b"\n") - 1
    return min(max(lines, 0), int(np.argmin(empty)) if not empty.all() else len(empty))


def _wanted(frame: pd.DataFrame, settings: Data) -> list[str]:
    """The columns that are asked for; all by default."""
    context = settings.context if isinstance(settings.context, tuple) else ()
    asked = None if settings.columns is None else {*settings.columns, *context}
    return [name for name in frame.columns if asked is None or name in asked]


def _is_text(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column) and not column.isna().all()


def _is_unusual(cells: pd.Series) -> bool:
    """Whether most cells are numbers, and some of them written in another way than 1234.5."""
    numbers = cells.str.fullmatch(NUMBER.pattern)
    plain = cells.str.fullmatch(PLAIN) & cells.str.isascii()
    return bool(2 * numbers.sum() > len(cells) and (numbers & ~plain).any()) or bool(
        2 * numbers.sum() > len(cells) and plain.all()
    )


def _read_marked(path: Path, dialect: Dialect, settings: Data, known: Marks | None) -> Written:
    """The table read as text, its columns of numbers parsed by the marks that they show."""
    frame = _read(path, dialect, dtype=str)
    cells = {}
    for name in _wanted(frame, settings):
        own = tidy(frame[name].dropna())
        if len(own) and 2 * own.str.fullmatch(NUMBER.pattern).sum() > len(own):
            cells[name] = own
    forms: dict[str, str] = {}
    for own in cells.values():
        forms = {**forms_of(own), **forms}
    mixed = frozenset[str]().union(*map(mixed_marks, cells.values()))
    marks = find_marks(forms, settings, Hints(dialect.separator, mixed, known), str(path))
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
        frame[name] = values.reindex(frame.index)
    return Written(frame, (*dialect.notes, *_notes(marks)), marks if forms else None)


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


def _refuse_lost_digits(frame: pd.DataFrame, path: Path) -> None:
    """Refuse integers that are different in the file and alike as float64."""
    lost = [
        name for name in frame.columns
        if pd.api.types.is_integer_dtype(frame[name]) and frame[name].abs().max() >= 2**53
        and frame[name].nunique() > frame[name].astype(float).nunique()
    ]  # fmt: skip
    if lost:
        raise InputError(
            f"{path}: {listed([shown(name) for name in lost])}: integers beyond 2^53 that float64 "
            "cannot tell apart; "
            "leave the column out if it is a number of identity, or subtract an offset"
        )
