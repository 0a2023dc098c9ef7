"""A tree of columns and their maps, fitted to training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from jko.core.cell_line import CellLine
from jko.core.rows import at_most
from jko.maps.start_fit import fit_marginals
from jko.maps.tree_map import TreeMap

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
#: rows that the tree is chosen by, and parts into which they are divided
CHOOSING_ROWS, FOLDS = 20_000, 3
#: cells at most of a parent, and parts into which real numbers are divided to compare parents
MOST_CELLS, BINS = 64, 12
#: rows that stand for the shares of all rows where the rows of a parent's cell are counted
SHRINK = 5.0
#: mass of a cell at least: narrower ones would be lost in the rounding of the rows
SMALLEST = 2e-5
#: gain at least, nats a row, for which a parent is taken
LEAST_GAIN = 1e-3
#: rows of a parent's cell at least for a spline of its own
ROWS_OF_SPLINE = 100


def fit_tree(
    rows: Array, source: int, lines: Sequence[CellLine | None], units: tuple[Array, Array]
) -> TreeMap:
    """The tree with the largest held-out likelihood, and the maps along it.

    Columns of cells are joined by the tree of largest gain, each edge by the held-out log-probability of one
    column given the other, less that of the column alone (nats a row). A column of real numbers gets the
    parent of largest gain in the same way, by twelve parts of equal share.

    Args:
        rows: training rows, and their copies behind them, standardised units, shape (rows, d).
        source: how many of them are no copies.
        lines: how the cells of each column lie; ``None`` for real numbers.
        units: shift and scale of each column, from standardised units to those of the cells.
    """
    own = rows[:source]
    codes = [
        None if one is None else _codes(own[:, j] * units[1][j] + units[0][j], one)
        for j, one in enumerate(lines)
    ]
    parents = _parents(own, codes, lines)
    cells = [0 if one is None else one.count for one in lines]
    masses: list[Array] = []
    tables: list[tuple[torch.Tensor, ...]] = []
    first = []
    for j, line in enumerate(lines):
        parent = parents[j]
        groups = 1 if parent < 0 else cells[parent]
        given = None if parent < 0 else codes[parent]
        own_codes = codes[j]
        if own_codes is not None and line is not None:
            first.append(sum(map(len, masses)))
            masses.append(conditional_masses(own_codes, line.count, given, groups))
        else:
            first.append(len(tables))
            beside = None if parent < 0 else _codes_of_all(rows[:, parent], lines[parent], units, parent)
            tables += _splines(rows[:, j], source, beside, groups)
    longest = max((len(one[0]) for one in tables), default=2)
    splines = [
        torch.stack([_longer(one[part], longest) for one in tables]) if tables else torch.empty(0, longest)
        for part in range(3)
    ]
    return TreeMap(
        parents=torch.tensor(parents), cells=torch.tensor(cells),
        halves=torch.tensor([one is not None and one.halves for one in lines]),
        shift=torch.from_numpy(units[0]), scale=torch.from_numpy(units[1]), first=torch.tensor(first),
        masses=_stacked(masses), knots=splines[0], values=splines[1], slopes=splines[2],
    )  # fmt: skip


def conditional_masses(codes: Codes, count: int, given: Codes | None, groups: int) -> Array:
    """Masses of cells in the rows of each cell of the parent, shape (groups, count).

    Five rows with the shares of all rows stand beside those that are counted, and no mass is smaller than
    2e-5.

    Args:
        codes: of the rows, 0 … count − 1.
        count: of cells.
        given: cells of the parent, ``None`` for none.
        groups: how many the parent has.
    """
    shares = _floored(np.bincount(codes, minlength=count) + 1.0)
    if given is None:
        return shares[None]
    counted = np.bincount(given * count + codes, minlength=groups * count).reshape(groups, count)
    return np.stack([_floored(one + SHRINK * shares) for one in counted])


def _floored(counted: Array) -> Array:
    masses: Array = np.maximum(counted / counted.sum(), SMALLEST)
    return masses / masses.sum()


def _codes(x: Array, line: CellLine) -> Codes:
    """Cells of numbers in the units of the cells."""
    found = x >= 0 if line.halves else np.clip(np.floor(x + 0.5), 0, line.count - 1)
    return found.astype(np.int64)


def _codes_of_all(u: Array, line: CellLine | None, units: tuple[Array, Array], j: int) -> Codes:
    assert line is not None
    return _codes(u * units[1][j] + units[0][j], line)


def _parents(own: Array, codes: Sequence[Codes | None], lines: Sequence[CellLine | None]) -> list[int]:
    """The number of each column's parent, −1 for none."""
    kept = at_most(np.arange(len(own)), CHOOSING_ROWS)
    folds = np.random.default_rng(0).permutation(len(kept)) % FOLDS
    listed = {j: one[kept] for j, one in enumerate(codes) if one is not None}
    counts = {j: one.count for j, one in enumerate(lines) if one is not None}
    usable = [j for j in listed if counts[j] <= MOST_CELLS]
    parents = [-1] * len(codes)
    gains = np.zeros((len(usable), len(usable)))
    for a, i in enumerate(usable):
        for b, j in enumerate(usable[:a]):
            gains[a, b] = _gain(listed[i], counts[i], listed[j], counts[j], folds)
    for child, parent in _edges(np.where(gains > LEAST_GAIN, gains, 0.0)):
        parents[usable[child]] = usable[parent]
    for j in range(len(codes)):
        if j in usable:
            continue
        of, count = (listed[j], counts[j]) if j in listed else (_parts(own[kept, j]), BINS)
        by = {i: _gain(of, count, listed[i], counts[i], folds) for i in usable}
        best = max(by, key=lambda i: by[i], default=-1)
        if best >= 0 and by[best] > LEAST_GAIN:
            parents[j] = best
    return parents


