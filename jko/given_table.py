"""What is given to ``fit`` as a table: rows, their context, and which of them the settings choose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from jko.columns.cells import Cells, cells_of, dtypes_of
from jko.columns.frames import float_types
from jko.columns.indices import index_why
from jko.config import Config
from jko.config.data_section import Data
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.given import Context, Form, Frame, Named, Rows, frame_of, is_frame, numbers, taken, types_of
from jko.given_columns import Columns
from jko.preparation.context import conditioned
from jko.preparation.facts import array_digest
from jko.preparation.kinds import kinds_table
from jko.preparation.names import check_names, listed, shown
from jko.preparation.table import Array, Table
from jko.preparation.whole import Whole


def table_of(x: Rows, context: Named | None = None, *, kinds: bool = False) -> tuple[Table | Whole, Form]:
    """Rows with their context as a table, and the form in which they were given.

    Args:
        x: rows.
        context: what they are conditioned on.
        kinds: whether columns of a data frame have kinds, which are told later (:func:`selected`).

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
        if kinds:
            return _whole_frame(x, context, wanted)
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


def _whole_frame(frame: Frame, context: Named | None, names: tuple[str, ...]) -> tuple[Whole, Form]:
    """A data frame whose columns have kinds, with its context."""
    make = frame.make if isinstance(frame, Columns) else None
    form = Form(
        "frame", index=frame.index, labels=tuple(frame.columns), dtypes=types_of(frame), make=make
    )  # fmt: skip
    cells = cells_of(frame)
    integers = frame.integers if isinstance(frame, Columns) else ()
    dtypes = {**float_types(cells, integers), **dtypes_of(frame)}
    whole = Whole("rows", "the data frame", cells, context_columns=names, dtypes=dtypes)
    if names or context is None:
        return whole, form
    empty = Table("rows", np.empty((whole.count, 0)), ())
    beside = _conditioned(empty, context)
    return replace(whole, context=beside.context, context_columns=beside.context_columns), form


def selected(table: Table | Whole, config: Config, *, named: bool = False) -> Table:
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
    if isinstance(table, Whole):
        return kinds_table(_chosen(table, settings), settings, config.seed)
    if settings.columns is not None:
        table = _with_columns(table, settings.columns)
    elif named:
        table = _without_indices(table)
    whole = table.rows if table.context is None else np.concatenate([table.rows, table.context], axis=1)
    both = _marked(whole, settings)
    if settings.missing == "model" and np.isnan(both).any():
        raise InputError(
            "data.missing = model is for data frames, whose columns have kinds; give one, or set "
            "data.missing=drop"
        )
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


def _chosen(whole: Whole, settings: Data) -> Whole:
    """The columns that the settings name, cells that stand for a missing one being none."""
    names = settings.columns
    if names is not None:
        missing = [name for name in names if name not in whole.cells]
        if missing:
            raise InputError(
                f"{whole.place}: no column {shown(missing[0])}; it has {listed(list(whole.cells))}"
            )
        beside = whole.context_columns if whole.context is None else ()
        whole = replace(whole, cells={name: whole.cells[name] for name in (*names, *beside)})
    if not settings.missing_values:
        return whole
    return replace(whole, cells={name: _unmarked(own, settings) for name, own in whole.cells.items()})


def _unmarked(cells: Cells, settings: Data) -> Cells:
    if cells.values.dtype.kind not in "iuf":
        return cells
    marked = np.isnan(_marked(cells.values.astype(float), settings))
    return replace(cells, present=cells.present & ~marked)


def content_of(table: Table | Whole) -> str:
    """SHA-256 of the rows of a table with their names and context."""
    if isinstance(table, Whole):
        own = {name: _content(cells) for name, cells in table.cells.items()}
        beside = {} if table.context is None else {"context": table.context}
        return str(digest_of([array_digest(beside), list(own.items()), table.context_columns]))
    arrays = {"rows": table.rows}
    if table.context is not None:
        arrays["context"] = table.context
    return str(digest_of([array_digest(arrays), table.columns, table.context_columns]))


def _content(cells: Cells) -> str:
    """SHA-256 of the cells of a column, each with its type."""
    there = cells.there
    words = "\0".join(f"{type(cell).__name__} {cell}" for cell in there.tolist()).encode()
    values = np.frombuffer(words, np.uint8) if there.dtype.kind == "O" else there.view(np.uint8)
    parts = {"present": cells.present, "values": values}
    return str(digest_of([array_digest(parts), str(there.dtype), [str(level) for level in cells.order]]))


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
