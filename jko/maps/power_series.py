"""log det(I + J) without bias from products J e alone, where J contracts."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from jko.maps.invertible import Probes

#: terms of the series that are always summed
CERTAIN_TERMS = 4


def draw_levels(shape: tuple[int, ...], keep: float, generator: torch.Generator) -> Tensor:
    r"""Numbers of terms N with :math:`P(N \ge k) = keep^{\max(k - 4, 0)}`.

    Args:
        shape: of the result.
        keep: probability of one more term, between 0 and 1.
        generator: source of the numbers, on the host.

    Returns:
        int64 of that shape, on the host, each at least 4.
    """
    u = 1 - torch.rand(shape, generator=generator, dtype=torch.float64)  # in (0, 1]
    return CERTAIN_TERMS + torch.floor(u.log() / math.log(keep)).long()


def log_det_series(
    products: Callable[[Tensor], Callable[[Tensor], Tensor]], probes: Probes, keep: float
) -> Tensor:
    r"""One unbiased estimate of log det(I + J) for each row and probe.

    .. math:: \log\det(I + J) = \sum_{k \ge 1} \frac{(-1)^{k+1}}{k} \mathrm{tr}\, J^k
              = E \sum_{k=1}^{N} \frac{(-1)^{k+1}}{k\, P(N \ge k)}\, e^\top J^k e

    With :math:`\|J\| \le keep` the k-th summand is at most :math:`|e|^2 keep^4 / k` beyond the fourth, so
    every moment of the estimate is finite. (A coin in place of ``keep`` has infinite variance as soon as
    ‖J‖² > 1/2.) The number of terms is drawn for each row and probe; the rows that want most come first, so
    that the cost is that of the terms wanted and not of the longest series.

    Args:
        products: for numbers of rows, shape (items,), a function that multiplies the first n of these
            rows' J by tangents of shape (n, d).
        probes: vectors and levels, as :func:`draw_levels` gives them with ``keep``.
        keep: an upper bound of ‖J‖, less than 1.

    Returns:
        Estimates in nats, shape (batch, probes).

    Source: Residual Flows (arXiv:1906.02735), the unbiased log-density estimator; there N is geometric
    with a fair coin after a number of certain terms, here its tail follows the bound.
    """
    if probes.levels is None:
        raise ValueError("the series needs levels beside the probes")
    many, batch, dim = probes.vectors.shape
    order = probes.levels.flatten().argsort(descending=True, stable=True)
    start = probes.vectors.reshape(many * batch, dim)[order]
    multiply, power = products(order % batch), start
    total = torch.zeros_like(start[:, 0])
    for k, active in enumerate(_active(probes.levels), start=1):
        power = multiply(power[:active])
        weight = (-1) ** (k + 1) / (k * keep ** max(k - CERTAIN_TERMS, 0))
        term = weight * (start[:active] * power).sum(-1)
        total = torch.cat([total[:active] + term, total[active:]])
    return total[order.argsort()].reshape(many, batch).T


def _active(levels: Tensor) -> list[int]:
    """How many levels are at least 1, 2, … up to the largest."""
    below = torch.bincount(levels.flatten().cpu()).cumsum(0)  # entry k: how many are at most k
    return (levels.numel() - below)[:-1].tolist()
