"""Empty cells of a table whose columns have kinds: refused, dropped with their rows, or part of the law."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from jko.columns.cells import Cells
from jko.columns.column import Values
from jko.columns.missing import Missing, missing_of, takes_holes
from jko.columns.schema import Schema, schema_of
from jko.columns.told import Told
from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.fit import fitting
from jko.preparation.names import listed, shown
from jko.preparation.whole import Whole, part_of

#: columns that a sentence names at most
MOST = 10
#: share of empty cells, or of others, below which the line is cut by it. A flow smooths a jump of a density:
#: of halves alike the rarer one gets too much, and of a cut the share goes less with the other columns
RARE = 0.1


def without_holes(whole: Whole, schema: Schema, settings: Data) -> tuple[Whole, tuple[str, ...]]:
    """The rows without an empty cell that is no part of the law, and how many were dropped.

    Args:
        whole: the table.
        schema: the kinds of its columns; those of kind *missing* may have holes.
        settings: with *model* all columns may, but for those of a context.

    Raises:
        InputError: a cell is infinite, or empty where the settings refuse that.
    """
    kept = [name for name in schema.names if whole.cells[name].present.any()]
    allowed = {one.name for one in schema.kept if settings.missing == "model" or isinstance(one, Missing)}
    columns = {name: whole.cells[name] for name in kept}
    empty = {name: ~own.present for name, own in columns.items()}
    infinite = {name: infinite_cells(own.values) for name, own in columns.items()}
    if whole.context is not None:
        for name, values in zip(whole.context_columns, whole.context.T, strict=False):
            empty[name], infinite[name] = np.isnan(values), np.isinf(values)
    for name, bad in infinite.items():
        if bad.any():
            raise InputError(
                f"{whole.place}: column {shown(name)} holds an infinite value at data row "
                f"{int(np.argmax(bad)) + 1}; only finite numbers are allowed"
            )
    empty = {name: bad for name, bad in empty.items() if name not in allowed}
    holes = np.any([np.zeros(whole.count, bool), *empty.values()], axis=0)
    if not holes.any():
        return whole, ()
    if settings.missing != "drop":
        row = int(np.argmax(holes))
        name = next(name for name, bad in empty.items() if bad[row])
        total = int(sum(bad.sum() for bad in empty.values()))
        raise InputError(
            f"{whole.place}: column {shown(name)} has an empty cell at data row {row + 1} ({total} in all); "
            f"{_ways(settings)}"
        )
    rows = np.flatnonzero(~holes)
    cells = {name: _whole_again(part_of(own, rows)) for name, own in whole.cells.items()}
    context = None if whole.context is None else np.ascontiguousarray(whole.context[rows])
    note = f"dropped {int(holes.sum())} of {len(holes)} rows with empty cells"
    return replace(whole, cells=cells, context=context), (note,)


def _ways(settings: Data) -> str:
    if settings.missing == "model":
        return "a context has no holes: fill them or set data.missing=drop"
    if settings.kinds_used == "off":
        return "fill them or set data.missing=drop"
    return (
        "fill them, or set data.missing=model, by which holes are part of the law, or data.missing=drop, "
        "which leaves such rows out"
    )


def with_missing(schema: Schema, cells: Mapping[str, Cells], rows: NDArray[np.int64]) -> Schema:
    """The schema with kinds that take holes, where columns have some.

    Args:
        schema: of the columns.
        cells: of the columns by name.
        rows: numbers of those that say which columns have holes, and what the noise in place of a value is.
    """
    columns = []
    for column in schema.columns:
        own = part_of(cells[column.name], rows)
        if not column.kept or takes_holes(column) or own.present.all():
            columns.append(column)
            continue
        alone, there = column.alone if isinstance(column, Told) else column, own.there
        share = float(1 - own.present.mean())
        rare = 0 < min(share, 1 - share) < RARE
        columns.append(missing_of(alone, there[fitting(alone, there)], share if rare else None))
    return schema_of(columns, schema.rows)


def filled(
    schema: Schema, cells: Mapping[str, Cells]
) -> tuple[dict[str, Cells], dict[str, NDArray[np.bool_]]]:
    """Cells with another one of the column in every hole that the schema does not know, and where those are.

    Args:
        schema: of the columns.
        cells: of the columns by name.
    """
    found, where = {}, {}
    for column in schema.kept:
        own = cells[column.name]
        bad = ~own.present & (not takes_holes(column))
        if bad.any():
            values = own.values.copy()
            values[bad] = own.there[0]
            own, where[column.name] = Cells(values, own.present | bad, own.order), bad
        found[column.name] = own
    return found, where


def told_holes(schema: Schema) -> tuple[str, ...]:
    """A note on the columns whose holes are part of the law."""
    shares = [
        f"{shown(one.name)} ({100 * one.seen.missing:.2g} %)" if one.seen else shown(one.name)
        for one in schema.kept if isinstance(one, Missing)
    ]  # fmt: skip
    return (f"empty cells are part of the law in {listed(shares, MOST)}",) if shares else ()


def told_empty(schema: Schema, settings: Data) -> tuple[str, ...]:
    """What training does with empty cells, where the settings refuse them and there are some."""
    empty = [shown(one.name) for one in schema.kept if one.seen and one.seen.missing and not takes_holes(one)]
    if not empty or settings.missing != "refuse":
        return ()
    return (f"empty cells in {listed(empty, MOST)}: training refuses them; {_ways(settings)}",)


def infinite_cells(values: Values) -> NDArray[np.bool_]:
    """Which numbers are infinite, shape (n,)."""
    return np.isinf(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)


def _whole_again(cells: Cells) -> Cells:
    """Whole numbers as integers: empty cells had made floats of them."""
    there = cells.there
    whole = there.dtype.kind == "f" and len(there) == len(cells.values) and (there == np.rint(there)).all()
    if not whole or np.abs(there).max(initial=0) >= 2**53:
        return cells
    return Cells(there.astype(np.int64), cells.present, cells.order)
