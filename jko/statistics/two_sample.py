"""How far samples are from N(0, I), without any assumption: a test, and a lower bound on KL."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist
from torch import Tensor

from jko.core.context import reference_rows
from jko.core.rows import at_most
from jko.core.seeds import counter_seed
from jko.laws.densities import Estimate

Array = NDArray[np.float64]
#: draws of the reference, so many that E_q e^f is nearly exact: numbers, rows · d, and rows at most
REFERENCE_NUMBERS, REFERENCE_ROWS = 200_000, 20_000
BUMPS, KNOTS = 60, 8
#: rows of each kind that the test of two tables takes at most
OF_TABLES = 2000


@dataclass(frozen=True)
class TwoSampleTest:
    """A permutation test of one sample against equally many draws of N(0, I).

    Args:
        statistic: the energy distance 2E|y − z| − E|y − y'| − E|z − z'|, standardised units.
        null_quantile: the 95 % quantile of the statistic under permutations of the labels.
        p: share of permutations (and the observed one) with a statistic at least as large.
        rows: rows of each sample.
    """

    statistic: float
    null_quantile: float
    p: float
    rows: int


def energy_test(
    y: Tensor,
    *,
    seed: int = 0,
    permutations: int = 499,
    rows: int = 1000,
    reference: Tensor | None = None,
    dim: int | None = None,
) -> TwoSampleTest:
    """Test whether y could come from N(0, I); exact level for any dimension and sample size.

    With a context, whether the state could be N(0, I) whatever the context: every row has a partner, a fresh
    draw beside the same context, and labels are exchanged within such pairs only.

    Args:
        y: samples, shape (n, d), or (n, d + c) with a context.
        seed: of the reference draws and the permutations.
        permutations: number of random relabellings.
        rows: most rows used, a random sample.
        reference: draws of another law to test against, at least as many rows.
        dim: d; all columns by default.

    Source: the energy distance of Székely and Rizzo, with 1/n² averages (V-statistic).
    """
    y = at_most(y, rows).double().cpu()
    draw = torch.Generator().manual_seed(counter_seed(seed, "two-sample"))
    paired = dim is not None and dim < y.shape[1]
    if dim is not None and paired:
        reference = reference_rows(y, dim, draw)
    elif reference is None:
        reference = torch.randn(y.shape, generator=draw, dtype=y.dtype)
    pooled = torch.cat([y, reference[: len(y)].double().cpu()])
    distance = torch.cdist(pooled, pooled)
    sign = torch.cat([torch.ones(len(y)), -torch.ones(len(y))]).double()
    relabel = _exchanged if paired else _permuted
    labels = torch.cat([sign[None], relabel(sign, permutations, draw)])
    # −sᵀ D s / n² is the statistic, for labels s = ±1
    values = -((labels @ distance) * labels).sum(-1) / len(y) ** 2
    p = float((values >= values[0]).double().mean())
    return TwoSampleTest(float(values[0]), float(values[1:].quantile(0.95)), p, len(y))


def energy_between(rows: Array, samples: Array, *, seed: int = 0, permutations: int = 999) -> TwoSampleTest:
    """Test whether two tables could come from one law; exact level for any dimension and sample size.

    As many rows of each are used, :data:`OF_TABLES` at most, drawn by the seed. Every column is divided by a
    width of both tables together, so that no column drowns the others and labels stay exchangeable: the
    distance of its 5 % and 95 % quantiles in those of a normal law, or its standard deviation where that is
    0.

    Args:
        rows: shape (m, d).
        samples: shape (M, d).
        seed: of the rows that are taken and of the permutations.
        permutations: number of random relabellings.
    """
    count = min(len(rows), len(samples), OF_TABLES)
    draw = np.random.default_rng(counter_seed(seed, "energy"))
    one, other = (given[draw.choice(len(given), count, replace=False)] for given in (rows, samples))
    pooled = np.concatenate([one, other])
    low, high = np.quantile(pooled, [0.05, 0.95], axis=0)
    width = (high - low) / (2 * 1.645)
    width = np.where(width > 0, width, pooled.std(0))
    width = np.where(width > 0, width, 1.0)
    centre = np.median(pooled, 0)
    first, second = (torch.from_numpy((given - centre) / width) for given in (one, other))
    return energy_test(first, seed=seed, permutations=permutations, rows=count, reference=second)


def _permuted(sign: Tensor, times: int, draw: torch.Generator) -> Tensor:
    """Labels in random orders, shape (times, rows)."""
    order = torch.stack([torch.randperm(len(sign), generator=draw) for _ in range(times)])
    return sign[order]


def _exchanged(sign: Tensor, times: int, draw: torch.Generator) -> Tensor:
    """Labels exchanged, or not, between row i and its partner i + n, shape (times, 2n)."""
    half = len(sign) // 2
    flips = 2.0 * torch.randint(0, 2, (times, half), generator=draw).to(sign) - 1
    return sign * torch.cat([flips, flips], dim=1)


def kl_lower_bound(y: Tensor, *, dim: int | None = None, seed: int = 0) -> Estimate:
    r"""A lower bound on KL(p ‖ N(0, I)) in nats, from samples of p alone.

    .. math:: KL \ge E_p f - \log E_q e^f

    for every function f (Donsker and Varadhan). Here f is the log-odds of a classifier between one
    half of the samples and draws of q; the averages are over the other half and fresh draws. With a context
    both laws are those of (state, context), q with the contexts of p: KL is that of the state given the
    context, averaged over it.

    Args:
        y: samples of p, shape (rows, d), or (rows, d + c) with a context; at least 20.
        dim: d; all columns by default.
        seed: of the draws of q.

    Returns:
        The bound with its standard error; it may be negative, which says nothing. Both are nan where there is
        a single row, or squares leave the range of numbers.
    """
    rows = y.double().cpu().numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        if len(rows) < 2 or not np.isfinite(rows**2).all():
            return Estimate(math.nan, math.nan)
    dim = rows.shape[1] if dim is None else dim
    draw = np.random.default_rng(counter_seed(seed, "lower bound"))
    fit, held_out = rows[::2], rows[1::2]
    reference = _beside(draw.standard_normal((len(fit), dim)), fit)
    log_odds = _classifier(fit, reference, draw, dim)
    ours = log_odds(held_out)
    draws = min(REFERENCE_ROWS, max(1000, REFERENCE_NUMBERS // dim))
    theirs = np.exp(log_odds(_beside(draw.standard_normal((draws, dim)), held_out)))
    variance = ours.var(ddof=1) / len(ours) + theirs.var() / len(theirs) / theirs.mean() ** 2
    return Estimate(float(ours.mean() - math.log(theirs.mean())), float(math.sqrt(variance)))


def _beside(state: Array, rows: Array) -> Array:
    """States beside the contexts of given rows, taken in turn."""
    dim = state.shape[1]
    context = rows[np.arange(len(state)) % len(rows), dim:]
    return np.concatenate([state, context], axis=1) if context.shape[1] else state


def _classifier(p: Array, q: Array, draw: np.random.Generator, dim: int) -> Callable[[Array], Array]:
    """Log-odds of p against q: logistic regression on splines of each coordinate and Gaussian bumps.

    A context enters through its products with the state, since alone it has the same law on both sides.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, SplineTransformer, StandardScaler

    pooled = np.concatenate([p, q])
    middle = pooled[draw.choice(len(pooled), size=min(BUMPS, len(pooled)), replace=False)]
    width = 0.5 * np.median(pdist(middle)) or 1.0  # most rows are equal
    splines = SplineTransformer(n_knots=KNOTS, knots="quantile", extrapolation="constant").fit(
        pooled[:, :dim]
    )

    def features(x: Array) -> Array:
        bumps = np.exp(-cdist(x, middle, "sqeuclidean") / (2 * width**2))
        state = x[:, :dim]
        products = (state[:, :, None] * x[:, None, dim:]).reshape(len(x), -1)
        return np.concatenate([state**2, splines.transform(state), bumps, products], axis=1)

    model = make_pipeline(
        FunctionTransformer(features), StandardScaler(), LogisticRegression(C=0.1, max_iter=500)
    )
    model.fit(pooled, np.repeat([1, 0], [len(p), len(q)]))
    # the bound holds for every f, so cut the rare huge values that would dominate E_q e^f
    low, high = np.quantile(model.decision_function(pooled), [0.001, 0.999])
    return lambda x: np.clip(model.decision_function(x), low, high)
