r"""How far the computed inverse is from the true one, and what that does to the model's law.

The reverse pass is run twice on the same reference draws z: as users run it, S = S_1 ∘ … ∘ S_N in the
chain's dtype by the blocks' own means, and exactly, T⁻¹, in float64 at tight tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.core.errors import NumericalError
from jko.core.seeds import generator
from jko.laws.densities import Estimate
from jko.maps.invertible import InvertibleBlock
from jko.statistics.tails import tail_of


@dataclass(frozen=True)
class ReverseError:
    r"""Errors of the reverse pass, standardised units.

    Args:
        per_block: :math:`\epsilon_{inv,k} = \|S_k - T_k^{-1}\|_{L^2(\tilde q_k)}`, k = 1..N, where
            q̃_k is the computed law that reaches block k from the reference.
        coupled: :math:`\sqrt{E_z|S(z) - T^{-1}(z)|^2} \ge W_2(q_0, \tilde q_0)`, with its
            standard error over the draws, and the tail of the squares.
        worst: the largest |S(z) − T⁻¹(z)| among the draws.
        rows: number of draws.
    """

    per_block: tuple[float, ...]
    coupled: Estimate
    worst: float
    rows: int


@torch.no_grad()
def reverse_error(
    blocks: Sequence[InvertibleBlock], rows: int, *, seed: int = 0, z: Tensor | None = None
) -> ReverseError:
    """Compare the computed reverse pass with the true one, on draws of the reference.

    Args:
        blocks: T_1 … T_N.
        rows: number of draws.
        seed: of the draws.
        z: draws of another reference, at least so many.

    Raises:
        NumericalError: the adaptive solver cannot invert a block to the tolerance.

    Source: the inversion errors of arXiv:2310.17582; the coupled bound is derived, see theory.md.
    """
    like = next(blocks[0].parameters())
    if z is None:
        z = torch.randn(rows, blocks[0].dim, generator=generator(seed, "reverse"), dtype=torch.float64)
    z = z[:rows].double()
    rows = len(z)
    exact = z.to(like.device)
    computed, errors = exact.to(like.dtype), []
    for k in range(len(blocks), 0, -1):
        reference = pull_back_reference(blocks[k - 1], torch.cat([computed.double(), exact]), index=k)
        computed = blocks[k - 1].pull_back(computed)
        if not torch.isfinite(computed).all():
            raise NumericalError(
                "the computed inverse is not finite", block=k,
                remedy="raise solver.steps or lower the step size",
            )  # fmt: skip
        errors.append(_norm(computed.double() - reference[:rows]))
        exact = reference[rows:]
    squared = ((computed.double() - exact) ** 2).sum(-1)
    root = math.sqrt(float(squared.mean()))
    error = float(squared.std()) / math.sqrt(rows) / (2 * root) if root else 0.0
    coupled = Estimate(root, error, tail_of(squared))
    return ReverseError(tuple(reversed(errors)), coupled, float(squared.max().sqrt()), rows)


@torch.no_grad()
def block_inversion_error(block: InvertibleBlock, y: Tensor, *, index: int) -> float:
    r""":math:`\epsilon_{inv,k}` at given points: computed inverse against the true one.

    Args:
        block: the block T_k.
        y: where to invert it, shape (rows, d).
        index: k, for errors.
    """
    return _norm(block.pull_back(y).double() - pull_back_reference(block, y.double(), index=index))


@torch.no_grad()
def pull_back_reference(block: InvertibleBlock, y: Tensor, *, index: int) -> Tensor:
    """T⁻¹(y) in float64: an ODE by an adaptive solver at 1e-9, a residual map by its fixed point to 1e-12.

    For float32 blocks the solver's tolerance is their rounding error, 1.2e-7.

    Args:
        block: the block T, of any dtype.
        y: float64, shape (rows, d).
        index: block index k, for the error.

    Returns:
        float64, shape (rows, d).

    Raises:
        NumericalError: the tolerance is out of reach.
    """
    return block.pull_back_exactly(y, index=index)


def product_bound(errors: Sequence[float], lipschitz: Sequence[float]) -> float:
    r""":math:`W_2(q_0, \tilde q_0) \le \sum_k (\prod_{j<k} L_j)\, \epsilon_{inv,k}`.

    Args:
        errors: ε_inv,1 … ε_inv,N.
        lipschitz: L_1 … L_N, Lipschitz constants of T_k⁻¹; sampled ones make this an estimate.

    Source: arXiv:2310.17582, the inversion-error result.
    """
    total, gain = 0.0, 1.0
    for error, constant in zip(errors, lipschitz, strict=True):
        total += gain * error
        gain *= constant
    return total


def _norm(difference: Tensor) -> float:
    return math.sqrt(float((difference**2).sum(-1).mean()))
