"""Kernel density estimates at many points, in pieces: memory does not grow with the number of pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: points and centres of a piece: their pairs stay in the processor's cache
POINTS, CENTRES = 256, 1024


@dataclass(frozen=True)
class KernelMean:
    r"""The mean of Gaussian kernels at some points.

    :math:`\hat q(y) = \frac1M \sum_j N(y; c_j, s^2 I)`, with the relative variance of its terms.

    Args:
        log_mean: log q̂ at every point, shape (n,), nats.
        relative_variance: variance of the terms over their squared mean, shape (n,); at most M − 1.
        peak: logarithm of the largest value that a term can have, nats.
        count: centres M.
    """

    log_mean: Tensor
    relative_variance: Tensor
    peak: float
    count: int


def kernel_mean(points: Tensor, centres: Tensor, width: float, without: Tensor | None = None) -> KernelMean:
    """Evaluate a Gaussian kernel density estimate.

    Args:
        points: shape (n, d).
        centres: shape (M, d).
        width: standard deviation s of the kernel, in the unit of the rows.
        without: number of a centre that is left out at every point, shape (n,); M is then one less.

    Returns:
        float64 figures of every point.
    """
    # |u − v|² = |u|² + |v|² − 2uv loses digits far from 0, so both are moved to the points' centre
    origin = points.double().mean(0)
    u, v = (points.double() - origin) / width, (centres.double() - origin) / width
    dim, count = u.shape[1], len(v) if without is None else len(v) - 1
    halves = v.square().sum(1) / 2
    first, second = torch.empty(len(u), dtype=u.dtype), torch.empty(len(u), dtype=u.dtype)
    for start in range(0, len(u), POINTS):
        at = slice(start, start + POINTS)
        first[at], second[at] = _log_sums(u[at], v, halves, None if without is None else without[at])
    peak = -dim * math.log(width * math.sqrt(2 * math.pi))
    own = u.square().sum(1) / 2
    relative = count * torch.exp(second - 2 * first) - 1
    return KernelMean(first - own + peak - math.log(count), relative.clamp(min=0), peak, count)


def joined(parts: Sequence[KernelMean]) -> KernelMean:
    """The mean over the centres of all parts, at the same points and of one width."""
    count = sum(part.count for part in parts)
    shares = [math.log(part.count / count) for part in parts]
    pairs = list(zip(parts, shares, strict=True))
    log_mean = torch.logsumexp(torch.stack([part.log_mean + share for part, share in pairs]), 0)
    squares = [part.relative_variance.log1p() + 2 * part.log_mean + share for part, share in pairs]
    relative = torch.expm1(torch.logsumexp(torch.stack(squares), 0) - 2 * log_mean)
    return KernelMean(log_mean, relative.clamp(min=0), parts[0].peak, count)


def _log_sums(u: Tensor, v: Tensor, halves: Tensor, without: Tensor | None) -> tuple[Tensor, Tensor]:
    """Logarithms of Σ_j e^{g_j} and Σ_j e^{2 g_j} of g_j = u·v_j − |v_j|²/2, centres in pieces."""
    largest = torch.full((len(u),), -math.inf, dtype=u.dtype)
    sums, squares = torch.zeros_like(largest), torch.zeros_like(largest)
    for start in range(0, len(v), CENTRES):
        at = slice(start, start + CENTRES)
        terms = torch.addmm(-halves[at], u, v[at].T)
        if without is not None:
            here = (without >= start) & (without < start + CENTRES)
            terms[here, without[here] - start] = -math.inf
        highest = torch.maximum(largest, terms.amax(1))
        shrunk = torch.exp(largest - highest)
        terms.sub_(highest[:, None]).exp_()
        sums = sums * shrunk + terms.sum(1)
        squares = squares * shrunk.square() + torch.linalg.vector_norm(terms, dim=1).square()
        largest = highest
    return largest + sums.log(), 2 * largest + squares.log()
