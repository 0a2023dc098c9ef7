r"""The order of categories on a line: by their scores on the first axis of correspondence analysis.

Levels that stand beside each other on a line should be alike, so that what depends on the category changes
little from one to the next. Each level k has a profile: the shares of the other columns' levels, and of their
numbers in groups of equal size, among its rows. With the table P of counts of the levels beside all these,
one block for each other column, over its sum, r its row sums and c its column sums,

.. math:: S = D_r^{-1/2} (P - r c^\top) D_c^{-1/2} = U \Sigma V^\top, \qquad f = D_r^{-1/2} u_1,

the scores f have the largest part of the inertia Σ σ² that one axis can have. They are the fixed point of
reciprocal averaging: the score of a level is the mean score of what stands beside it, and the other way round
(Hill, Appl. Statist. 23 (1974) 340–354; Greenacre, *Correspondence Analysis in Practice*, 3rd ed. 2017,
chapters 4, 5 and 17 for tables side by side). Differs: each level counts :data:`PRIOR` rows more that are
like all rows, so one of few rows stays in the middle and makes no axis of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from jko.columns.cells import Cells
from jko.columns.column import Column
from jko.columns.levels import Categorical, Levels
from jko.preparation.table import Array

#: rows that the order is told from, and other columns at most
ROWS, BESIDE = 20_000, 64
#: groups of numbers of a column, and rows that every level counts more
GROUPS, PRIOR = 8, 5.0
Codes = NDArray[np.int64]


def in_order(columns: Sequence[Column], cells: Mapping[str, Cells]) -> list[Column]:
    """The columns, their categories in the order of the first axis where they stand on a line.

    Args:
        columns: of a table.
        cells: of them by name, shape (rows,) each.
    """
    found = list(columns)
    wanted = [i for i, one in enumerate(found) if isinstance(one, Categorical) and not one.by_simplex]
    modelled = [one for one in found if one.kept and one.width]
    if not wanted or len(modelled) < 2:
        return found
    rows = _some_of(len(next(iter(cells.values())).values))
    near = {*(one.name for one in modelled[: BESIDE + 1]), *(found[i].name for i in wanted)}
    codes = {one.name: _codes(one, cells[one.name], rows) for one in modelled if one.name in near}
    beside = [name for name in list(codes)[: BESIDE + 1] if np.ptp(codes[name])]
    for i in wanted:
        column = found[i]
        assert isinstance(column, Categorical)
        others = [codes[name] for name in beside if name != column.name]
        if others:
            scores = first_axis(codes[column.name], len(column.levels), others)
            order = np.argsort(np.round(scores, 9), kind="stable")
            found[i] = column.model_copy(update={"levels": tuple(column.levels[k] for k in order)})
    return found


def first_axis(codes: Codes, count: int, others: Sequence[Codes]) -> Array:
    """Scores of levels on the first axis; the one that weighs most there has a score below 0.

    Args:
        codes: the level of every row, from 0; others than 0 … count − 1 are empty cells, shape (rows,).
        count: number of levels.
        others: what stands beside it, numbers from 0, shape (rows,) each.
    """
    there = codes < count
    rows = codes[there]
    tables = []
    for other in others:
        size = int(other.max()) + 1
        table = np.bincount(rows * size + other[there], minlength=count * size).reshape(count, size)
        total = table.sum(axis=0)
        tables.append(table[:, total > 0] + PRIOR * total[total > 0] / max(len(rows), 1))
    counts = np.concatenate(tables, axis=1)
    joint = counts / counts.sum()
    own, beside = joint.sum(axis=1), joint.sum(axis=0)
    residuals = (joint - np.outer(own, beside)) / np.sqrt(np.outer(own, beside))
    axis = np.linalg.svd(residuals, full_matrices=False)[0][:, 0]
    found: Array = axis / np.sqrt(own)
    return -found if axis[np.argmax(np.abs(axis))] > 0 else found


def _codes(column: Column, cells: Cells, rows: Codes) -> Codes:
    """Cells of some rows as numbers from 0: their level, or the group of their number; one more if empty."""
    values, present = cells.values[rows], cells.present[rows]
    if isinstance(column, Levels):
        known = {level: code for code, level in enumerate(column.levels)}
        pairs = zip(values.tolist(), present.tolist(), strict=True)
        return np.array([known[cell] if there else len(known) for cell, there in pairs], dtype=np.int64)
    found = np.full(len(values), GROUPS, dtype=np.int64)
    if values.dtype.kind in "biufM" and present.any():
        numbers = (values.view("i8") if values.dtype.kind == "M" else values).astype(float)
        own = numbers[present]
        edges = np.unique(np.quantile(own, np.arange(1, GROUPS) / GROUPS, method="inverted_cdf"))
        found[present] = np.searchsorted(edges, own)
    return found


def _some_of(count: int) -> Codes:
    """Numbers of the rows that are looked at, ascending."""
    if count <= ROWS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, ROWS, replace=False))
