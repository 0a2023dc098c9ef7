"""The exact score of p_k where the density of p_0 is known, and with it the exact ε."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from jko.laws.densities import Estimate
from jko.maps.invertible import InvertibleBlock
from jko.statistics.tails import tail_of

#: ∇log p_0, shape (rows, d) to (rows, d)
Score = Callable[[Tensor], Tensor]


@torch.enable_grad()
def score_after(blocks: Sequence[InvertibleBlock], y: Tensor, score: Score) -> Tensor:
    r"""∇log p_k at samples, by differentiating the change of variables.

    .. math:: \log p_k(y) = \log p_0(F^{-1}y) + \log|\det \nabla F^{-1}(y)|, \quad
              F = T_k \circ \dots \circ T_1

    Args:
        blocks: T_1 … T_k, any dtype; log-determinants are exact whatever the blocks' own are.
        y: samples of p_k, shape (rows, d).
        score: ∇log p_0 in the units of the blocks.

    Returns:
        float64, shape (rows, d).
    """
    end = y.double().clone().requires_grad_()
    x, log_det = end, torch.zeros(len(y), dtype=torch.float64, device=y.device)
    for block in reversed(blocks):
        pushed = block.exact().inverse(x)
        x, log_det = pushed.x, log_det + pushed.log_det
    # the gradient through x needs ∇log p_0 only, so its value stands for log p_0
    surrogate = (score(x.detach()) * x).sum() - log_det.sum()
    return torch.autograd.grad(surrogate, end)[0]


def mean_square(field: Tensor) -> Estimate:
    """E|field|² over rows with its standard error, and how few rows carry it."""
    squared = (field.double() ** 2).sum(-1)
    error = float(squared.std()) / math.sqrt(len(squared))
    return Estimate(float(squared.mean()), error, tail_of(squared))
