"""Smoothed copies of training rows, each dequantised afresh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jko.columns.cells import read_cells
from jko.columns.column import Column, Values
from jko.columns.missing import Missing, bare
from jko.config import Config
from jko.core.seeds import counter_seed
from jko.laws.smoothing import manifold_parzen
from jko.preparation.context import per_class
from jko.preparation.kinds import KindTable
from jko.preparation.table import Array, Table


def copies(train: Array, grid: Array, config: Config) -> Array:
    """Smoothed, freshly dequantised copies of the training rows, shape ((copies − 1) · rows, d)."""
    more = config.data.augment.copies_of(len(train)) - 1
    if not more:
        return np.empty((0, train.shape[1]))
    return _copies_of(train, grid, config, more).reshape(-1, train.shape[1])


def _copies_of(train: Array, grid: Array, config: Config, more: int, *purpose: str) -> Array:
    """So many copies of rows, shape (copies, rows, d)."""
    augment = config.data.augment
    draw = np.random.default_rng(counter_seed(config.seed, "augment", *purpose))
    moved = manifold_parzen(train, more, width=augment.width, neighbours=augment.neighbours, rng=draw)
    return (moved + (draw.random(moved.shape) - 0.5) * grid).reshape(more, *train.shape)


def all_copies(table: Table, train: NDArray[np.int64], grid: Array, config: Config) -> Array:
    """The copies of the training rows with the contexts of the rows; neighbours are of one class.

    Args:
        table: all rows.
        train: numbers of the training rows.
        grid: grid steps.
        config: the settings.

    Returns:
        Shape ((copies − 1) · rows, d + c).
    """
    if isinstance(table, KindTable):
        return _of_kinds(table, train, config)
    if table.context is None:
        return copies(table.rows[train], grid, config)
    more = config.data.augment.copies_of(len(train)) - 1
    context = table.context[train]
    if not more:
        return np.empty((0, table.rows.shape[1] + context.shape[1]))
    moved = np.empty((more, len(train), table.rows.shape[1]))
    for value, own in per_class(context, table.context_columns).items():
        moved[:, own] = _copies_of(table.rows[train[own]], grid, config, more, str(value))
    beside = np.broadcast_to(context, (more, *context.shape))
    return np.concatenate([moved, beside], axis=2).reshape(-1, moved.shape[2] + context.shape[1])


def _of_kinds(table: KindTable, train: NDArray[np.int64], config: Config) -> Array:
    """Copies of rows whose columns have kinds: each has noise of its own, and real numbers are smoothed.

    Neighbours are near in the real columns, each divided by its deviation. A discrete cell stays what it is,
    and so does an empty one; what stands in its place is drawn again.
    """
    more = config.data.augment.copies_of(len(train)) - 1
    context = np.empty((len(train), 0)) if table.context is None else table.context[train]
    if not more:
        return np.empty((0, table.rows.shape[1] + context.shape[1]))
    cells = {name: values[train] for name, values in table.cells.items()}
    found = np.stack([table.schema.encode(cells, config.seed, draw).values for draw in range(1, more + 1)])
    kept = table.schema.kept
    moving = np.concatenate([_moving(column, cells[column.name]) for column in kept], axis=1)
    own = table.rows[train]
    spread = own.std(axis=0)
    standard = own / np.where(spread > 0, spread, 1.0)
    for value, rows in per_class(context, table.context_columns).items():
        steps = _copies_of(standard[rows], np.zeros(len(spread)), config, more, "kinds", str(value))
        found[:, rows] += np.where(moving[rows], (steps - standard[rows]) * spread, 0.0)
    beside = np.broadcast_to(context, (more, *context.shape))
    return np.concatenate([found, beside], axis=2).reshape(-1, found.shape[2] + context.shape[1])


def _moving(column: Column, cells: Values) -> NDArray[np.bool_]:
    """Which encoded numbers of a column are smoothed, shape (n, width)."""
    found = np.full((len(cells), column.width), bare(column).exactness == "exact")
    if isinstance(column, Missing):
        found[~read_cells(cells).present] = False
        found[:, 0] = False
    return found
