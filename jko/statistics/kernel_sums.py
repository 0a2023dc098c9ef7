r"""Kernel density estimates at many points, in pieces: memory does not grow with the number of pairs.

Most of the time goes into e^g of every pair. Of each g the largest so far of its point is taken off first, so
that what is left is at most 0. Beyond :data:`MANY` pairs e^g is then found in single precision: its relative
error is about 6e−8 (1 + |g|), and terms with g < −16 are nothing beside the largest, which is 1. Exponents
are inner products of rows that may be far from 0: single precision is used for them only where it moves none
by more than about :data:`ROUNDING`. Sums over pieces are kept in double precision. Of 10 000 points and
100 000 centres in 10 dimensions the mean logarithm moved by 2e−6 nats at most, a single one by 2e−5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: points and centres of a piece: their pairs stay in the processor's cache
POINTS, CENTRES = 512, 512
#: pairs of a point and a centre beyond which exponentials are found in single precision
MANY = 2**18
#: what an exponent may be off by in single precision, nats, at most
ROUNDING = 1e-4
#: exponents of 2 below the largest by more than this are taken for it: 2^−60 is no denormal number, nor its
#: square, and these are slow
LEAST = -60.0
#: natural exponents are multiplied by it: 2^x is several times as fast as e^x
IN_BITS = 1 / math.log(2)


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
    own, halves = u.square().sum(1) / 2, v.square().sum(1) / 2
    single = len(u) * len(v) > MANY
    kind = torch.float32 if single and _rounding(own, halves) <= ROUNDING else torch.float64
    # one product for g = uv − |v|²/2, in powers of 2
    left = IN_BITS * torch.cat([u, torch.ones_like(own)[:, None]], 1)
    left = left.to(kind)
    right = torch.cat([v, -halves[:, None]], 1).to(kind)
    first, second = torch.empty_like(own), torch.empty_like(own)
    # the same memory for all pieces: to ask for it anew takes as long as to fill it
    scratch = (piece := torch.empty(POINTS * CENTRES, dtype=kind)), piece.float() if single else piece
    for start in range(0, len(u), POINTS):
        at = slice(start, start + POINTS)
        first[at], second[at] = _log_sums(left[at], right, None if without is None else without[at], scratch)
    peak = -dim * math.log(width * math.sqrt(2 * math.pi))
    relative = count * torch.exp(second - 2 * first) - 1
    return KernelMean(first - own + peak - math.log(count), relative.clamp(min=0), peak, count)


def _rounding(own: Tensor, halves: Tensor) -> float:
    """About the most that u·v − |v|²/2 is off by in single precision, of |u|²/2 and |v|²/2."""
    u, v = (math.sqrt(2 * float(one.max())) for one in (own, halves))
    return torch.finfo(torch.float32).eps / 2 * (u * v + v * v / 2)


def joined(parts: Sequence[KernelMean]) -> KernelMean:
    """The mean over the centres of all parts, at the same points and of one width."""
    count = sum(part.count for part in parts)
    shares = [math.log(part.count / count) for part in parts]
    pairs = list(zip(parts, shares, strict=True))
    log_mean = torch.logsumexp(torch.stack([part.log_mean + share for part, share in pairs]), 0)
    squares = [part.relative_variance.log1p() + 2 * part.log_mean + share for part, share in pairs]
    relative = torch.expm1(torch.logsumexp(torch.stack(squares), 0) - 2 * log_mean)
    return KernelMean(log_mean, relative.clamp(min=0), parts[0].peak, count)


def _log_sums(
    u: Tensor, v: Tensor, without: Tensor | None, scratch: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Natural logarithms of Σ_j 2^{g_j} and Σ_j 2^{2 g_j} of g_j = u·v_j, centres in pieces.

    Args:
        u: shape (n, k).
        v: shape (M, k).
        without: number of a centre that is left out at every point, shape (n,).
        scratch: where g and 2^g of a piece are kept, in the precision of each.
    """
    largest = torch.full((len(u),), -math.inf, dtype=u.dtype)
    sums, squares = (torch.zeros(len(u), dtype=torch.float64) for _ in range(2))
    whole, powers = scratch
    for start in range(0, len(v), CENTRES):
        part = v[start : start + CENTRES]
        exponents, terms = (one[: len(u) * len(part)].view(len(u), -1) for one in (whole, powers))
        torch.mm(u, part.T, out=exponents)
        if without is not None:
            here = (without >= start) & (without < start + CENTRES)
            exponents[here, without[here] - start] = -math.inf
        highest = torch.maximum(largest, exponents.amax(1))
        shrunk = torch.exp2((largest - highest).double())
        exponents.sub_(highest[:, None])
        if powers is not whole:
            terms.copy_(exponents)
        terms.clamp_(min=LEAST).exp2_()
        sums = sums * shrunk + terms.sum(1)
        squares = squares * shrunk.square() + torch.linalg.vector_norm(terms, dim=1).double().square()
        largest = highest
    top = largest.double() / IN_BITS
    return top + sums.log(), 2 * top + squares.log()
