"""Columns of real numbers: a density, with an exact log-determinant, and no noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from jko.columns.column import Column, Finite, Values, as_numbers, typed
from jko.columns.conditions import Condition, ends_of, impossible, single
from jko.columns.regions import Constraint, Intervals
from jko.core.errors import InputError
from jko.preparation.names import shown
from jko.preparation.table import Array


class Real(Column):
    """A column of real numbers.

    Args:
        places: decimals that the column is written with, to which decoded numbers are rounded; ``None`` for
            none. The density is that of the numbers before they are rounded.
        dtype: of the column.
    """

    places: Annotated[int, Field(ge=0, le=15)] | None = None
    dtype: Literal["float64", "float32"] = "float64"

    def rounded(self, numbers: Array) -> Array:
        """Numbers with as many decimals as the column has; no zero has a sign."""
        return numbers if self.places is None else np.round(numbers, self.places) + 0.0

    def finest(self) -> float:
        """The smallest distance of two numbers that the column is written with, 0 where there is none."""
        return 0.0 if self.places is None else float(10.0**-self.places)

    def domain(self) -> tuple[float, float]:
        """The ends of the numbers that there are: left out where the column is not rounded."""
        return -math.inf, math.inf

    def along(self, numbers: Array) -> Array:
        """The z of numbers of the domain, shape (n,) to (n,); it grows with them."""
        return numbers

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """See :meth:`Column.constraint`; a single number has mass zero, though it is rounded to."""
        step = self.finest()
        grid = None if not step else (0.0, step)
        ends = ends_of(conditions, self.name, grid=grid, domain=self.domain(), points=True)
        if not ends:
            low, high = self.domain()
            raise impossible(conditions, f"numbers from {low:g} to {high:g} are there")
        alone = single(ends)
        if alone is None and any(low == high for low, high in ends):
            raise InputError(
                f"{conditions[0]}: single numbers of column {shown(self.name)} have no mass beside each "
                "other; give one of them, or a range"
            )
        z = self.along(np.array(ends, dtype=float).ravel()).reshape(-1, 2)
        region = Intervals(tuple((float(low), float(high)) for low, high in z))
        return Constraint(region, alone, thin=alone is not None)


class Continuous(Real):
    """Any real number, as it is: z = x, log_det = 0."""

    kind: Literal["continuous"] = "continuous"

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        numbers = as_numbers(cells, self.name)
        return numbers[:, None], np.zeros(len(numbers))

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        return typed(self.rounded(encoded[:, 0]), self.dtype)


class Positive(Real):
    """Numbers on one side of an edge, which none of them is: z = ± log |x − edge|, log_det = −log |x − edge|.

    Args:
        edge: the end of the half-line.
        side: where the numbers are. Below the edge z is −log, so that z always grows with x.
    """

    kind: Literal["positive"] = "positive"
    edge: Finite = 0.0
    side: Literal["above", "below"] = "above"

    @property
    def _sign(self) -> float:
        return 1.0 if self.side == "above" else -1.0

    def domain(self) -> tuple[float, float]:
        """See :meth:`Real.domain`."""
        if self.side == "above":
            return self.edge + self.finest(), math.inf
        return -math.inf, self.edge - self.finest()

    def along(self, numbers: Array) -> Array:
        """See :meth:`Real.along`."""
        with np.errstate(divide="ignore"):
            return self._sign * np.log(np.maximum(self._sign * (numbers - self.edge), 0.0))

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        numbers = as_numbers(cells, self.name)
        apart = self._sign * (numbers - self.edge)
        self.outside(cells, apart > 0, f"numbers {self.side} {self.edge:g} are allowed, without it")
        log = np.log(apart)
        return self._sign * log[:, None], -log

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`; a number that would be rounded to the edge is next to it."""
        number = np.dtype(self.dtype).type
        ends = np.finfo(number)
        with np.errstate(over="ignore"):
            apart = np.clip(np.exp(self._sign * encoded[:, 0]), float(ends.tiny), 0.5 * float(ends.max))
        apart = np.maximum(apart, self.finest())
        found = typed(self.rounded(self.edge + self._sign * apart), self.dtype)
        beside = np.nextafter(number(self.edge), number(self._sign * np.inf))
        right = self._sign * (np.asarray(found, dtype=float) - self.edge) > 0
        return np.where(right, found, beside)

    def log_det(self, encoded: Array) -> Array:
        """See :meth:`Column.log_det`."""
        return -self._sign * encoded[:, 0]


class Bounded(Real):
    """Numbers between two ends, which none of them is: z = log (x − low) − log (high − x).

    log_det = log (high − low) − log (x − low) − log (high − x).

    Args:
        low: the lower end.
        high: the upper end.
    """

    kind: Literal["bounded"] = "bounded"
    low: Finite = 0.0
    high: Finite = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Bounded:
        if not self.low < self.high:
            raise ValueError(f"low = {self.low:g} is to be below high = {self.high:g}")
        return self

    def domain(self) -> tuple[float, float]:
        """See :meth:`Real.domain`."""
        return self.low + self.finest(), self.high - self.finest()

    def along(self, numbers: Array) -> Array:
        """See :meth:`Real.along`."""
        with np.errstate(divide="ignore"):
            below = np.log(np.maximum(numbers - self.low, 0.0))
            above = np.log(np.maximum(self.high - numbers, 0.0))
        return below - above

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        numbers = as_numbers(cells, self.name)
        below, above = numbers - self.low, self.high - numbers
        right = (below > 0) & (above > 0)
        self.outside(
            cells, right, f"numbers between {self.low:g} and {self.high:g} are allowed, without these"
        )
        log_below, log_above = np.log(below), np.log(above)
        z = log_below - log_above
        return z[:, None], np.log(self.high - self.low) - log_below - log_above

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`; a number that would be rounded to an end is next to it."""
        z, length = encoded[:, 0], self.high - self.low
        with np.errstate(over="ignore"):
            share = 1 / (1 + np.exp(np.abs(z)))  # of the nearer end, where it is small and exact
        found = self.rounded(np.where(z < 0, self.low + length * share, self.high - length * share))
        first = max(self.low + self.finest(), np.nextafter(self.low, np.inf))
        last = min(self.high - self.finest(), np.nextafter(self.high, -np.inf))
        return typed(self.rounded(np.clip(found, first, last)), self.dtype)

    def log_det(self, encoded: Array) -> Array:
        """See :meth:`Column.log_det`."""
        z = np.abs(encoded[:, 0])
        found: Array = z + 2 * np.log1p(np.exp(-z)) - np.log(self.high - self.low)
        return found
