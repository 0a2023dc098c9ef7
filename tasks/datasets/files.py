"""Tables from CSV and NPY files: every problem is one sentence that says what and where."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jko.data_section import Data
from jko.errors import InputError
from tasks.adapters.output import unguarded
from tasks.datasets.context import with_columns
from tasks.datasets.table import Table


def load_file(settings: Data) -> Table:
    """Read the table ``settings.file`` and choose its columns and rows.

    Raises:
        InputError: missing, empty, not numeric, not finite, too few rows.
    """
    path = Path(settings.file or "")
    frame = read_frame(path)
    context = tuple(settings.context or ())
    choose_columns(frame, context, path)  # refuses unknown ones and text
    if context and set(frame.columns) == set(context):
        raise InputError(f"{path}: every column is in data.context, and none is left to model")
    chosen, notes = choose_columns(frame.drop(columns=list(context)), settings.columns, path)
    both = pd.concat([chosen, frame[list(context)]], axis=1) if context else chosen
    values, more = finite_rows(both, settings.missing, path)
    table = Table(path.stem, values, (*chosen.columns, *context), (*notes, *more))
    return with_columns(table, context) if context else table


def read_frame(path: Path) -> pd.DataFrame:
    """The file as a table of named columns."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; give a table with a header line and rows")
    readers = {".csv": _read_csv, ".npy": _read_npy}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: files of kind {path.suffix!r} are not read; allowed: .csv, .npy, pictures")
    frame = readers[path.suffix.lower()](path)
    names = [unguarded(str(name)) for name in frame.columns]
    if len(set(names)) == len(names):
        frame.columns = pd.Index(names)
    if frame.empty:
        raise InputError(f"{path}: the table has no rows")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, skipinitialspace=True, index_col=False)
    except pd.errors.ParserWarning:
        raise InputError(f"{path}: some rows have more fields than the header has names") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: not a readable CSV table ({first})") from None
    if _looks_numeric(frame.columns):
        raise InputError(f"{path}: the first line holds numbers; a CSV table needs a header line of names")
    return frame


def _looks_numeric(names: Iterable[str]) -> bool:
    """Whether every column name reads as a number: then a header is missing."""
    try:
        [float(name) for name in names]
    except ValueError:
        return False
    return True


def _read_npy(path: Path) -> pd.DataFrame:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: not a readable NPY array ({error})") from None
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: needs a real array of shape (rows, d), this is {values.dtype} of shape {values.shape}"
        )
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(values.shape[1])])


def choose_columns(
    frame: pd.DataFrame, wanted: Sequence[str] | None, path: Path
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The named columns, or all numeric ones with a note on what was left out."""
    if wanted is not None:
        unknown = [name for name in wanted if name not in frame.columns]
        if unknown:
            raise InputError(f"{path}: no column {unknown[0]!r}; it has {', '.join(map(str, frame.columns))}")
        for name in wanted:
            _refuse_text(frame[name], path)
        return frame[list(wanted)], ()
    blank = [str(name) for name in frame.columns if frame[name].isna().all()]
    frame = frame.drop(columns=blank)
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]) and _mostly_numbers(frame[name]):
            _refuse_text(frame[name], path)
    numeric = frame.select_dtypes("number")
    if numeric.shape[1] == 0:
        hint = " (fields must be separated by commas)" if _other_separator(frame.columns) else ""
        raise InputError(f"{path}: no numeric column; it has {', '.join(map(str, frame.columns))}{hint}")
    left = [str(name) for name in frame.columns if name not in numeric.columns]
    notes = [f"left out, not numeric: {', '.join(left)}"] if left else []
    notes += [f"left out, empty: {', '.join(blank)}"] if blank else []
    return numeric, tuple(notes)


def _other_separator(names: Iterable[str]) -> bool:
    """Whether a column name holds what other dialects separate fields by."""
    return any(mark in str(name) for name in names for mark in ";\t|")


def _mostly_numbers(column: pd.Series) -> bool:
    """A column of numbers with some text in it is a mistake; one of text is left out."""
    return bool(pd.to_numeric(column, errors="coerce").notna().mean() > 0.5)


def _refuse_text(column: pd.Series, path: Path) -> None:
    bad = column.notna() & pd.to_numeric(column, errors="coerce").isna()
    if bad.any():
        row = int(np.flatnonzero(bad.to_numpy())[0])
        raise InputError(
            f"{path}: column {column.name!r} holds text {column.iloc[row]!r} at data row {row + 1}; "
            "only numbers are allowed (or leave the column out with data.columns)"
        )


def finite_rows(frame: pd.DataFrame, missing: str, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rows as floats; empty cells refused or their rows dropped, infinities always refused."""
    values = np.ascontiguousarray(frame.to_numpy(dtype=float, copy=True))
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        row, column = infinite[0]
        raise InputError(
            f"{path}: column {frame.columns[column]!r} holds an infinite value at data row {row + 1}; "
            "only finite numbers are allowed"
        )
    empty = np.isnan(values)
    if not empty.any():
        return values, ()
    row, column = np.argwhere(empty)[0]
    if missing == "refuse":
        raise InputError(
            f"{path}: column {frame.columns[column]!r} has an empty cell at data row {row + 1} "
            f"({int(empty.sum())} in all); fill them or set data.missing=drop"
        )
    kept = values[~empty.any(axis=1)]
    return kept, (f"dropped {len(values) - len(kept)} of {len(values)} rows with empty cells",)
