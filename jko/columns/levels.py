"""Columns whose cells are those of a list: ordinal, categorical, boolean.

Categories can be spread in two ways. On a **line**, level k is the interval k ± ½ with uniform noise: one
column, but neighbours that have nothing to do with each other, and jumps between them. On a **simplex**, each
is a region around a corner, with normal noise (:func:`jko.columns.noise.on_simplex`): K − 1 columns, every
level a neighbour of all, and N(0, I) where all are equally likely.

Both were measured by the mean log-probability of fresh rows of a known law: a category of K levels, and a
number whose mean and deviation depend on it; 4 000 rows to fit, nats per row below the truth, the mean of
several draws' probabilities, and its standard error.

======================================================  ==  ============  ============
model                                                   K   line          simplex
======================================================  ==  ============  ============
chain, preset tabular, start marginals, 8 draws         3   .048 ± .005   .071 ± .006
the same                                                6   .146 ± .007   .204 ± .009
Gaussian mixture, parts by validation rows, 16 draws    3   .058 ± .004   .043 ± .003
the same                                                6   .042 ± .003   .116 ± .004
the same                                                12  .048 ± .003   .217 ± .006
the same                                                24  .075 ± .004   .606 ± .010
======================================================  ==  ============  ============

One law for each K, so the errors are those of the rows alone. With one draw the chain is .080 and .222 below
the truth on a line, .138 and .369 on a simplex. So a line is what is taken; two levels are the halves of a
line in either way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from jko.columns.column import Cell, Values, as_object
from jko.columns.conditions import COMPARED, Condition, impossible, no_order, number_of, same_cell
from jko.columns.discrete import Discrete
from jko.columns.noise import around, nearest_corner, on_line, on_simplex, simplex_log_det
from jko.columns.regions import Constraint, Corners, Intervals, Region
from jko.core.cell_line import HALVES, CellLine
from jko.core.errors import InputError
from jko.preparation.names import listed, shown
from jko.preparation.table import Array

#: levels at most that are spread on a simplex where nothing else is said
FEW_CORNERS = 2


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

    @property
    def cell_lines(self) -> tuple[CellLine | None, ...]:
        """Intervals of a line."""
        return (CellLine(len(self.levels)),)

    def codes(self, cells: Values) -> NDArray[np.int64]:
        """The number of every cell in the list, shape (n,)."""
        known = {level: code for code, level in enumerate(self.levels)}
        found = np.array([known.get(cell, -1) for cell in cells.tolist()], dtype=np.int64)
        self.outside(cells, found >= 0, f"it has {len(self.levels)} levels, as {self.levels[0]!r}")
        return found

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """See :meth:`Column.constraint`."""
        fulfilled = [self._fulfilling(one) for one in conditions]
        codes = tuple(code for code in range(len(self.levels)) if all(code in own for own in fulfilled))
        if not codes:
            raise impossible(conditions)
        return Constraint(self.region(codes), self.levels[codes[0]] if len(codes) == 1 else None)

    def region(self, codes: Sequence[int]) -> Region:
        """Where levels lie: intervals of a line, if nothing else is said.

        Args:
            codes: their numbers in the list.
        """
        last = len(self.levels) - 1
        return Intervals(
            tuple(
                (-math.inf if code == 0 else code - 0.5, math.inf if code == last else code + 0.5)
                for code in codes
            )
        )

    def place(self, value: object, condition: Condition) -> float:
        """The number of a value in the list.

        Raises:
            InputError: there is no such level.
        """
        for code, level in enumerate(self.levels):
            if same_cell(level, value):
                return code
        raise InputError(
            f"{condition}: column {shown(self.name)} has no level {shown(value)}; it has "
            f"{listed([shown(level) for level in self.levels])}"
        )

    def _fulfilling(self, condition: Condition) -> set[int]:
        """Numbers of the levels that fulfil a condition."""
        codes = range(len(self.levels))
        if condition.op not in ("=", "!=", "in"):
            return {code for code in codes if self.compared(code, condition)}
        named = [self.place(value, condition) for value in condition.values]
        return {code for code in codes if COMPARED[condition.op](code, named)}

    def compared(self, code: int, condition: Condition) -> bool:
        """Whether a level fulfils ``<``, ``<=``, ``>`` or ``>=``.

        Raises:
            InputError: the levels have no order.
        """
        raise no_order(condition, self.levels)

    def of_codes(self, codes: NDArray[np.int64]) -> Values:
        """The cells of numbers in the list."""
        found: Values = as_object(self.levels)[codes]
        return found


class Ordinal(Levels):
    """Levels in an order, low to high, such as small, medium, large: z = k + u − ½ for the level k."""

    kind: Literal["ordinal"] = "ordinal"

    def compared(self, code: int, condition: Condition) -> bool:
        """See :meth:`Levels.compared`; numbers may lie between levels that are numbers."""
        level = self.levels[code]
        if all(isinstance(own, int | float) for own in self.levels):
            assert isinstance(level, int | float)
            values = [number_of(value, self.name) for value in condition.values]
            return COMPARED[condition.op](level, values)
        return COMPARED[condition.op](code, [self.place(value, condition) for value in condition.values])

    @property
    def steps(self) -> tuple[float, ...]:
        """Those of the levels."""
        return (1.0,)

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        z, log_det = around(self.codes(cells).astype(float), 1.0, noise[:, 0])
        return z[:, None], log_det

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        return self.of_codes(on_line(encoded[:, 0], len(self.levels) - 1))


class Categorical(Levels):
    """Levels without an order, text or numbers.

    On a line they stand in the order of the list, which :mod:`jko.columns.order` finds: levels that are alike
    in the other columns stand beside each other.

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
    def steps(self) -> tuple[float, ...]:
        """Those of the levels on a line."""
        return (0.0,) * self.width if self.by_simplex else (1.0,)

    @property
    def cell_lines(self) -> tuple[CellLine | None, ...]:
        """Intervals of a line, or the halves of one; on other simplices no column has cells of its own."""
        if not self.by_simplex:
            return super().cell_lines
        return (HALVES,) if self.width == 1 else (None,) * self.width

    @property
    def sheets(self) -> int:
        """On a simplex one point for each level goes to the same."""
        return len(self.levels) if self.by_simplex else 1

    def region(self, codes: Sequence[int]) -> Region:
        """See :meth:`Levels.region`."""
        return Corners(tuple(codes)) if self.by_simplex else super().region(codes)

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
        return self.of_codes(on_line(encoded[:, 0], len(self.levels) - 1))

    def log_det(self, encoded: Array) -> Array:
        """See :meth:`Column.log_det`."""
        return simplex_log_det(encoded) if self.by_simplex else np.zeros(len(encoded))


class Boolean(Levels):
    """Two levels, such as no and yes: the halves of the line, with half-normal noise (:func:`on_simplex`)."""

    kind: Literal["boolean"] = "boolean"
    levels: Annotated[tuple[Cell, ...], Field(min_length=2, max_length=2)] = (False, True)

    @property
    def cell_lines(self) -> tuple[CellLine | None, ...]:
        """The halves of a line."""
        return (HALVES,)

    @property
    def sheets(self) -> int:
        """A point and its mirror image go to the same."""
        return 2

    def region(self, codes: Sequence[int]) -> Region:
        """See :meth:`Levels.region`."""
        return Corners(tuple(1 - code for code in codes))

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        z, log_det = on_simplex(1 - self.codes(cells), 2, noise)  # so that z grows with the level
        return z, log_det

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        return self.of_codes(1 - nearest_corner(encoded))

    def log_det(self, encoded: Array) -> Array:
        """See :meth:`Column.log_det`."""
        return simplex_log_det(encoded)
