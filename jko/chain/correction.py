r"""The importance correction of a law p towards :math:`q \propto e^{-V}`: some rows are drawn again.

A row x ~ p is kept with probability α(x); where it is not, *one* independent draw of p takes its place:

.. math:: \alpha(x) = \min(1, w(x)/c), \quad w = e^{-V}/p, \qquad
          p'(x) = p(x)\,f(x), \quad f = \alpha + 1 - \bar\alpha, \quad \bar\alpha = E_p\,\alpha

(kept: density p α; drawn again, with probability 1 − ᾱ: density p). So mass moves at once from where p has
too much to where it has too little, however far, which no short step of a flow does; the density stays known.

**KL(p' ‖ q) ≤ KL(p ‖ q).** With E f = 1,

.. math:: KL(p\|q) - KL(p'\|q) = E_p[(f - 1)\log w] - E_p[f \log f] \ge Cov_p(f, \log w - \log f) \ge 0,

the first since :math:`E \log f \le \log E f = 0`, so that :math:`E f\log f \le Cov(f, \log f)`; the second as
f and w/f = w/(min(1, w/c) + 1 − ᾱ) are both nondecreasing functions of w. Equality holds where w is constant.

The idea is that of importance-corrected neural JKO (Hertrich and Gruhlke, arXiv:2407.20444). Here c is solved
in closed form for the rows at hand and is never above their largest weight, and ᾱ is kept with its error; the
proof is the one above. An error of ᾱ leaves the samples as they are; the mass of their density is off by it.

Units: nats for logarithms. Everything is computed in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.core.errors import InputError
from jko.laws.densities import Estimate


@dataclass(frozen=True)
class Correction:
    """A correction as it is stored: everything else follows from the law before it.

    Args:
        log_level: log c, nats, for weights against the reference of the :class:`jko.chain.chain.Chain`.
        acceptance: ᾱ, the mean share of rows that are kept.
        acceptance_se: its standard error: to first order that of the mass of p', and so of log Z, too.
    """

    log_level: float
    acceptance: float
    acceptance_se: float

    @classmethod
    def at(cls, log_level: float, log_weights: Tensor) -> Correction:
        """With ᾱ as the mean over rows of the law before it, best of others than the level was chosen by."""
        alpha = (log_weights.detach().double() - log_level).clamp(max=0.0).exp()
        return cls(log_level, float(alpha.mean()), float(alpha.std()) / math.sqrt(len(alpha)))

    def log_acceptance(self, log_weights: Tensor) -> Tensor:
        """The logarithms log α of the probabilities that rows are kept, shape (rows,)."""
        return (log_weights.double() - self.log_level).clamp(max=0.0)

    def log_factor(self, log_weights: Tensor) -> Tensor:
        """The logarithms log f = log p' − log p, nats, shape (rows,); −∞ where no row is kept or drawn."""
        return (self.log_acceptance(log_weights).exp() + (1 - self.acceptance)).log()

    def kl_drop(self, log_weights: Tensor) -> Estimate:
        """KL(p‖q) − KL(p'‖q) from weights of rows of p, by the formula above, nats.

        As E f = 1, log w may be taken less any constant; with this one an error of ᾱ is of second order.
        """
        log_w, log_f = log_weights.double(), self.log_factor(log_weights)
        f, constant = log_f.exp(), log_w.mean() - log_f.mean() - 1
        values = (f - 1) * (log_w - constant) - f * log_f
        return Estimate(float(values.mean()), float(values.std()) / math.sqrt(len(values)))


def fit_correction(log_weights: Tensor, rate: float) -> Correction:
    r"""The correction that draws a given share of rows again.

    The share :math:`1 - \bar\alpha = \frac1n\sum_i (1 - w_i/c)_+` grows with c from the smallest weight on.
    Between two weights in ascending order it is :math:`(j - S_j/c)/n` with j weights below c, of sum S_j, so

    .. math:: c = \min\Big(\frac{S_j}{j - n\,rate},\ \max_i w_i\Big)

    for the j with the rate between its ends. Beyond the largest weight more rows would be drawn again and p'
    be no closer to q: there p' = (Z/c) q + (1 − Z/c) p. Equal weights leave nothing to draw again.

    Args:
        log_weights: log w_i of independent rows of p, nats, shape (rows,), two or more.
        rate: the share of rows to be drawn again, 0 < rate < 1.

    Raises:
        InputError: for weights that are none, or another rate.
    """
    log_w = log_weights.detach().double().cpu()
    if log_w.dim() != 1 or len(log_w) < 2 or not log_w.isfinite().all():
        bad = int((~log_w.isfinite()).sum())
        raise InputError(
            f"log-weights are a list of two or more finite numbers; of shape {tuple(log_w.shape)}, "
            f"{bad} not finite, they are none"
        )
    if not 0 < rate < 1:
        raise InputError(f"the share of rows to be drawn again is between 0 and 1, not {rate}")
    return Correction.at(_log_level(log_w.sort().values, rate), log_w)


def _log_level(log_w: Tensor, rate: float) -> float:
    """Log c for log-weights in ascending order."""
    count = len(log_w)
    below = torch.arange(1, count + 1, dtype=torch.float64)
    log_sums = log_w.logcumsumexp(0)
    shares = (below - (log_sums - log_w).exp()) / count  # drawn again where c is that weight
    j = int(torch.searchsorted(shares.cummax(0).values, torch.tensor(rate, dtype=torch.float64)))
    if j == count:
        return float(log_w[-1])
    # weights 0 … j − 1 lie below c, and c is at most weight j; theirs may be nothing beside it
    left = j - count * rate
    return min(float(log_sums[j - 1]) - math.log(left), float(log_w[j])) if left > 0 else float(log_w[j])
