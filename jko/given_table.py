"""What is given to ``fit`` as a table: rows, their context, and which of them the settings choose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from jko.columns.indices import index_why
from jko.config import Config
from jko.config.data_section import Data
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.given import Context, Form, Frame, Named, Rows, frame_of, is_frame, numbers, taken
from jko.preparation.context import conditioned
from jko.preparation.facts import array_digest
from jko.preparation.names import check_names, listed, shown
from jko.preparation.table import Array, Table


def table_of(x: Rows, context: Named | None = None) -> tuple[Table, Form]:
    """Rows with their context as a table, and the form in which they were given.

    Raises:
        InputError: no rows of numbers, or a context that does not fit them.
    """
    shape = None
    names: tuple[str, ...] = ()
    if is_frame(x):
        x = frame_of(x)
        columns = tuple(str(name) for name in x.columns)
        check_names(columns, "the data frame")
        wanted = _names(x, context)
        names = tuple(name for name in columns if name not in wanted)
        if wanted and not names:
            raise InputError("every column is in the context, and none is left to model")
        context = _frame_context(x, wanted) if wanted else context
    elif getattr(x, "ndim", 2) == 3:
        shape = (int(x.shape[1]), int(x.shape[2]))
        x = x.reshape(len(x), -1)
    rows, form = taken(x, names)
    values = np.ascontiguousarray(rows.detach().cpu().double().numpy())
    columns = names or tuple(f"x{i}" for i in range(values.shape[1]))
    table = Table("rows", values, columns, image_shape=shape)
    return _conditioned(table, context), replace(form, shape=shape)


def selected(table: Table, config: Config, *, named: bool = False) -> Table:
    """The columns and rows that ``data.columns``, ``data.missing_values`` and ``data.missing`` choose.

    Args:
        table: all rows.
        config: the settings.
        named: whether the columns had names: of those that are not chosen, the ones that number rows are left
            out, as those of a file are.

    Raises:
        InputError: no such column, or a number that is missing or infinite.
    """
    settings = config.data
    if settings.columns is not None:
        table = _with_columns(table, settings.columns)
    elif named:
        table = _without_indices(table)
    whole = table.rows if table.context is None else np.concatenate([table.rows, table.context], axis=1)
    both = _marked(whole, settings)
    empty = np.isnan(both).any(axis=1)
    wrong = np.isinf(both).any(axis=1) if settings.missing == "drop" else ~np.isfinite(both).all(axis=1)
    if wrong.any():
        raise InputError(
            f"row {int(np.flatnonzero(wrong)[0])} holds a number that is not finite; leave such rows out"
            + ("" if np.isinf(both).any() else ", or set data.missing=drop")
        )
    if not empty.any():
        return table
    note = f"dropped {int(empty.sum())} of {len(both)} rows with empty cells"
    kept = None if table.context is None else np.ascontiguousarray(table.context[~empty])
    return replace(
        table, rows=np.ascontiguousarray(table.rows[~empty]), context=kept, notes=(*table.notes, note)
    )


def _without_indices(table: Table) -> Table:
    """The table without columns that number rows or things, with a note on each."""
    found = {}
    for number, (name, values) in enumerate(zip(table.columns, table.rows.T, strict=True)):
        why = index_why(name, values[~np.isnan(values)], first=not number)
        found.update({name: why} if why else {})
    if not found or len(found) == len(table.columns):
        return table
    notes = [f"left out, an index: column {shown(name)} ({why})" for name, why in found.items()]
    kept = _with_columns(table, tuple(name for name in table.columns if name not in found))
    return replace(kept, notes=(*table.notes, *notes))


def content_of(table: Table) -> str:
    """SHA-256 of the rows of a table with their names and context."""
    arrays = {"rows": table.rows}
    if table.context is not None:
        arrays["context"] = table.context
    return str(digest_of([array_digest(arrays), table.columns, table.context_columns]))


def _with_columns(table: Table, names: tuple[str, ...]) -> Table:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise InputError(f"{table.name}: no column {shown(missing[0])}; it has {listed(table.columns)}")
    at = [table.columns.index(name) for name in names]
    return replace(table, rows=np.ascontiguousarray(table.rows[:, at]), columns=names, image_shape=None)


def _marked(values: Array, settings: Data) -> Array:
    """Numbers with NaN where one of them stands for a missing cell."""
    if not settings.missing_values:
        return values
    missing = [np.isclose(values, mark, rtol=1e-7, atol=0) for mark in settings.missing_values]
    return np.where(np.any(missing, axis=0), np.nan, values)


def _names(frame: Frame, context: Named | None) -> tuple[str, ...]:
    """Columns of a data frame that a context names."""
    if isinstance(context, str):
        return (context,)
    if not isinstance(context, list | tuple) or not context:
        return ()
    text = all(isinstance(name, str) for name in context)
    whole = all(isinstance(name, int) and name in frame.columns for name in context)
    return tuple(map(str, context)) if text or (whole and len(context) != len(frame)) else ()


def _frame_context(frame: Frame, names: tuple[str, ...]) -> dict[str, Context]:
    """The context columns of a data frame under their names."""
    rows, _ = taken(frame, names)
    return dict(zip(names, rows.numpy().T, strict=True))


def _conditioned(table: Table, context: Named | None) -> Table:
    """A table with the context that was given.

    Raises:
        InputError: a context of another number of rows, or of no numbers.
    """
    if context is None:
        return table
    names, values = _context_values(context)
    if len(values) != len(table.rows):
        raise InputError(
            f"a context of {len(values)} rows beside {len(table.rows)} rows; give one for each row"
        )
    if not names and values.ndim == 1:
        asked = Data(source="rows", content="0" * 64, context="class")
        return conditioned(table, asked, values)
    return replace(table, context=np.ascontiguousarray(values), context_columns=names)


def _context_values(context: Named) -> tuple[tuple[str, ...], Array | NDArray[np.int64]]:
    """Names and numbers of a context, shape (rows, c); classes of shape (rows,) have no names."""
    try:
        if is_frame(context):
            context = _frame_context(frame_of(context), tuple(map(str, frame_of(context).columns)))
        if isinstance(context, dict):
            columns = [taken(values)[0].detach().cpu().double().numpy() for values in context.values()]
            if {values.shape for values in columns} != {(len(columns[0]), 1)}:
                raise InputError("its columns have different lengths")
            return tuple(map(str, context)), np.concatenate(columns, axis=1)
        whole = _whole(context)
        if whole is not None:
            return (), whole
        values = taken(numbers(context))[0].detach().cpu().numpy()
    except InputError as error:
        raise InputError(f"context: {error} (columns of a data frame of rows can be named, too)") from None
    return tuple(f"u{i}" for i in range(values.shape[1])), values


def _whole(context: Named) -> NDArray[np.int64] | None:
    """Integers of shape (rows,), if these are some."""
    given = context.detach().cpu() if isinstance(context, Tensor) and not context.is_meta else context
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):
        return None
    return array.astype(np.int64) if array.dtype.kind in "iu" and array.ndim == 1 else None
