r"""Columns of discrete cells: each has a mass, and noise makes real numbers of it.

Categories can be spread in two ways. On a **line**, category k is the interval k ± ½ with uniform noise: one
column, but neighbours that have nothing to do with each other. On a **simplex**, each is a region around a
corner (:func:`jko.columns.noise.on_simplex`): K − 1 columns, and all categories are neighbours of all.
Measured on 4 000 rows of a category and a number whose mean and spread depend on it, log-masses by 16 draws
of the noise, a Gaussian mixture of 10 parts on the encoded columns (FIGURES)
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from jko.columns.column import (
    Above0,
    Cell,
    Column,
    Exactness,
    Finite,
    Meaning,
    Values,
    as_numbers,
    as_object,
    typed,
)
from jko.columns.noise import around, nearest_corner, on_simplex
from jko.preparation.grid import on_grid
from jko.preparation.table import Array

#: categories at most that are spread on a simplex where nothing else is said
FEW_CORNERS = 12


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

    def points(self, encoded: Array) -> Array:
        """The points of the grid that numbers decode to."""
        (origin, step), (low, high) = self.grid(), self.ends()
        return on_grid(np.clip(encoded[:, 0], low, high), origin, step)


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


class Levels(Discrete):
    """Cells of a list.

    Args:
        levels: all cells that there can be, no two alike.
    """

    levels: Annotated[tuple[Cell, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _different(self) -> Levels:
        twice = [level for i, level in enumerate(self.levels) if level in self.levels[:i]]
        if twice:
            raise ValueError(f"the level {twice[0]!r} is there twice")
        return self

    def codes(self, cells: Values) -> NDArray[np.int64]:
        """The number of every cell in the list, shape (n,)."""
        known = {level: code for code, level in enumerate(self.levels)}
        found = np.array([known.get(cell, -1) for cell in cells.tolist()], dtype=np.int64)
        self.outside(cells, found >= 0, f"it has {len(self.levels)} levels, as {self.levels[0]!r}")
        return found

    def of_codes(self, codes: NDArray[np.int64]) -> Values:
        """The cells of numbers in the list."""
        found: Values = as_object(self.levels)[codes]
        return found


class Ordinal(Levels):
    """Levels in an order, low to high, such as small, medium, large: z = k + u − ½ for the level k."""

    kind: Literal["ordinal"] = "ordinal"

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        z, log_det = around(self.codes(cells).astype(float), 1.0, noise[:, 0])
        return z[:, None], log_det

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        return self.of_codes(np.rint(np.clip(encoded[:, 0], 0, len(self.levels) - 1)).astype(np.int64))


class Categorical(Levels):
    """Levels without an order, text or numbers, the commonest first.

    Args:
        spread: how they become real numbers. ``auto`` is ``simplex`` for up to :data:`FEW_CORNERS` levels,
            else ``line``.
    """

    kind: Literal["categorical"] = "categorical"
    spread: Literal["auto", "simplex", "line"] = "auto"

    @property
    def by_simplex(self) -> bool:
        """Whether the levels are regions around the corners of a simplex."""
        return self.spread == "simplex" or (self.spread == "auto" and len(self.levels) <= FEW_CORNERS)

    @property
    def parts(self) -> tuple[str, ...]:
        """One column on a line, K − 1 on a simplex."""
        count = len(self.levels) - 1
        return ("",) if not self.by_simplex or count == 1 else tuple(f"/{i}" for i in range(1, count + 1))

    @property
    def noise_width(self) -> int:
        """As many as encoded columns."""
        return self.width

    @property
    def sheets(self) -> int:
        """On a simplex one point for each level goes to the same."""
        return len(self.levels) if self.by_simplex else 1

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        codes = self.codes(cells)
        if self.by_simplex:
            return on_simplex(codes, len(self.levels), noise)
        z, log_det = around(codes.astype(float), 1.0, noise[:, 0])
        return z[:, None], log_det

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        if self.by_simplex:
            return self.of_codes(nearest_corner(encoded))
        return self.of_codes(np.rint(np.clip(encoded[:, 0], 0, len(self.levels) - 1)).astype(np.int64))


class Boolean(Levels):
    """Two levels, such as no and yes: the halves of the line, with half-normal noise (:func:`on_simplex`)."""

    kind: Literal["boolean"] = "boolean"
    levels: Annotated[tuple[Cell, ...], Field(min_length=2, max_length=2)] = (False, True)

    @property
    def sheets(self) -> int:
        """A point and its mirror image go to the same."""
        return 2

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        z, log_det = on_simplex(1 - self.codes(cells), 2, noise)  # so that z grows with the level
        return z, log_det

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        return self.of_codes(1 - nearest_corner(encoded))


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
