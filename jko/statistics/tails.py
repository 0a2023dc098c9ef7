"""Whether few rows carry a mean, and how much its upper limit suffers from that."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jko.statistics.upper_limit import FACTOR, POWER

#: share of the rows, the largest ones, that is looked at; what they carry of the mean where nothing is
#: added to mean + 2 SE, and from where on all is (squares of normal rows: .14)
TOP, LIGHT, HEAVY = 0.02, 0.18, 0.36


def tail_of(values: Tensor) -> float:
    r"""How much more than its standard error the mean of rows is unsure by: 0 where no few rows carry it.

    .. math:: \tau = w K \frac{\|x\|_p}{\bar x\, n^{1-1/p}}

    w rises from 0 to 1 as the share of the mean that the largest 2 % of the rows carry rises from .18 to .36.

    Args:
        values: at least 0, shape (rows,).
    """
    rows = values.detach().double().flatten().clamp(min=0)  # rounding may leave some below
    largest = float(rows.max()) if len(rows) else 0.0
    if not (math.isfinite(largest) and largest > 0):
        return 0.0
    rows = rows / largest
    total = float(rows.sum())
    count = max(1, int(TOP * len(rows)))
    top = float(torch.topk(rows, count).values.sum()) / total
    top -= count / len(rows) - TOP  # of fewer than 50 rows a single one is more than 2 %
    weight = min(max((top - LIGHT) / (HEAVY - LIGHT), 0.0), 1.0)
    constant = POWER * FACTOR ** (1 / POWER) * (POWER - 1) ** (1 / POWER - 1)
    # ‖x‖_p/(mean · n^(1 − 1/p)) with all powers of n together
    return weight * constant * float((rows**POWER).sum()) ** (1 / POWER) / total
