r"""The paper's own estimate of the first-order-condition error of a step: kernel score, exact pairing.

.. math:: \xi_i = y_i + s_h(y_i) - (back(y_i) - y_i)/\gamma, \quad
          s_h(y) = \frac{\sum_j (y_j - y)\, e^{-|y - y_j|^2/(2h)}}{h \sum_j e^{-|y - y_j|^2/(2h)}}

Source: the estimator of arXiv:2310.17582, written from its formula, for comparison with
:mod:`jko.measure.residual`. On the authors' stored samples their plotted statistic is 12.5, 6.2, 1.01, .43,
.35, .33 at 0, 13, 33, 65, 85, 100 % of training. Trying out what the formula leaves open showed, and their
public code confirms, that

- the sum of the kernel score runs over all rows, the row itself included: leaving it out raises the third
  figure by about .1, away from the published one;
- back pairs y with an *independent* draw of p. Then all six lie within the scatter from draw to draw (one
  standard deviation: .35, .2, .1, .06, .04, .04). With y's own preimages the last three are .31–.37,
  .17–.20 and .15–.18 whichever rows are taken, so this cannot be what was plotted.

So about .3 of every value, and all of it at an exact step, is noise of the estimator: of the pairing of
two samples of 2000 rows, and of the kernel score.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jko.statistics.transport import MOST_PAIRED_ROWS, optimal_back

#: h of the paper, squared data units
BANDWIDTH = 0.1
#: n of the paper
ROWS = MOST_PAIRED_ROWS


@dataclass(frozen=True)
class KernelTerms:
    r"""What the paper's ξ is made of, at samples; shapes (rows, d), inverse data units.

    Args:
        gradient: :math:`\nabla V + s_h`, the gradient of KL.
        transport: :math:`(back(y) - y)/\gamma`.
        score: :math:`s_h`.
    """

    gradient: Tensor
    transport: Tensor
    score: Tensor

    @property
    def xi(self) -> Tensor:
        """The estimate of ξ."""
        return self.gradient - self.transport


@dataclass(frozen=True)
class KernelStatistic:
    r"""The paper's statistic under the name of its plot, and the norm that it stands for.

    Args:
        paper_kde: :math:`\frac1n \sum_i \sqrt{\sum_c \xi_{ic}^4}`, what the paper plots as squared norm;
            between :math:`1/\sqrt d` and 1 times the other.
        paper_kde_l2: :math:`\frac1n \sum_i |\xi_i|^2`, the estimate of ε².
    """

    paper_kde: float
    paper_kde_l2: float


def kernel_score(y: Tensor, bandwidth: float = BANDWIDTH) -> Tensor:
    r"""The score ∇log of the Gaussian kernel density of samples, at these samples.

    .. math:: s_h(y) = \Big(\frac{\sum_j w_j y_j}{\sum_j w_j} - y\Big) / h, \quad
              w_j = e^{-|y - y_j|^2/(2h)}

    Args:
        y: samples, shape (rows, d).
        bandwidth: h, the variance of the kernel, squared data units.

    Returns:
        float64, shape (rows, d), inverse data units; 0 at a row far from all others.
    """
    y = y.double()
    weights = torch.exp(-(torch.cdist(y, y) ** 2) / (2 * bandwidth))
    return (weights @ y / weights.sum(1, keepdim=True) - y) / bandwidth


def kernel_terms(x: Tensor, y: Tensor, step_size: float, *, bandwidth: float = BANDWIDTH) -> KernelTerms:
    """The paper's ξ at the first :data:`ROWS` samples, in its parts.

    Args:
        x: samples of p, shape (rows, d); in the paper drawn independently of y.
        y: as many samples of p', shape (rows, d).
        step_size: γ.
        bandwidth: h, squared data units.

    Returns:
        float64, shapes (rows used, d).
    """
    y, back = optimal_back(x, y, "emd")
    score = kernel_score(y, bandwidth)
    return KernelTerms(y + score, (back - y) / step_size, score)


def kernel_statistic(
    x: Tensor, y: Tensor, step_size: float, *, bandwidth: float = BANDWIDTH
) -> KernelStatistic:
    """:class:`KernelStatistic` of ξ, see :func:`kernel_terms`; same arguments."""
    return statistic_of(kernel_terms(x, y, step_size, bandwidth=bandwidth).xi)


def statistic_of(xi: Tensor) -> KernelStatistic:
    """:class:`KernelStatistic` of residuals, or of one of their parts, shape (rows, d)."""
    squares = xi.double() ** 2
    return KernelStatistic(float((squares**2).sum(1).sqrt().mean()), float(squares.sum(1).mean()))


def independent_rows(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of paired samples that are independent of each other, at most :data:`ROWS` of each.

    With rows in k strides, y takes the first row of every stride and x the last.

    Args:
        x: samples of p, shape (rows, d), at least 2 rows.
        y: samples of p', row i the image of row i of x.
    """
    count = min(ROWS, len(x) // 2)
    stride = len(x) // count
    return x[stride - 1 :: stride][:count], y[::stride][:count]
