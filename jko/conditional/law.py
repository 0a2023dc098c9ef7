"""What is asked of a law whose rows are to be given some of their columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jko.preparation.table import Array

#: rows at a time
PIECE = 20_000


@dataclass(frozen=True)
class Law:
    """A law of d numbers that can be drawn from and whose density is known.

    Args:
        dim: d.
        draw: rows by their number and a seed, shape (n, d).
        density: log-densities in nats of rows, shape (n, d) to (n,).
    """

    dim: int
    draw: Callable[[int, int], Array]
    density: Callable[[Array], Array]

    def sample(self, rows: int, seed: int) -> Array:
        """Independent rows in float64, shape (rows, d)."""
        return np.asarray(self.draw(rows, seed), dtype=float)

    def log_prob(self, y: Array) -> Array:
        """Log-densities in nats, shape (n,); −inf where there is none."""
        parts = [self.density(y[first : first + PIECE]) for first in range(0, len(y), PIECE)]
        found = np.concatenate([np.empty(0), *parts])
        return np.where(np.isnan(found), -np.inf, found)
