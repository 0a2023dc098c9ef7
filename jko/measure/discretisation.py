"""How far a chain's solver of fixed steps is from a finer one: where it takes rows, and their densities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.laws.densities import Estimate
from jko.maps.invertible import InvertibleBlock
from jko.statistics.tails import tail_of

#: steps of the finer solver for one of the chain's; of fourth order it is 4096 times as exact
FINER = 8
#: rows · d of which log-determinants are compared: the finer ones take d evaluations a step
BUDGET = 4096


@dataclass(frozen=True)
class SolverError:
    r"""Errors of the forward pass, standardised units and nats.

    Args:
        w2: :math:`\sqrt{E|x_N - x_N^*|^2}`, both from the same row: at least W2 of the two laws of x_N. Its
            tail is that of the squares.
        log_det: mean of :math:`\log|\det| - \log|\det^*|` over all blocks, of the first rows.
        rows: number of rows.
    """

    w2: Estimate
    log_det: Estimate
    rows: int


@torch.no_grad()
def solver_error(blocks: Sequence[InvertibleBlock], x: Tensor, *, finer: int = FINER) -> SolverError | None:
    """Push rows through all blocks as they are solved, and with more steps in float64.

    Args:
        blocks: T_1 … T_N.
        x: rows that enter the first block, shape (rows, d + c), at least two.
        finer: how many steps take the place of one.

    Returns:
        ``None`` where no block is solved in steps.
    """
    own, fine = x.to(next(blocks[0].parameters(), x).dtype), x.double()
    few = max(2, BUDGET // blocks[0].dim)
    plain = exact = fine[:few]
    difference = fine.new_zeros(len(plain))
    solved = False
    for block in blocks:
        coarse = block.exact()
        steps = getattr(getattr(block, "solver", None), "steps", None)
        solved = solved or steps is not None
        better = coarse.with_steps(None if steps is None else finer * steps)
        own, fine = block.push_forward(own), better.push_forward(fine)
        first, second = coarse(plain), better(exact)
        plain, exact = first.x, second.x
        difference = difference + first.log_det - second.log_det
    if not solved:
        return None
    squared = (blocks[-1].state_of(own.double() - fine) ** 2).sum(-1)
    root, count = float(squared.mean().sqrt()), len(squared)
    error = float(squared.std()) / count**0.5 / (2 * root) if root else 0.0
    spread = float(difference.std()) / len(difference) ** 0.5
    return SolverError(
        Estimate(root, error, tail_of(squared)), Estimate(float(difference.mean()), spread), count
    )
