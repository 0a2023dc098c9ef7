"""Columns and rows of a table that are taken, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jko.columns.indices import index_why
from jko.core.errors import InputError
from jko.preparation.names import listed, shown

#: from here on float64 cannot tell integers apart
EXACT = 2**53


def choose_columns(
    frame: pd.DataFrame, wanted: Sequence[str] | None, path: Path, *, named: bool = True
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The columns that are asked for, or all numeric ones with a note on what was left out.

    Args:
        frame: the table.
        wanted: names; ``None`` for all numeric columns but those that number the rows.
        path: of the file.
        named: whether the columns have names; without them all are taken, as they are known by place.

    Raises:
        InputError: no such column, text in one, no numeric column, or integers that float64 does not hold.
    """
    if wanted is not None:
        unknown = [name for name in wanted if name not in frame.columns]
        if unknown:
            raise InputError(f"{path}: no column {shown(unknown[0])}; it has {listed(list(frame.columns))}")
        for name in wanted:
            _refuse_text(frame[name], path)
        refuse_lost_digits(frame[list(wanted)], path)
        return frame[list(wanted)], ()
    indices = index_columns(frame) if named else {}
    frame = frame.drop(columns=list(indices))
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
    refuse_lost_digits(numeric, path)
    left = [str(name) for name in frame.columns if name not in numeric.columns]
    notes = [f"left out, not numeric: {listed(left, 50)}"] if left else []
    notes += [f"left out, empty: {listed(blank, 50)}"] if blank else []
    notes += [f"left out, an index: column {shown(name)} ({why})" for name, why in indices.items()]
    return numeric, tuple(notes)


def index_columns(frame: pd.DataFrame) -> dict[str, str]:
    """Columns that number rows or things, and why: they are no data."""
    found = {}
    for number, name in enumerate(frame.columns):
        if not pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
            continue
        why = index_why(str(name), frame[name].dropna().to_numpy(), first=not number)
        found.update({str(name): why} if why else {})
    return found if len(found) < len(frame.columns) else {}


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
    values = frame.to_numpy(dtype=float, na_value=np.nan)
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


def refuse_lost_digits(frame: pd.DataFrame, path: Path) -> None:
    """Refuse integers that are different in the file and alike as float64.

    Raises:
        InputError: a column holds some.
    """
    lost = [
        name for name in frame.columns
        if pd.api.types.is_integer_dtype(frame[name]) and len(frame) and frame[name].abs().max() >= EXACT
        and frame[name].nunique() > frame[name].astype(float).nunique()
    ]  # fmt: skip
    if lost:
        raise InputError(
            f"{path}: {listed([shown(name) for name in lost])}: integers beyond 2^53 that float64 "
            "cannot tell apart; "
            "leave the column out if it is a number of identity, or subtract an offset"
        )
