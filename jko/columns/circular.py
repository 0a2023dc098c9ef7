"""Columns whose ends meet: directions in degrees, hours of a day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import model_validator

from jko.columns.column import Above0, Column, Exactness, Finite, Meaning, Values, as_numbers, typed
from jko.columns.conditions import Condition, ends_of, impossible, number_of, single
from jko.columns.noise import LOG_2PI, on_circle, turns_of
from jko.columns.regions import Constraint, Ends, Sectors
from jko.core.errors import InputError
from jko.preparation.grid import on_grid
from jko.preparation.names import shown
from jko.preparation.table import Array

#: how far from a whole number of steps a period may be
WHOLE = 1e-9


class Circular(Column):
    """Numbers of a circle: a point of the plane at their angle, its distance from the origin being noise.

    With t = (x − low) / period and r of density r exp(−r² / 2): z = r (cos 2πt, sin 2πt) and
    log_det = log 2π + r² / 2 − log period, and log step more on a grid, where uniform noise of one step comes
    first. It is a bound, and exact where z is N(0, I): then every draw gives the density 1 / period.

    Args:
        period: length of a turn, data units.
        low: where the numbers of a turn begin; they lie in [low, low + period).
        closed: which of two more cells there can be, each the angle of one that comes back in its place:
            ``high``, low + period for low; ``low``, on a grid the point before low for the last one.
        step: of the grid they lie on; ``None`` for none. A period is a whole number of steps.
        dtype: of the column.
    """

    exactness: ClassVar[Exactness] = "bound"

    kind: Literal["circular"] = "circular"
    period: Above0
    low: Finite = 0.0
    closed: Literal["low", "high"] | None = None
    step: Above0 | None = None
    dtype: str = "float64"

    @model_validator(mode="after")
    def _whole(self) -> Circular:
        if self.step is not None:
            steps = self.period / self.step
            if round(steps) < 2 or abs(steps - round(steps)) > WHOLE * steps:
                raise ValueError(
                    f"period = {self.period:g} is to be two steps of {self.step:g} or more, whole ones"
                )
        return self

    @property
    def meaning(self) -> Meaning:
        """A mass on a grid, else a density."""
        return "density" if self.step is None else "mass"

    @property
    def parts(self) -> tuple[str, ...]:
        """The two axes of the plane."""
        return ("/cos", "/sin")

    @property
    def noise_width(self) -> int:
        """The distance, and the place in a step."""
        return 1 if self.step is None else 2

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        numbers = as_numbers(cells, self.name)
        first, end = self.low, self.low + self.period
        first -= (self.step or 0.0) if self.closed == "low" else 0.0
        right = (numbers >= first) & (numbers < end)
        if self.closed == "high":
            right |= np.abs(numbers - end) <= WHOLE * self.period
        if self.step is not None:
            right &= np.abs(on_grid(numbers, self.low, self.step) - numbers) <= 1e-6 * self.step
        grid = "" if self.step is None else f" in steps of {self.step:g}"
        below = "" if self.closed == "high" else "below "
        self.outside(cells, right, f"numbers from {first:g} to {below}{end:g}{grid} are allowed")
        moved, own = numbers - self.low, -math.log(self.period)
        if self.step is not None:
            moved = moved + self.step * (noise[:, 1] - 0.5)
            own += math.log(self.step)
        z, log_det = on_circle(moved / self.period, noise[:, 0])
        return z, log_det + own

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """See :meth:`Column.constraint`; a direction has mass zero where there is no grid."""
        end = self.low + self.period
        grid = None if self.step is None else (self.low, self.step)
        asked, conditions = conditions, [self._meant(one) for one in conditions]
        first = np.nextafter(self.low, -np.inf)  # low itself is a number of the circle
        domain = (first, end) if self.step is None else (self.low, end - self.step)
        ends = ends_of(conditions, self.name, grid=grid, domain=domain)
        if not ends:
            raise impossible(asked, f"numbers from {self.low:g} to below {end:g} are there")
        half = 0.0 if self.step is None else self.step / 2
        ends = tuple((max(a, self.low - half), min(b, end - half)) for a, b in ends)
        alone = single(ends)
        if self.step is None and alone is None and any(a == b for a, b in ends):
            raise InputError(
                f"{asked[0]}: single directions of column {shown(self.name)} have no mass beside each "
                "other; give one of them, or a range"
            )
        if self.step is not None and len(ends) == 1 and ends[0][1] - ends[0][0] < 1.5 * self.step:
            alone = on_grid(np.array([sum(ends[0]) / 2]), self.low, self.step)[0].item()
        turns = tuple(((a - self.low) / self.period, (b - self.low) / self.period) for a, b in ends)
        thin = self.step is None and alone is not None
        return Constraint(Sectors(_wrapped(turns)), alone, thin=thin)

    def _meant(self, condition: Condition) -> Condition:
        """A condition on single angles, those that come back in the place of others."""
        if self.closed is None or condition.op not in {"=", "!=", "in"}:
            return condition
        end = self.low + self.period
        step = self.step or 0.0
        other, own = (end, self.low) if self.closed == "high" else (self.low - step, end - step)
        numbers = [number_of(value, self.name) for value in condition.values]
        return replace(condition, values=tuple(own if one == other else one for one in numbers))

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        along = turns_of(encoded) * self.period
        if self.step is None:
            found = np.minimum(self.low + along, np.nextafter(self.low + self.period, -np.inf))
            return typed(found, self.dtype)
        many = np.rint(along / self.step) % round(self.period / self.step)
        return typed(on_grid(self.low + many * self.step, self.low, self.step), self.dtype)

    def log_det(self, encoded: Array) -> Array:
        """See :meth:`Column.log_det`."""
        own = LOG_2PI - math.log(self.period) + (0.0 if self.step is None else math.log(self.step))
        found: Array = own + 0.5 * (encoded**2).sum(axis=1)
        return found


def _wrapped(turns: Ends) -> Ends:
    """Intervals of turns, what lies below 0 at the other end."""
    below = tuple((low + 1, 1.0) for low, _ in turns if low < 0)
    return (*((max(low, 0.0), high) for low, high in turns), *below)
