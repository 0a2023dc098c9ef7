"""Cells of discrete and circular columns, spread over real numbers by noise of a known density.

Every function takes uniform noise and returns encoded numbers with −log q, where q is their density given
the cell. The regions of different cells do not overlap, and together they are all of the real numbers.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from jko.preparation.table import Array

LOG_2PI = math.log(2 * math.pi)


def normal_of(uniform: Array) -> Array:
    """Standard normal quantiles of uniform noise, any shape."""
    from scipy.special import ndtri  # here, so that a table is described without it

    found: Array = ndtri(uniform)
    return found


def log_normal(z: Array) -> Array:
    """Log-density of N(0, I) in nats, of shape (n, d) to (n,)."""
    found: Array = -0.5 * (z**2).sum(axis=1) - 0.5 * z.shape[1] * LOG_2PI
    return found


def around(points: Array, step: float, uniform: Array) -> tuple[Array, Array]:
    """Points of a grid with uniform noise of one step around them; q = 1 / step.

    Noise at the very end of its step, which rounding may carry over, is left out.

    Args:
        points: shape (n,).
        step: of the grid.
        uniform: noise, shape (n,).
    """
    moved = points + step * (uniform - 0.5)
    over = np.abs(moved - points) >= 0.5 * step * (1 - 1e-9)
    return np.where(over, points, moved), np.full(len(points), math.log(step))


def on_line(z: Array, last: int) -> NDArray[np.int64]:
    """The whole number from 0 to the last one that numbers are nearest to, of any shape."""
    return np.rint(np.clip(z, 0, last)).astype(np.int64)


@cache
def corners(count: int) -> Array:
    """Directions of the corners of a regular simplex, shape (count, count − 1), with CᵀC = I.

    They are the columns of Helmert's matrix: the space of log-ratios in an orthonormal basis (Egozcue et al.
    2003). The region of a corner is where its direction has the largest product with z.
    """
    basis = np.zeros((count, count - 1))
    for k in range(1, count):
        basis[:k, k - 1] = 1 / math.sqrt(k * (k + 1))
        basis[k, k - 1] = -k / math.sqrt(k * (k + 1))
    return basis


def on_simplex(codes: NDArray[np.int64], count: int, uniform: Array) -> tuple[Array, Array]:
    """Categories as regions of space around the corners of a simplex, with normal noise in them.

    A standard normal point is carried into the region of its category by swapping two corners, which is a
    reflection. So q = K · N(z; 0, I) there, and categories that are equally likely are exactly N(0, I).

    Args:
        codes: categories 0 … K − 1, shape (n,).
        count: K, at least 2.
        uniform: noise, shape (n, K − 1).
    """
    directions = corners(count)
    ratios = normal_of(uniform) @ directions.T
    rows, largest = np.arange(len(codes)), ratios.argmax(axis=1)
    own = ratios[rows, codes].copy()
    ratios[rows, codes] = ratios[rows, largest]
    ratios[rows, largest] = own
    z = ratios @ directions
    return z, simplex_log_det(z)


def simplex_log_det(z: Array) -> Array:
    """−log q = −log K − log N(z; 0, I) of points on a simplex, nats, of shape (n, K − 1) to (n,)."""
    return -math.log(z.shape[1] + 1) - log_normal(z)


def nearest_corner(z: Array) -> NDArray[np.int64]:
    """The category whose region a point lies in, of shape (n, K − 1) to (n,)."""
    return np.asarray((z @ corners(z.shape[1] + 1).T).argmax(axis=1), dtype=np.int64)


def cut_of(share: float) -> float:
    """Where a standard normal number is to be cut, so that this share of it lies above."""
    return float(normal_of(np.array([1.0 - share]))[0])


def on_halves(first: NDArray[np.bool_], share: float, uniform: Array) -> tuple[Array, Array]:
    """Two cells as the halves of a line, so that both together are normal: their density has no jump at 0.

    A normal number is cut where the share of the first cell lies above, and the cut is moved to 0. So
    q = N(z + cut; 0, 1) / share of the cell. With shares of a half it is :func:`on_simplex`.

    Args:
        first: which are the first cell, above 0, shape (n,).
        share: of the first cell.
        uniform: noise, shape (n, 1).
    """
    from scipy.special import ndtri

    cut, u = cut_of(share), uniform[:, 0]
    z = np.where(first, -ndtri(share * u), ndtri((1 - share) * u)) - cut  # each tail from its own end
    z = np.where(first, np.maximum(z, np.finfo(float).tiny), np.minimum(z, -np.finfo(float).tiny))
    return z[:, None], halves_log_det(z[:, None], share)


def halves_log_det(z: Array, share: float) -> Array:
    """−log q of points on halves, nats, of shape (n, 1) to (n,)."""
    own = np.where(z[:, 0] > 0, math.log(share), math.log1p(-share))
    found: Array = own - log_normal(z + cut_of(share))
    return found


def on_circle(turns: Array, uniform: Array) -> tuple[Array, Array]:
    """Parts of a turn as points of the plane, the distance from the origin being Rayleigh noise.

    z = r (cos 2πt, sin 2πt) with density q(r) = r exp(−r² / 2). A uniform t is exactly N(0, I), and there is
    no cut where a turn ends. The log-determinant is log(2π r / q(r)) = log 2π + r² / 2.

    Args:
        turns: t, shape (n,).
        uniform: noise, shape (n,).
    """
    radius = np.sqrt(-2 * np.log1p(-uniform))
    angle = 2 * math.pi * turns
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), LOG_2PI + 0.5 * radius**2


def turns_of(z: Array) -> Array:
    """The part of a turn in [0, 1) of points of the plane, of shape (n, 2) to (n,)."""
    found: Array = (np.arctan2(z[:, 1], z[:, 0]) / (2 * math.pi)) % 1.0
    return found
