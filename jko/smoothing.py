"""Smoothed copies of training rows, for data with few rows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Array = NDArray[np.float64]


def manifold_parzen(
    rows: Array, copies: int, *, width: float, neighbours: int, rng: np.random.Generator
) -> Array:
    r"""Copies of every row, moved along the directions to its nearest neighbours.

    .. math:: x_i + \frac{h}{\sqrt{K}} \sum_{j \in N_K(i)} z_j (x_j - x_i), \quad z_j \sim N(0, 1)

    The law of the copies is a mixture of Gaussians, one at each row, with covariance
    :math:`(h^2/K) \sum_j (x_j - x_i)(x_j - x_i)^\top`: wide along the data, thin across.

    Args:
        rows: shape (rows, d), data units.
        copies: copies of each row.
        width: h; 0 gives plain copies.
        neighbours: K, at most rows − 1 are used.
        rng: source of z.

    Returns:
        Shape (copies · rows, d): copy 0 of all rows, then copy 1 of all rows, …

    Source: manifold Parzen windows (Vincent and Bengio, 2003), with the neighbours' offsets
    themselves instead of their leading principal directions, and no isotropic part.
    """
    if width == 0 or len(rows) < 2:
        return np.tile(rows, (copies, 1))
    near = min(neighbours, len(rows) - 1)
    index = KDTree(rows).query(rows, k=near + 1)[1][:, 1:]
    offsets = rows[index] - rows[:, None]
    moved = [
        rows + width / math.sqrt(near) * np.einsum("nk,nkd->nd", rng.standard_normal(index.shape), offsets)
        for _ in range(copies)
    ]
    return np.concatenate(moved)
