"""Tables from CSV and NPY files: every problem is one sentence that says what and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.context import with_columns
from jko.preparation.names import listed, shown
from jko.preparation.table import Array, Marks, Table
from tasks.adapters.system.output import unguarded
from tasks.datasets.csv_table import OnText, Written, read_csv
from tasks.datasets.dialect import refuse_other_kinds
from tasks.datasets.formats import refuse_dressed
from tasks.datasets.npy import read_npy


@dataclass(frozen=True)
class Cells:
    """The numbers of a file as they stand there.

    Args:
        path: the file.
        frame: columns of the state, then those of the context; NaN where a cell is empty or marked.
        context: names of the columns of the context.
        notes: sentences for the user.
        marks: of its numbers, where it shows some.
    """

    path: Path
    frame: pd.DataFrame
    context: tuple[str, ...]
    notes: tuple[str, ...]
    marks: Marks | None = None

    def table(self, rows: Array, notes: Sequence[str] = ()) -> Table:
        """Some of the rows as a table with its context apart."""
        table = Table(
            self.path.stem, rows, tuple(self.frame.columns), (*self.notes, *notes), marks=self.marks
        )
        return with_columns(table, self.context) if self.context else table


def load_file(settings: Data) -> Table:
    """Read the table ``settings.file`` and choose its columns and rows.

    Raises:
        InputError: missing, empty, not numeric, not finite, too few rows.
    """
    cells = read_cells(settings)
    values, notes = finite_rows(cells.frame, settings.missing, cells.path)
    return cells.table(values, notes)


def read_cells(settings: Data, known: Marks | None = None) -> Cells:
    """The chosen columns of ``settings.file``, all rows of it in their order.

    Args:
        settings: name the file and say how it is read.
        known: marks of another file like it, for numbers that can be read in two ways.

    Raises:
        InputError: missing, empty, or not numeric.
    """
    path = Path(settings.file or "")
    written = read_frame(path, settings, known)
    frame, notes = written.frame, written.notes
    context = tuple(settings.context or ())
    choose_columns(frame, context, path)  # refuses unknown ones and text
    if context and set(frame.columns) == set(context):
        raise InputError(f"{path}: every column is in data.context, and none is left to model")
    chosen, more = choose_columns(frame.drop(columns=list(context)), settings.columns, path)
    both = pd.concat([chosen, frame[list(context)]], axis=1) if context else chosen
    marked, marks = mark_missing(both.astype(float), settings.missing_values)
    return Cells(path, marked, context, (*notes, *more, *marks), written.marks)


def read_frame(
    path: Path, settings: Data, known: Marks | None = None, *, dressed: OnText = refuse_dressed
) -> Written:
    """The file as a table of named columns, with sentences on how it was read (see :func:`read_csv`)."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; give a table with a header line and rows")
    kind = path.suffix.lower()
    if kind not in (".csv", ".npy"):
        raise InputError(f"{path}: files of kind {path.suffix!r} are not read; allowed: .csv, .npy, pictures")
    refuse_other_kinds(path)
    if kind == ".csv":
        written = read_csv(path, settings, known, dressed=dressed)
        frame = written.frame
        names = [unguarded(str(name)) for name in frame.columns]
        if len(set(names)) == len(names):
            frame.columns = pd.Index(names)
    else:
        values = read_npy(path)
        frame = pd.DataFrame(values, columns=[f"x{i}" for i in range(values.shape[1])])
        written = Written(frame)
    if frame.empty:
        raise InputError(f"{path}: the table has no rows")
    return written


