"""Smoothing of rows: copies of few rows, and the Ornstein-Uhlenbeck law of data without density."""

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


def ornstein_uhlenbeck(rows: Array, time: float, rng: np.random.Generator) -> Array:
    r"""Every row carried for a time along the Ornstein-Uhlenbeck process, whose end is N(0, I).

    .. math:: y_i = e^{-\delta} x_i + \sqrt{1 - e^{-2\delta}}\, z_i, \quad z_i \sim N(0, I)

    For δ > 0 the law ρ_δ of y has a smooth, positive density and finite Fisher information,
    whatever the law of x: it may live on a curve or have jumps.

    Args:
        rows: shape (rows, d), standardised units.
        time: δ ≥ 0; 0 draws nothing and returns equal values.
        rng: source of z.

    Returns:
        Shape (rows, d), standardised units; row i is row i, smoothed.

    Source: the treatment of data without density in arXiv:2310.17582.
    """
    if time == 0:
        return rows.copy()
    return math.exp(-time) * rows + math.sqrt(-math.expm1(-2 * time)) * rng.standard_normal(rows.shape)


def smoothing_w2_bound(second_moment: float, dim: int, time: float) -> float:
    r"""Upper bound of W2 between a law and its Ornstein-Uhlenbeck law ρ_δ.

    .. math:: W_2(P, \rho_\delta) \le \sqrt{(1 - e^{-\delta})^2 M_2 + (1 - e^{-2\delta})\, d}

    It is the cost of pairing every x with its own y of :func:`ornstein_uhlenbeck`, so it is
    attained by a law at one point; for standardised data, M2 = d, it is √(2d(1 − e^{-δ})).

    Args:
        second_moment: M2 = E|x|², squared standardised units.
        dim: d.
        time: δ ≥ 0.

    Returns:
        The bound, standardised units.

    Source: the treatment of data without density in arXiv:2310.17582.
    """
    return math.sqrt(math.expm1(-time) ** 2 * second_moment - math.expm1(-2 * time) * dim)
