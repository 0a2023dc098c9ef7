"""Columns that another one tells by a curve: a law on a curve has no density."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from jko.columns.cells import Cells
from jko.columns.column import Column
from jko.preparation.grid import FEW
from jko.preparation.names import shown
from jko.preparation.table import Array

#: how far from ±1 the correlation of ranks may be; and among a few rows, by which most pairs are refuted
NEAR, NEAR_OF_FEW = 1e-6, 1e-3
#: rows that are looked at, and a few of them
ROWS, FIRST = 10_000, 200
#: columns beyond which there are too many pairs
MOST = 300


def told_by_curves(columns: Sequence[Column], cells: Mapping[str, Cells]) -> dict[str, str]:
    """A warning for every column of numbers that goes up, or down, with one before it in all rows.

    Only columns of more than :data:`~jko.preparation.grid.FEW` different numbers are looked at. Equal columns
    and rules between levels are found elsewhere.

    Args:
        columns: of a table.
        cells: of them by name.
    """
    own = {one.name: _numbers(cells[one.name]) for one in columns if one.kept and one.width}
    many = [name for name, values in own.items() if len(np.unique(values[np.isfinite(values)])) > FEW]
    found: dict[str, str] = {}
    for one, other in _pairs(many) if len(many) <= MOST else ():
        if other not in found and (way := _together(own[one], own[other])):
            order = "the order" if way > 0 else "the opposite order"
            found[other] = f"in {order} of column {shown(one)} in all rows: a law on a curve; leave one out"
    return found


def _pairs(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((one, other) for place, other in enumerate(names) for one in names[:place])


def _numbers(cells: Cells) -> Array:
    """Some cells as numbers, NaN where there is none; nothing of cells that are no numbers."""
    values = cells.values
    if values.dtype.kind not in "iuf":
        return np.empty(0)
    rows = np.linspace(0, len(values) - 1, min(ROWS, len(values))).astype(int)
    return np.where(cells.present[rows], values[rows].astype(float), np.nan)


def _together(one: Array, other: Array) -> int:
    """1 where two columns go up together in all rows, −1 where one goes down, else 0."""
    both = np.isfinite(one) & np.isfinite(other)
    one, other = one[both], other[both]
    if len(one) <= FEW or (one == other).all():
        return 0
    few = slice(None, None, max(1, len(one) // FIRST))
    if abs(_of_ranks(one[few], other[few])) < 1 - NEAR_OF_FEW:
        return 0
    exact = _of_ranks(one, other)
    return int(np.sign(exact)) if abs(exact) >= 1 - NEAR else 0


def _of_ranks(one: Array, other: Array) -> float:
    """The correlation of ranks; 0 where a column has one value only."""
    ranks = np.stack([rankdata(one), rankdata(other)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    size = np.sqrt((ranks**2).sum(axis=1)).prod()
    return float((ranks[0] * ranks[1]).sum() / size) if size > 0 else 0.0