def choose_columns(
    frame: pd.DataFrame, wanted: Sequence[str] | None, path: Path
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The named columns, or all numeric ones with a note on what was left out."""
    if wanted is not None:
        unknown = [name for name in wanted if name not in frame.columns]
        if unknown:
            raise InputError(f"{path}: no column {shown(unknown[0])}; it has {listed(list(frame.columns))}")
        for name in wanted:
            _refuse_text(frame[name], path)
        return frame[list(wanted)], ()
    index = index_column(frame)
    frame = frame.drop(columns=[index] if index else [])
    blank = [str(name) for name in frame.columns if frame[name].isna().all()]
    frame = frame.drop(columns=blank)
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]) and _mostly_numbers(frame[name]):
            _refuse_text(frame[name], path)
    numeric = frame.select_dtypes("number")
    if numeric.shape[1] == 0:
        raise InputError(
            f"{path}: no numeric column; it has {listed(list(frame.columns))} (fields are separated by "
            "commas, "
            "or as data.separator says)"
        )
    left = [str(name) for name in frame.columns if name not in numeric.columns]
    notes = [f"left out, not numeric: {listed(left, 50)}"] if left else []
    notes += [f"left out, empty: {listed(blank, 50)}"] if blank else []
    notes += (
        ["left out, an index: the first column, of integers that number the rows, without a name"]
        if index
        else []
    )
    return numeric, tuple(notes)


def index_column(frame: pd.DataFrame) -> str | None:
    """The first column, if it has no name and numbers the rows: an index is no datum."""
    first = str(frame.columns[0])
    if not first.startswith("Unnamed: ") or len(frame.columns) < 2:
        return None
    values = frame[first]
    whole = pd.api.types.is_numeric_dtype(values) and bool((values == values.round()).all())
    return first if whole and len(values) > 1 and (values.is_unique or _numbers_rows(values)) else None


def _numbers_rows(values: pd.Series) -> bool:
    """Whether integers number the rows of several tables in turn, or of one from which rows were drawn."""
    numbers = values.to_numpy(dtype=float)
    count, lowest = len(numbers), numbers.min()
    if lowest not in (0, 1) or numbers.max() > count:
        return False
    steps = np.diff(numbers)
    in_turn = bool(((steps == 1) | (numbers[1:] == lowest)).all()) and 2 * (steps == 1).sum() >= len(steps)
    return in_turn or 2 * len(np.unique(numbers)) >= count


def _mostly_numbers(column: pd.Series) -> bool:
    """A column of numbers with some text in it is a mistake; one of text is left out."""
    return bool(pd.to_numeric(column, errors="coerce").notna().mean() > 0.5)


def _refuse_text(column: pd.Series, path: Path) -> None:
    bad = column.notna() & pd.to_numeric(column, errors="coerce").isna()
    if bad.any():
        row = int(np.flatnonzero(bad.to_numpy())[0])
        raise InputError(
            f"{path}: column {shown(column.name)} holds text {shown(column.iloc[row])} at data row "
            f"{row + 1}; "
            "only numbers are allowed (or leave the column out with data.columns)"
        )


def mark_missing(frame: pd.DataFrame, marks: Sequence[float]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A table whose cells of these values are empty; float32 files hold them rounded."""
    values = frame.to_numpy()
    marked = np.zeros(values.shape, dtype=bool)
    for mark in marks:
        marked |= np.isclose(values, mark, rtol=1e-7, atol=0)
    if not marks:
        return frame, ()
    words = ", ".join(f"{mark:g}" for mark in marks)
    note = f"data.missing_values ({words}) marks {int(marked.sum())} of {marked.size} cells as missing"
    return frame.mask(marked), (note,)


def finite_rows(
    frame: pd.DataFrame, missing: str, path: Path, *, way_out: str = "set data.missing=drop"
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Rows as floats; empty cells refused or their rows dropped, infinities always refused."""
    values = np.ascontiguousarray(frame.to_numpy(dtype=float, copy=True))
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        row, column = infinite[0]
        raise InputError(
            f"{path}: column {shown(frame.columns[column])} holds an infinite value at data row {row + 1}; "
            "only finite numbers are allowed"
        )
    empty = np.isnan(values)
    if not empty.any():
        return values, ()
    row, column = np.argwhere(empty)[0]
    if missing == "refuse":
        raise InputError(
            f"{path}: column {shown(frame.columns[column])} has an empty cell at data row {row + 1} "
            f"({int(empty.sum())} in all); fill them or {way_out}"
        )
    kept = values[~empty.any(axis=1)]
    return kept, (f"dropped {len(values) - len(kept)} of {len(values)} rows with empty cells",)
