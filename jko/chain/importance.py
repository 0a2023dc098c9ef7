r"""Samples of a model p against an unnormalised target :math:`q \propto e^{-V}`: weights and distance.

The weights are :math:`w_i = e^{-V(y_i)} / p(y_i)`, y_i ~ p, with mean :math:`Z = \int e^{-V}`. They tell only
of where p has mass: a mode that p misses shows in none of them.

Units: nats for log-weights, the data's for distances. Everything is computed in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.core.errors import InputError
from jko.laws.densities import Estimate

#: distances held at a time
PAIRS = 2**22


@dataclass(frozen=True)
class ImportanceReport:
    """What importance weights say of a sample.

    Args:
        log_normaliser: estimate of log Z, nats. Its expectation lies below log Z by about se²/2; the standard
            error is that of the delta method, and worth little where ``share`` is small.
        effective_size: (Σw)²/Σw², between 1 and ``rows``.
        rows: number of samples.
    """

    log_normaliser: Estimate
    effective_size: float
    rows: int

    @property
    def share(self) -> float:
        """Effective size over rows; 1 for a perfect model."""
        return self.effective_size / self.rows


def importance_report(log_weights: Tensor) -> ImportanceReport:
    r"""Estimate log Z and the effective sample size.

    .. math:: \log\hat Z = \log\frac1n\sum_i w_i, \quad
              se^2 = \frac{Var(w)}{n\,\bar w^2} = \frac{n/ESS - 1}{n - 1}, \quad
              ESS = \frac{(\sum_i w_i)^2}{\sum_i w_i^2}

    Args:
        log_weights: log w_i = −V(y_i) − log p(y_i), nats, shape (rows,), two or more; −∞ for a weight of 0.

    Raises:
        InputError: for log-weights that are nan or +∞, or all −∞, or not such a list.

    Source: the effective sample size is Kong's (1992); the delta method is classical.
    """
    log_w = _checked(log_weights)
    rows, log_sum = len(log_w), log_w.logsumexp(0)
    size = float((2 * log_sum - (2 * log_w).logsumexp(0)).exp())
    se = math.sqrt(max(rows / size - 1, 0.0) / (rows - 1))
    return ImportanceReport(Estimate(float(log_sum) - math.log(rows), se), size, rows)


def systematic_resample(
    log_weights: Tensor, generator: torch.Generator, *, rows: int | None = None
) -> Tensor:
    r"""Row numbers drawn by weight with one uniform number: row i comes ⌊n w_i⌋ or ⌈n w_i⌉ times.

    Args:
        log_weights: as in :func:`importance_report`; their scale does not matter.
        generator: source of the number, on the CPU.
        rows: how many to draw, n; as many as there are weights unless given.

    Returns:
        Row numbers, int64, shape (n,), ascending.

    Raises:
        InputError: as :func:`importance_report`, or for n < 1.

    Source: systematic resampling, Kitagawa (1996).
    """
    log_w = _checked(log_weights)
    count = len(log_w) if rows is None else rows
    if count < 1:
        raise InputError(f"one row or more is drawn, not {count}")
    edges = log_w.softmax(0).cumsum(0)
    first = torch.rand((), generator=generator, dtype=torch.float64).to(log_w.device)
    points = ((torch.arange(count, device=log_w.device) + first) / count).clamp(max=1 - 2**-53)
    # in units of the last edge, which rounding leaves beside 1; right: a row of weight 0 gets no point
    return torch.searchsorted(edges / edges[-1], points, right=True)


def energy_distance(x: Tensor, y: Tensor) -> Estimate:
    r"""Squared energy distance of two laws from independent samples, unbiased, so it can be below zero.

    .. math:: D^2 = 2E|X - Y| - E|X - X'| - E|Y - Y'|

    by U-statistics. To first order a row x_i contributes :math:`2(a_i - b_i)`, its mean distances to the
    other sample and to the rest of its own; the standard error adds both samples' contributions. Where the
    laws are equal these are noise only, and the squared standard error is about twice too large.

    Args:
        x: samples, shape (n, d), two or more.
        y: samples, shape (m, d), two or more.

    Returns:
        The squared distance in data units (a distance, not squared units), with its standard error.

    Raises:
        InputError: for samples of other shapes.

    Source: Székely and Rizzo; variance after Hoeffding. :func:`jko.statistics.two_sample.energy_test` is the
    same statistic with 1/n² averages, for equal sizes, with a permutation test.
    """
    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise InputError(f"two samples (n, d), n ≥ 2, not {tuple(x.shape)} and {tuple(y.shape)}")
    x, y = x.detach().double(), y.detach().double()
    across_x, across_y = _distance_sums(x, y) / len(y), _distance_sums(y, x) / len(x)
    within_x, within_y = _distance_sums(x, x) / (len(x) - 1), _distance_sums(y, y) / (len(y) - 1)
    value = 2 * across_x.mean() - within_x.mean() - within_y.mean()
    variance = sum(
        4 * (across - within).var() / len(within)
        for across, within in ((across_x, within_x), (across_y, within_y))
    )
    return Estimate(float(value), math.sqrt(variance))


def _distance_sums(x: Tensor, y: Tensor) -> Tensor:
    """The sum over j of |x_i − y_j|, shape (rows of x,), few rows at a time; 0 from a row to itself."""
    chunks = x.split(max(1, PAIRS // len(y)))
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cat([torch.cdist(chunk, y, compute_mode=mode).sum(1) for chunk in chunks])


def _checked(log_weights: Tensor) -> Tensor:
    """The log-weights in float64, detached."""
    log_w = log_weights.detach().double()
    if log_w.dim() != 1 or len(log_w) < 2:
        raise InputError(f"log-weights are a list of two or more, not of shape {tuple(log_w.shape)}")
    bad = int((log_w.isnan() | (log_w == math.inf)).sum())
    if bad or not log_w.isfinite().any():
        raise InputError(f"log-weights are below +∞ and not all −∞; {bad} of {len(log_w)} are nan or +∞")
    return log_w
