"""Intervals of one encoded column, as cells that are held: the place in them is the noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.columns.column import Values
from jko.columns.noise import around
from jko.preparation.table import Array

#: how much longer the tail of the noise is than that of samples, so that weights stay bounded
LONGER = 1.5
#: rows beyond an edge from which their mean distance is taken
FEW = 5


@dataclass(frozen=True)
class Box:
    """A finite interval: z uniform in it, log_det = log of its length.

    Args:
        low: its lower end.
        high: its upper end.
    """

    low: float
    high: float

    @property
    def noise_width(self) -> int:
        """One uniform number."""
        return 1

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """Encoded numbers and log_det, as those of :meth:`jko.columns.column.Column.encode`."""
        length = self.high - self.low
        z, log_det = around(np.full(len(cells), 0.5 * (self.low + self.high)), length, noise[:, 0])
        return z[:, None], log_det

    def log_det_at(self, z: Array) -> Array:
        """The log_det of given numbers, shape (n, 1) to (n,)."""
        return np.full(len(z), math.log(self.high - self.low))


@dataclass(frozen=True)
class Tail:
    """A half-line: z − edge is exponential, log_det = log scale + (z − edge) / scale.

    Args:
        edge: where it begins.
        scale: mean distance from there; below 0 where the half-line leads down.
    """

    edge: float
    scale: float

    @property
    def noise_width(self) -> int:
        """One uniform number."""
        return 1

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Box.encode`."""
        z = self.edge - self.scale * np.log(noise)
        return z, self.log_det_at(z)

    def log_det_at(self, z: Array) -> Array:
        """See :meth:`Box.log_det_at`."""
        found: Array = math.log(abs(self.scale)) + (z[:, 0] - self.edge) / self.scale
        return found


def tail_of(low: float, high: float, pool: Array) -> Tail:
    """A half-line with noise as far out as samples are.

    Args:
        low: its lower end, −∞ where it leads down.
        high: its upper end, ∞ where it leads up.
        pool: samples of the column, shape (n,).
    """
    edge, sign = (high, -1.0) if math.isinf(low) else (low, 1.0)
    beyond = sign * (pool - edge)
    beyond = beyond[beyond > 0]
    mean = float(beyond.mean()) if len(beyond) >= FEW else 0.3 * float(pool.std())
    return Tail(edge, sign * LONGER * max(mean, 1e-12))
