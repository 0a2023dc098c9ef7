"""Which columns tell most of which, and the map of each column given those."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jko.core.cell_line import CellLine
from jko.core.rows import at_most
from jko.maps.conditionals import NONE, Conditionals
from jko.maps.start_fit import fit_marginals

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
#: rows that parents are chosen by, and parts into which they are divided
CHOOSING_ROWS, FOLDS = 20_000, 3
#: pairs of their cells at most that a column of cells, and one of real numbers, can be given
MOST_GROUPS, MOST_SPLINES = 512, 64
#: columns at most that are tried as a second parent, the best ones as a first parent
SECOND = 8
#: parts into which real numbers are divided to choose their parents
BINS = 12
#: rows that stand beside those of a parent's cell, with the shares of all rows
SHRINK = 5.0
#: mass of a cell at least: narrower ones would be lost in the rounding of the rows
SMALLEST = 2e-5
#: gain at least, nats a row, for which a parent is taken
LEAST_GAIN = 1e-3
#: rows of the parents' cells at least for a spline of their own
ROWS_OF_SPLINE = 100


@dataclass(frozen=True)
class Listed:
    """A column as cells: its own, or parts of equal share of real numbers.

    Args:
        codes: of the rows, 0 … count − 1.
        count: K of cells.
    """

    codes: Codes
    count: int


def fit_conditionals(
    rows: Array, source: int, lines: Sequence[CellLine | None], units: tuple[Array, Array]
) -> Conditionals:
    """The maps of columns, each given the cells of at most two others that tell most of it.

    Columns of cells join one after the other, the one with the largest gain by a column that is there. The
    gain is its held-out log-probability given the other's cells, less that without, nats a row. A second
    parent is the one that adds most. Columns of real numbers come last, and are no parents.

    Args:
        rows: training rows, and their copies behind them, standardised units, shape (rows, d).
        source: how many of them are no copies.
        lines: how the cells of each column lie; ``None`` for real numbers.
        units: shift and scale of each column, from standardised units to those of the cells.
    """
    cells = {
        j: Listed(_codes(rows[:, j] * units[1][j] + units[0][j], line), line.count)
        for j, line in enumerate(lines)
        if line is not None
    }
    parents = _parents(rows[:source], cells)
    masses: list[Array] = []
    tables: list[tuple[Tensor, ...]] = []
    first = []
    for j, own in enumerate(parents):
        given = [cells[parent] for parent in own]
        if j in cells:
            first.append(sum(map(len, masses)))
            masses.append(conditional_masses(_some(cells[j], source), [_some(one, source) for one in given]))
        else:
            first.append(len(tables))
            tables += _splines(rows[:, j], source, given)
    longest = max((len(one[0]) for one in tables), default=2)
    splines = [
        torch.stack([_longer(one[part], longest) for one in tables]) if tables else torch.empty(0, longest)
        for part in range(3)
    ]
    return Conditionals(
        parents=torch.tensor([[*own, NONE, NONE][:2] for own in parents]),
        cells=torch.tensor([0 if line is None else line.count for line in lines]),
        halves=torch.tensor([line is not None and line.halves for line in lines]),
        shift=torch.from_numpy(units[0]), scale=torch.from_numpy(units[1]), first=torch.tensor(first),
        masses=_stacked(masses), knots=splines[0], values=splines[1], slopes=splines[2],
    )  # fmt: skip


def conditional_masses(own: Listed, given: Sequence[Listed]) -> Array:
    """Masses of cells for each pair of the parents' cells, shape (groups, count).

    Beside the rows that are counted stand five with the masses given one parent less, and no mass is smaller
    than 2e-5.

    Args:
        own: the column.
        given: its parents, in turn.
    """
    if not given:
        return _floored(1.0 + np.bincount(own.codes, minlength=own.count).astype(np.float64))[None]
    before = np.repeat(conditional_masses(own, given[:-1]), given[-1].count, axis=0)
    group, groups = _groups(given)
    counted = np.bincount(group * own.count + own.codes, minlength=groups * own.count)
    tables: Array = counted.reshape(groups, own.count) + SHRINK * before
    return np.stack([_floored(one) for one in tables])


def _groups(given: Sequence[Listed]) -> tuple[Codes, int]:
    """The pair of cells that each row has, and how many pairs there are."""
    group = np.zeros(len(given[0].codes), dtype=np.int64)
    for one in given:
        group = group * one.count + one.codes
    return group, math.prod(one.count for one in given)


def _floored(counted: Array) -> Array:
    masses: Array = np.maximum(counted / counted.sum(), SMALLEST)
    return masses / masses.sum()


def _codes(x: Array, line: CellLine) -> Codes:
    """Cells of numbers in the units of the cells."""
    found = x >= 0 if line.halves else np.clip(np.floor(x + 0.5), 0, line.count - 1)
    return found.astype(np.int64)


def _some(listed: Listed, rows: int | NDArray[np.bool_] | Codes) -> Listed:
    """The first rows, or those that are named."""
    return Listed(listed.codes[:rows] if isinstance(rows, int) else listed.codes[rows], listed.count)


class _Gains:
    """What columns gain by parents, each found once.

    Args:
        columns: as cells, by number.
    """

    def __init__(self, columns: Mapping[int, Listed]) -> None:
        self.columns = columns
        rows = len(next(iter(columns.values())).codes) if columns else 0
        folds = np.random.default_rng(0).permutation(rows) % FOLDS
        self._held = [folds == fold for fold in range(FOLDS)]
        self._known: dict[tuple[int, ...], float] = {}

    def __call__(self, j: int, *parents: int) -> float:
        """Held-out log-probability given parents, less that given one of them less, nats a row."""
        return self._value(j, *parents) - self._value(j, *parents[:-1])

    def _value(self, j: int, *parents: int) -> float:
        if (j, *parents) not in self._known:
            own, given = self.columns[j], [self.columns[parent] for parent in parents]
            total = 0.0
            for held in self._held:
                masses = conditional_masses(_some(own, ~held), [_some(one, ~held) for one in given])
                group = _groups([_some(one, held) for one in given])[0] if given else np.zeros(1, np.int64)
                total += float(np.log(masses[group, own.codes[held]]).sum())
            self._known[(j, *parents)] = total / len(own.codes)
        return self._known[(j, *parents)]


def _parents(own: Array, cells: Mapping[int, Listed]) -> list[tuple[int, ...]]:
    """Numbers of each column's parents."""
    kept = at_most(np.arange(len(own)), CHOOSING_ROWS)
    columns = {j: _some(one, kept) for j, one in cells.items()}
    real = [j for j in range(own.shape[1]) if j not in cells]
    columns |= {j: _parts(own[kept, j]) for j in real}
    gains, found = _Gains(columns), dict[int, tuple[int, ...]]()
    for j in _in_turn(gains, list(cells)):
        found[j] = _best(gains, j, list(found), MOST_GROUPS)
    return [
        found[j] if j in found else _best(gains, j, list(cells), MOST_SPLINES) for j in range(own.shape[1])
    ]


