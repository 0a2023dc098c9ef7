"""Columns whose values lie on a grid, and values that many rows hold exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jko.preparation.table import Array

#: share of rows at one single value from which the value is an atom
ATOM = 0.01
#: share of the gaps between repeated values that must be a step, and multiples of it
STEPS, MULTIPLES = 0.1, 0.95
#: share of the rows beside the commonest value that must lie on the grid
ON_GRID = 0.95
#: distinct values at most of a column that is discrete without a regular grid
FEW = 100
#: how many times more rows than nearly all other values an atom has
STANDS_OUT = 5
#: rounding of a written number, in units of its last bit
ROUNDING = 8
#: how far from a whole number of steps a gap may be
WHOLE = 1e-3
#: decimals at most of a grid of decimals, and how far from them its step may be, in steps
MOST_PLACES, EXACT = 6, 1e-9


@dataclass(frozen=True)
class Values:
    """The distinct values of a column, those that differ by rounding alone taken as one.

    Args:
        values: ascending, shape (values,).
        counts: rows that hold each, shape (values,).
        tolerance: what rounding may make of one value, data units.
    """

    values: Array
    counts: NDArray[np.int64]
    tolerance: float


def distinct(column: Array) -> Values:
    """The distinct values of a column; numbers that were float32 once are as coarse as those."""
    values, counts = np.unique(column, return_counts=True)
    with np.errstate(over="ignore"):
        single = np.array_equal(values, values.astype(np.float32))
    eps = np.finfo(np.float32 if single and not np.array_equal(values, np.rint(values)) else float).eps
    size = np.abs(values)
    tolerance = float(ROUNDING * eps * np.quantile(size, 0.95))  # a fill value says nothing of the others
    own = np.maximum(tolerance, ROUNDING * eps * np.maximum(size[1:], size[:-1]))
    first = np.flatnonzero(np.r_[True, np.diff(values) > own])
    return Values(values[first], np.add.reduceat(counts, first), tolerance)


def grid_step(column: Array) -> float:
    """The spacing of a column's grid, 0 if its values look continuous.

    A column is gridded when the values that repeat lie a whole number of steps apart, the step itself is
    frequent among their gaps, and nearly all other rows lie on the same grid. A column of few values
    without such a step, as doses of 0, 0.5 and 3.7, has the smallest gap. One value that many rows share is
    an atom and says nothing of the others. A constant column has no gap, so no step.
    """
    found, rows = distinct(column), len(column)
    if len(found.values) < 2 or 2 * len(found.values) >= rows:
        return 0.0
    step = _regular_step(found)
    if step:
        return step
    rare = found.counts[found.counts <= max(1, ATOM * rows)]
    if len(found.values) <= FEW and (2 * len(rare) < rare.sum() or not len(rare)):
        return float(np.diff(found.values).min())
    return 0.0


def _regular_step(found: Values) -> float:
    """The step of a regular grid through the repeated values, 0 without one."""
    repeated = found.values[found.counts > 1]
    if len(repeated) < 2:
        return 0.0
    gaps = np.sort(np.diff(repeated))
    starts = np.flatnonzero(np.r_[True, np.diff(gaps) > 2 * found.tolerance + WHOLE * gaps[:-1]])
    frequent = np.diff(np.r_[starts, len(gaps)]) >= STEPS * len(gaps)
    for gap in gaps[starts[frequent]]:
        many = np.rint(gaps / gap)
        close = np.abs(gaps / gap - many) <= min(0.1, WHOLE + 2 * found.tolerance / gap)
        if (close & (many > 0)).mean() < MULTIPLES:
            continue
        step = float(gaps[close].sum() / many[close].sum())
        return step if step > 4 * found.tolerance and _most_lie_on(found, step) else 0.0
    return 0.0


def _most_lie_on(found: Values, step: float) -> bool:
    """Whether nearly all rows but those at the commonest value lie on the grid through it."""
    mode = int(found.counts.argmax())
    apart = (found.values - found.values[mode]) / step
    # far from the commonest value the error of the step adds up
    room = WHOLE + 2 * found.tolerance / step + 1e-9 * np.abs(apart)
    right = np.abs(apart - np.rint(apart)) <= np.minimum(room, 0.1)
    others = np.arange(len(apart)) != mode
    rows = found.counts * others
    return bool(rows[right].sum() >= ON_GRID * rows.sum())


def on_grid(values: Array, origin: float, step: float) -> Array:
    """The nearest point of a grid to every value; this undoes noise of one step around the points.

    Where the grid is one of decimals, so are the points: 0.3, and not 3 · 0.1 = 0.30000000000000004.

    Args:
        values: any shape.
        origin: a point of the grid.
        step: its spacing.
    """
    places = _places(origin, step)
    if places is not None:
        origin, step = round(origin, places), round(step, places)
    with np.errstate(over="ignore", invalid="ignore"):
        found = origin + np.rint((values - origin) / step) * step
        found = found if places is None else np.round(found, places)
    return np.where(np.isfinite(found), found + 0.0, values)  # + 0.0, so that no zero has a sign


def grid_origin(column: Array, step: float) -> float | None:
    """A point of the grid with this step on which all rows of a column lie; ``None`` if some do not."""
    nearest = float(column[np.abs(column).argmin()])
    origin = 0.0 if abs(nearest - np.rint(nearest / step) * step) <= WHOLE * step else nearest
    apart = np.abs(on_grid(column, origin, step) - column)
    return origin if (apart <= WHOLE * step).all() else None


def neat(step: float) -> float:
    """A step of decimals as it is written: 0.1, and not 0.09999999999999999."""
    near = (round(step, places) for places in range(1, MOST_PLACES + 1))
    return next((found for found in near if abs(found - step) <= EXACT * step), step)


def _places(origin: float, step: float) -> int | None:
    """Decimals that the points of a grid are written with, ``None`` where these are too many."""
    for places in range(MOST_PLACES + 1):
        if all(abs(value - round(value, places)) <= EXACT * step for value in (origin, step)):
            return places if round(step, places) > 0 else None
    return None


def atoms(column: Array) -> list[tuple[float, float]]:
    """Values that far more rows of a continuous column hold than others, with their shares."""
    found = distinct(column)
    share = found.counts / len(column)
    others = found.counts[share <= ATOM]  # several atoms are no measure of each other
    usual = max(1.0, float(np.quantile(others if len(others) else found.counts, 0.95)))
    many = np.flatnonzero((share > ATOM) & (found.counts > max(2.0, STANDS_OUT * usual)))
    return [(float(found.values[i]), float(share[i])) for i in many[np.argsort(-share[many])]]
