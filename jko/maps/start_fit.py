"""Start maps fitted to training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor

from jko.core.rows import at_most, drawn
from jko.maps.spline import smooth_slopes
from jko.maps.start_map import Marginals, StartMap, Whiten, log_normal_density
from jko.maps.triangular import MixtureMap

Array = NDArray[np.float64]
#: rows that a map is fitted to: quantiles of more are no better to any digit that counts
FITTED_ROWS = 200_000
#: numbers of knots that are tried for a column
KNOTS = (6, 12, 25, 50, 100, 200)
#: parts into which rows are divided to choose among them, and rows used for it
FOLDS, CHOOSING_ROWS = 3, 10_000
#: relative accuracy of slopes while a number of knots is chosen
ROUGHLY = 0.02
#: rows that lie between two knots at least, on average
ROWS_BETWEEN = 3
#: quantiles nearer than this share of a column's range are one
TIED = 1e-9
#: rows that a mixture is fitted to, its sizes, and what is added to its covariances
MIXTURE_ROWS, COMPONENTS, RIDGES = 20_000, (1, 2, 5, 10, 20), (1e-4, 1e-2)
#: eigenvalues of a correlation matrix below this share of the largest count as this share
SMALLEST_EIGENVALUE = 1e-6


def fit_whiten(rows: Array) -> Whiten:
    """The symmetric affine map to mean 0 and covariance I of rows.

    Args:
        rows: training rows, standardised units, shape (rows, d).
    """
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(rows, rowvar=False)))
    values = np.maximum(values, SMALLEST_EIGENVALUE * values.max())
    matrix = (vectors / np.sqrt(values)) @ vectors.T
    return Whiten(torch.from_numpy(rows.mean(0)), torch.from_numpy(matrix))


def fit_marginals(rows: Array, source: int) -> Marginals:
    r"""Splines through normal scores of quantiles, a number of knots for each column.

    The value at the quantile of level p is :math:`\Phi^{-1}(p)`. Levels are spaced equally in
    :math:`\Phi^{-1}(p)` up to :math:`p = 1/(2n)` for n rows, with at least three rows between two of them on
    average. How many, is chosen by the held-out likelihood of the column in three parts.

    Args:
        rows: training rows, and their copies behind them, standardised units, shape (rows, d).
        source: n, how many of them are no copies.
    """
    own, used = at_most(rows[:source], CHOOSING_ROWS), min(source, FITTED_ROWS)
    folds = np.random.default_rng(0).permutation(len(own)) % FOLDS
    fitted = at_most(rows, FITTED_ROWS)
    columns = [_column(fitted[:, j], used, _chosen(own[:, j], folds)) for j in range(rows.shape[1])]
    longest = max(len(knots) for knots, _, _ in columns)
    tables = [_stacked([column[part] for column in columns], longest) for part in range(3)]
    return Marginals(*tables)


def _stacked(parts: Sequence[Tensor], length: int) -> Tensor:
    """Rows of unequal length, the short ones with their last number repeated."""
    return torch.stack([torch.cat([part, part[-1:].expand(length - len(part))]) for part in parts])


def _chosen(values: Array, folds: NDArray[np.int64]) -> int:
    """The number of knots with the best held-out likelihood of a column; the fewest of equal ones."""
    usable = [count for count in KNOTS if count * ROWS_BETWEEN <= len(values)] or [KNOTS[0]]
    if len(usable) == 1 or len(values) < 2 * FOLDS:
        return usable[0]
    return max(usable, key=lambda count: (_held_out(values, folds, count), -count))


def _held_out(values: Array, folds: NDArray[np.int64], count: int) -> float:
    """Mean log-density of values under the splines of the other folds, nats."""
    total = 0.0
    for fold in range(FOLDS):
        train = values[folds != fold]
        if np.ptp(train) == 0:
            return -np.inf
        spline = Marginals(*(part[None] for part in _column(train, len(train), count, ROUGHLY)))
        z, log_det = spline(torch.from_numpy(values[folds == fold])[:, None])
        total += float((log_normal_density(z[:, 0]) + log_det).sum())
    return total / len(values)


def _column(values: Array, source: int, count: int, tolerance: float = 1e-7) -> tuple[Tensor, Tensor, Tensor]:
    """Knots, normal scores and slopes of one column."""
    scores = _levels(source, count)
    knots = np.quantile(values, ndtr(scores), method="hazen")
    apart = np.diff(knots, prepend=-np.inf) > TIED * max(float(np.ptp(knots)), np.finfo(float).tiny)
    group = np.cumsum(apart) - 1  # equal quantiles, as of an atom, are one knot at their mean score
    scores = np.bincount(group, scores) / np.bincount(group)
    at, z = knots[apart], scores
    if len(at) == 1:  # all of the levels fell on one value
        at, z = np.array([at[0] - 1, at[0] + 1]), np.array([-1.0, 1.0])
    slopes = smooth_slopes(at, z, tolerance=tolerance)
    # beyond the data a row may be one step of its grid away: the line there is no steeper than the spline
    # is on average
    steepest = (z[-1] - z[0]) / (at[-1] - at[0])
    slopes[[0, -1]] = np.minimum(slopes[[0, -1]], steepest)
    return torch.from_numpy(at), torch.from_numpy(z), torch.from_numpy(slopes)


def _levels(source: int, count: int) -> Array:
    """Normal scores of the levels, ascending and symmetric."""
    furthest = -float(ndtri(0.5 / source))
    wanted = np.linspace(-furthest, 0.0, count // 2 + 1)
    kept = [wanted[0]]
    for score in wanted[1:]:
        if (ndtr(score) - ndtr(kept[-1])) * source >= ROWS_BETWEEN:
            kept.append(score)
    half = np.array(kept if len(kept) > 1 else [wanted[0]])
    half = half[half < -1e-9]
    middle = [0.0] if count % 2 == 0 or len(half) < 2 else []
    return np.concatenate([half, middle, -half[::-1]])


def fit_mixture(rows: Array) -> MixtureMap:
    """The triangular map of a Gaussian mixture, its size chosen on a fifth of the rows.

    Args:
        rows: training rows, and their copies behind them, standardised units, shape (rows, d).
    """
    from sklearn.mixture import GaussianMixture

    used = drawn(rows, MIXTURE_ROWS)
    held, fitted = np.split(used, [max(1, len(used) // 5)])
    usable = [count for count in COMPONENTS if 4 * count <= len(fitted)] or [1]
    tried = [
        GaussianMixture(count, reg_covar=ridge, random_state=0, max_iter=100).fit(fitted)
        for count in usable
        for ridge in RIDGES
    ]
    best = max(tried, key=lambda mixture: mixture.score(held))
    factors = torch.linalg.cholesky(torch.from_numpy(best.covariances_))
    return MixtureMap(torch.from_numpy(np.log(best.weights_)), torch.from_numpy(best.means_), factors)


def fit_start(kind: str, rows: Array, source: int) -> StartMap:
    """The map of a kind, ``whiten``, ``marginals`` or ``mixture``.

    Args:
        kind: which.
        rows: training rows, and their copies behind them, standardised units, shape (rows, d).
        source: how many of them are no copies.
    """
    if kind == Whiten.kind:
        return fit_whiten(rows)
    return fit_mixture(rows) if kind == MixtureMap.kind else fit_marginals(rows, source)
