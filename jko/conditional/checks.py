"""What weights and chains are worth: effective sample sizes, and whether chains agree."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jko.preparation.table import Array


def weight_size(log_weights: Array) -> float:
    r"""Effective sample size :math:`(\sum w)^2 / \sum w^2` of weights; 0 where there are none (Kong 1992)."""
    largest = log_weights.max(initial=-math.inf)
    if not math.isfinite(largest):
        return 0.0
    weights = np.exp(log_weights - largest)
    return float(weights.sum() ** 2 / (weights**2).sum())


def resampled(log_weights: Array, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of rows drawn by their weights at evenly spaced points of their sum, shuffled.

    A row with less than its share of the weights is drawn once at most (systematic resampling).

    Args:
        log_weights: of the rows, not all −inf.
        count: how many are drawn.
        rng: the generator.
    """
    weights = np.exp(log_weights - log_weights.max())
    ends = np.cumsum(weights)
    points = (np.arange(count) + rng.random()) / count * ends[-1]
    found = np.minimum(np.searchsorted(ends, points), len(weights) - 1)
    return rng.permutation(found)


def tempered(log_weights: Array, wanted: float) -> Array:
    """Weights to the largest power up to 1 at which they have an effective sample size."""
    if weight_size(log_weights) >= wanted:
        return log_weights
    finite = np.where(np.isfinite(log_weights), log_weights, -np.inf)
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        powered = np.where(np.isfinite(finite), middle * np.where(np.isfinite(finite), finite, 0), -np.inf)
        low, high = (middle, high) if weight_size(powered) >= wanted else (low, middle)
    return np.where(np.isfinite(finite), low * np.where(np.isfinite(finite), finite, 0), -np.inf)


def split_r_hat(draws: Array) -> float:
    r"""The largest split-:math:`\hat R` over columns: above 1 where halves of chains differ.

    .. math:: \hat R^2 = \frac{n-1}{n} + \frac{B}{nW}

    Args:
        draws: of several chains, shape (steps, chains, columns).

    Source: Gelman et al., Bayesian Data Analysis, 3rd edition (2013), section 11.4.
    """
    half = len(draws) // 2
    if half < 2:
        return math.inf
    parts = np.concatenate([draws[:half], draws[half : 2 * half]], axis=1)
    between, within = half * parts.mean(0).var(0, ddof=1), parts.var(0, ddof=1).mean(0)
    moving = within > 0
    if not moving.all() and (between[~moving] > 0).any():
        return math.inf
    ratio = (half - 1) / half + between[moving] / (half * within[moving])
    return float(np.sqrt(ratio.max(initial=1.0)))


def chain_size(draws: Array) -> float:
    r"""Effective sample size of all steps of several chains, the smallest over columns.

    .. math:: N_{eff} = \frac{mn}{1 + 2\sum_t \hat\rho_t}, \quad
        \hat\rho_t = 1 - \frac{W - \text{mean autocovariance}_t}{\text{var}^+}

    summed while neighbouring pairs are positive.

    Args:
        draws: shape (steps, chains, columns).

    Source: Gelman et al. (2013), section 11.5; Geyer, Statist. Sci. 7 (1992) 473–483.
    """
    steps, chains, _ = draws.shape
    if steps < 4 or chains < 2:
        return 0.0
    away = draws - draws.mean(0)
    within = (away**2).sum(0).mean(0) / (steps - 1)
    total = (steps - 1) / steps * within + draws.mean(0).var(0, ddof=1)
    moving = total > 0
    if not moving.any():
        return float(steps * chains)
    away, within, total = away[:, :, moving], within[moving], total[moving]
    time, open_ = np.ones(len(total)), np.ones(len(total), dtype=bool)
    for lag in range(1, steps - 2, 2):
        pair = sum(
            1 - (within - (away[: steps - own] * away[own:]).sum(0).mean(0) / steps) / total
            for own in (lag, lag + 1)
        )
        open_ &= pair > 0
        if not open_.any():
            break
        time = time + np.where(open_, 2 * pair, 0)
    return float(steps * chains / max(float(time.max()), 1.0))
