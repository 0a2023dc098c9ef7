"""The finest scale that rows show, by their nearest neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Array = NDArray[np.float64]
#: rows whose nearest neighbours are looked up
SAMPLE = 4096


@dataclass(frozen=True)
class Neighbours:
    """The finest scale that rows show.

    Args:
        distance: median distance of a row to its nearest neighbour, standardised units.
        dimension: of the set the rows lie on, as their neighbours show it, 1..d.
    """

    distance: float
    dimension: float

    @property
    def width(self) -> float:
        """Standard deviation per direction of noise as long as the distance: distance/√dimension."""
        return self.distance / math.sqrt(self.dimension)


def nearest_neighbours(rows: Array, *, sample: int = SAMPLE, seed: int = 0) -> Neighbours:
    r"""Median distance to the nearest neighbour, and the dimension that distances tell.

    Both are found within n of the N rows: a tree of all of them is slow in high dimension. Distances scale
    as :math:`n^{-1/D}`, so the median is taken to N rows by :math:`(n/N)^{1/D}`. D is that of the nearest
    scale, :math:`1/D = E \log(r_2/r_1)` with the distances to the two nearest neighbours.

    Args:
        rows: shape (N, d).
        sample: n, at most.
        seed: of the choice of the n rows.

    Raises:
        ValueError: fewer than three rows, or most of them have a twin.

    Source: of D, two nearest neighbours (Facco, d'Errico, Rodriguez, Laio, Scientific Reports 7, 12140,
    2017), the maximum-likelihood form, kept within 1..d; of the scaling, derived.
    """
    if rows.ndim != 2 or len(rows) < 3 or not np.isfinite(rows).all():
        raise ValueError(f"three or more finite rows are needed, shape (rows, d); got {rows.shape}")
    some = rows
    if len(rows) > sample:
        some = rows[np.sort(np.random.default_rng(seed).choice(len(rows), max(3, sample), replace=False))]
    near = KDTree(some).query(some, k=3)[0][:, 1:]
    distance = float(np.median(near[:, 0]))
    if not distance > 0:
        raise ValueError("most rows have a twin, so they show no finest scale; dequantise them")
    apart = near[near[:, 0] > 0]
    growth = float(np.log(apart[:, 1] / apart[:, 0]).mean())
    dimension = min(max(1 / growth if growth > 0 else math.inf, 1.0), float(rows.shape[1]))
    return Neighbours(distance * (len(some) / len(rows)) ** (1 / dimension), dimension)