def _in_turn(gains: _Gains, cells: Sequence[int]) -> list[int]:
    """Columns of cells, first the one that tells most, then always the one that is told most."""
    left, best, found = list(cells), dict.fromkeys(cells, LEAST_GAIN), list[int]()
    told = {i: sum(max(0.0, gains(j, i)) for j in cells if j != i) for i in cells}
    while left:
        told_most = max(left, key=lambda j: best[j])
        chosen = told_most if best[told_most] > LEAST_GAIN else max(left, key=lambda i: told[i])
        left.remove(chosen)
        found.append(chosen)
        for j in left:
            best[j] = max(best[j], gains(j, chosen))
    return found


def _best(gains: _Gains, j: int, usable: Sequence[int], most: int) -> tuple[int, ...]:
    """At most two parents of a column among those that can be.

    Args:
        gains: of columns.
        j: the column.
        usable: numbers of columns.
        most: pairs of their cells.
    """
    counts = {i: gains.columns[i].count for i in usable if gains.columns[i].count <= most}
    ranked = sorted(counts, key=lambda i: -gains(j, i))
    if not ranked or gains(j, ranked[0]) <= LEAST_GAIN:
        return ()
    parent = ranked[0]
    seconds = [i for i in ranked[1:] if counts[i] * counts[parent] <= most][:SECOND]
    second = max(seconds, key=lambda i: gains(j, parent, i), default=None)
    if second is None or gains(j, parent, second) <= LEAST_GAIN:
        return (parent,)
    return parent, second


def _parts(values: Array) -> Listed:
    """Parts of equal share that numbers lie in."""
    edges = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
    return Listed(np.searchsorted(edges, values, side="right").astype(np.int64), BINS)


def _splines(values: Array, source: int, given: Sequence[Listed]) -> list[tuple[Tensor, ...]]:
    """Knots, values and slopes of the spline for each pair of the parents' cells.

    Where a pair has too few rows, the spline is that given one parent less.

    Args:
        values: of a column, and its copies behind them.
        source: how many of them are no copies.
        given: the parents.
    """
    if not given:
        return [_spline(values, source)]
    before = _splines(values, source, given[:-1])
    group, groups = _groups(given)
    found = []
    for number in range(groups):
        inside = group == number
        rows = int(inside[:source].sum())
        enough = rows >= ROWS_OF_SPLINE and np.ptp(values[:source][inside[:source]]) > 0
        found.append(_spline(values[inside], rows) if enough else before[number // given[-1].count])
    return found


def _spline(values: Array, source: int) -> tuple[Tensor, ...]:
    fitted = fit_marginals(values[:, None], source)
    return fitted.knots[0], fitted.values[0], fitted.slopes[0]


def _longer(part: Tensor, length: int) -> Tensor:
    return torch.cat([part, part[-1:].expand(length - len(part))])


def _stacked(masses: Sequence[Array]) -> Tensor:
    """Masses of all columns of cells, with zeros behind the last cell of each."""
    widest = max((one.shape[1] for one in masses), default=1)
    padded = [np.pad(one, ((0, 0), (0, widest - one.shape[1]))) for one in masses]
    return torch.from_numpy(np.concatenate(padded) if padded else np.empty((0, widest)))
