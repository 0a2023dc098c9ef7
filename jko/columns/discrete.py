"""Columns of discrete cells: each has a mass, and noise makes real numbers of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import model_validator

from jko.columns.column import (
    Above0,
    Column,
    Exactness,
    Finite,
    Meaning,
    Values,
    as_numbers,
    typed,
)
from jko.columns.conditions import Condition, ends_of, impossible
from jko.columns.noise import around
from jko.columns.regions import Constraint, Intervals
from jko.preparation.grid import on_grid
from jko.preparation.table import Array


class Discrete(Column):
    """A column of discrete cells; one draw of its noise bounds the log of a mass."""

    exactness: ClassVar[Exactness] = "bound"

    @property
    def meaning(self) -> Meaning:
        """A mass."""
        return "mass"

    @property
    def noise_width(self) -> int:
        """One uniform number a cell."""
        return 1


class OnGrid(Discrete):
    """Cells on a grid: z = x + step (u − ½), log_det = log step.

    Numbers beyond an end decode to it. The noise reaches half a step beyond an end only, so the bound loses
    what mass the law has farther out.
    """

    def grid(self) -> tuple[float, float]:
        """A point of the grid, and its step."""
        raise NotImplementedError

    def ends(self) -> tuple[float, float]:
        """The first and last point, infinite where there is none."""
        raise NotImplementedError

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        numbers = as_numbers(cells, self.name)
        (origin, step), (low, high) = self.grid(), self.ends()
        near = np.abs(on_grid(numbers, origin, step) - numbers) <= 1e-6 * step
        right = near & (numbers >= low) & (numbers <= high)
        self.outside(cells, right, f"steps of {step:g} from {origin:g} are allowed, {_between(low, high)}")
        z, log_det = around(numbers, step, noise[:, 0])
        return z[:, None], log_det

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """See :meth:`Column.constraint`."""
        (origin, step), (low, high) = self.grid(), self.ends()
        ends = ends_of(conditions, self.name, grid=(origin, step), domain=(low, high))
        if not ends:
            raise impossible(
                conditions, f"steps of {step:g} from {origin:g} are allowed, {_between(low, high)}"
            )
        cells = [(max(a, low - step / 2), min(b, high + step / 2)) for a, b in ends]
        one = len(cells) == 1 and cells[0][1] - cells[0][0] < 1.5 * step
        cell = on_grid(np.array([sum(cells[0]) / 2]), origin, step)[0].item() if one else None
        return Constraint(Intervals(ends), cell)

    @property
    def steps(self) -> tuple[float, ...]:
        """That of the grid."""
        return (self.grid()[1],)

    def log_det(self, encoded: Array) -> Array:
        """See :meth:`Column.log_det`."""
        return np.full(len(encoded), math.log(self.grid()[1]))

    def points(self, encoded: Array) -> Array:
        """The points of the grid that numbers decode to."""
        (origin, step), (low, high) = self.grid(), self.ends()
        first, last = np.ceil((low - origin) / step - 1e-6), np.floor((high - origin) / step + 1e-6)
        many = np.clip(np.rint((encoded[:, 0] - origin) / step), first, last)
        return on_grid(origin + many * step, origin, step)


class Integer(OnGrid):
    """Whole numbers and counts: z = x + u − ½.

    Args:
        low: the smallest that there can be; ``None`` for none. Counts have 0.
        high: the largest.
        dtype: of the column.
    """

    kind: Literal["integer"] = "integer"
    low: int | None = None
    high: int | None = None
    dtype: str = "int64"

    @model_validator(mode="after")
    def _ordered(self) -> Integer:
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low = {self.low} is to be below high = {self.high}")
        return self

    def grid(self) -> tuple[float, float]:
        """See :meth:`OnGrid.grid`."""
        return 0.0, 1.0

    def ends(self) -> tuple[float, float]:
        """See :meth:`OnGrid.ends`."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        return typed(self.points(encoded), self.dtype)


class Gridded(OnGrid):
    """Numbers on a grid, such as prices in cents: z = x + step (u − ½).

    Args:
        origin: a point of the grid.
        step: between two neighbours.
        low: the first point; ``None`` for none.
        high: the last point.
        dtype: of the column.
    """

    kind: Literal["gridded"] = "gridded"
    origin: Finite = 0.0
    step: Above0
    low: Finite | None = None
    high: Finite | None = None
    dtype: str = "float64"

    @model_validator(mode="after")
    def _ordered(self) -> Gridded:
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low = {self.low:g} is to be below high = {self.high:g}")
        return self

    def grid(self) -> tuple[float, float]:
        """See :meth:`OnGrid.grid`."""
        return self.origin, self.step

    def ends(self) -> tuple[float, float]:
        """See :meth:`OnGrid.ends`."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        return typed(self.points(encoded), self.dtype)


def _between(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "of any size"
    return (
        f"from {low:g} on"
        if math.isinf(high)
        else f"up to {high:g}"
        if math.isinf(low)
        else (f"from {low:g} to {high:g}")
    )
