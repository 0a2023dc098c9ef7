"""The laws of the study, all of the plane and of known density."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.laws import densities
from jko.laws.densities import Array, Density

#: what holds a law and every model of it
BOXES = {
    "gaussian": ((-5.0, 6.0), (-9.0, 7.0)),
    "mixture": ((-5.0, 5.0), (-5.0, 5.0)),
    "moons": ((-5.0, 5.0), (-5.0, 5.0)),
}


@dataclass(frozen=True)
class Standardised:
    """The law of (x − shift)/scale.

    Args:
        law: of x.
        shift: shape (d,).
        scale: shape (d,), positive.
    """

    law: Density
    shift: Array
    scale: Array

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.law.dim

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, d)."""
        return (self.law.sample(rows, rng) - self.shift) / self.scale

    def log_prob(self, x: Array) -> Array:
        """Log-density in nats, shape (rows,)."""
        return self.law.log_prob(self.shift + self.scale * x) + float(np.log(self.scale).sum())

    def score(self, x: Array) -> Array:
        """Gradient of the log-density, shape (rows, d)."""
        return self.scale * self.law.score(self.shift + self.scale * x)


def law_of(target: str) -> Density:
    """The laws p_0 of the study, in the units of the blocks."""
    if target == "gaussian":
        return densities.DiagonalGaussian(np.array([2.0, -1.0]), np.array([0.5, 1.5]))
    if target == "mixture":
        angle = math.pi / 2 + 2 * math.pi * np.arange(3) / 3
        return densities.IsotropicMixture(1.35 * np.stack([np.cos(angle), np.sin(angle)], axis=1), 0.3)
    return Standardised(densities.moons(), np.array([0.5, 0.25]), np.array([0.87, 0.50]))
