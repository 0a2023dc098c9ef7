"""A bracket by its definition: all pairs at once, in numpy."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp

Array = np.ndarray


def logs(y: Array, centres: Array, s: float) -> Array:
    """The logarithm of every kernel at every point, shape (points, centres)."""
    dim = y.shape[1]
    square = ((y[:, None] - centres) ** 2).sum(-1)
    return -square / (2 * s * s) - dim * math.log(s * math.sqrt(2 * math.pi))


def mean_of(kernels: Array) -> Array:
    return logsumexp(kernels, axis=1) - math.log(kernels.shape[1])


def relative_of(kernels: Array) -> Array:
    """Variance of the kernels over their squared mean."""
    scaled = np.exp(kernels - mean_of(kernels)[:, None])
    return scaled.var(axis=1)


def above(kernels: Array, own: Array) -> tuple[Array, Array]:
    """Log q by the delta method, and at which points ten samples are near enough for it.

    Args:
        kernels: of the samples at the points, logarithms.
        own: what one more sample at the point's own row would add.
    """
    m = kernels.shape[1]
    log_mean, relative = mean_of(kernels), relative_of(kernels)
    near = (m / (1 + relative) >= 10) & (log_mean + math.log(m) >= own)
    return log_mean + relative / (2 * m), near


def bernstein(kernels: Array, peak: float, missed: float = 0.01) -> Array:
    """Maurer and Pontil: mean + √(2 Var t/M) + 7 t top/(3 (M − 1))."""
    m = kernels.shape[1]
    log_mean, relative, t = mean_of(kernels), relative_of(kernels), math.log(2 / missed)
    mean = np.exp(log_mean)
    return np.log(mean * (1 + np.sqrt(2 * relative * t / m)) + 7 * t * math.exp(peak) / (3 * (m - 1)))


def both_sides(rows: Array, z: Array, s: float, samples: Array, wide: float) -> dict[str, float | Array]:
    """U and L of rows scaled already, with noise z of shape (draws, m, d) and samples of width ``wide``."""
    draws, m, dim = z.shape
    y = (rows + s * z).reshape(-1, dim)
    kernels = logs(y, rows, s)
    whole = mean_of(kernels)
    row = np.tile(np.arange(m), draws)
    kernels[np.arange(len(y)), row] = -math.inf
    others = logsumexp(kernels, axis=1) - math.log(m - 1)
    model = logs(y, samples, wide)
    peak = -dim * math.log(wide * math.sqrt(2 * math.pi))
    own = peak - (z**2).sum(-1).reshape(-1) / 2
    close, near = above(model, own)
    top = np.where(near, close, bernstein(model, peak))
    below = mean_of(model)
    return {
        "upper": (whole - below).reshape(draws, m).mean(0),
        "lower": (others - top).reshape(draws, m).mean(0),
        "near": near,
        "model": model,
    }


def level(values: Array, noise: float) -> tuple[float, float]:
    return float(values.mean()), math.hypot(float(values.std(ddof=1)) / math.sqrt(len(values)), noise)