def _edges(gains: Array) -> list[tuple[int, int]]:
    """Children and parents of the trees of largest gain, from the columns with the largest sums of gains."""
    forest = minimum_spanning_tree(csr_array(-gains))
    weights = (gains + gains.T).sum(1)
    found: list[tuple[int, int]] = []
    seen: set[int] = set()
    for root in np.argsort(-weights, kind="stable").tolist():
        if root in seen:
            continue
        order, before = breadth_first_order(forest, root, directed=False)
        seen |= set(order.tolist())
        found += [(int(node), int(before[node])) for node in order[1:]]
    return found


def _gain(codes: Codes, count: int, given: Codes, groups: int, folds: NDArray[np.int64]) -> float:
    """Held-out log-probability of cells given those of a parent, less that of the cells alone, nats a row."""
    total = 0.0
    for fold in range(FOLDS):
        held = folds == fold
        alone = conditional_masses(codes[~held], count, None, 1)[0]
        beside = conditional_masses(codes[~held], count, given[~held], groups)
        total += float(np.log(beside[given[held], codes[held]] / alone[codes[held]]).sum())
    return total / len(codes)


def _parts(values: Array) -> Codes:
    """Parts of equal share that numbers lie in."""
    edges = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def _splines(values: Array, source: int, given: Codes | None, groups: int) -> list[tuple[torch.Tensor, ...]]:
    """Knots, values and slopes of the spline for each cell of the parent; of all rows where it has too few.

    Args:
        values: of a column, and its copies behind them.
        source: how many of them are no copies.
        given: cells of the parent, of copies too.
        groups: how many the parent has.
    """
    whole = _spline(values, source)
    if given is None:
        return [whole]
    found = []
    for group in range(groups):
        inside = given == group
        rows = int(inside[:source].sum())
        enough = rows >= ROWS_OF_SPLINE and np.ptp(values[inside][:rows]) > 0
        found.append(_spline(values[inside], rows) if enough else whole)
    return found


def _spline(values: Array, source: int) -> tuple[torch.Tensor, ...]:
    fitted = fit_marginals(values[:, None], source)
    return fitted.knots[0], fitted.values[0], fitted.slopes[0]


def _longer(part: torch.Tensor, length: int) -> torch.Tensor:
    return torch.cat([part, part[-1:].expand(length - len(part))])


def _stacked(masses: Sequence[Array]) -> torch.Tensor:
    """Masses of all columns of cells, with zeros behind the last cell of each."""
    widest = max((one.shape[1] for one in masses), default=1)
    padded = [np.pad(one, ((0, 0), (0, widest - one.shape[1]))) for one in masses]
    return torch.from_numpy(np.concatenate(padded) if padded else np.empty((0, widest)))
