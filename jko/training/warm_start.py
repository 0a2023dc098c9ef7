"""Weights that a block of another step size can start from."""

from __future__ import annotations

import copy

import torch

from jko.maps.invertible import InvertibleBlock


@torch.no_grad()
def slowed(block: InvertibleBlock, factor: float) -> InvertibleBlock:
    r"""A copy of a block whose velocity, or whose f in x + f(x), is a multiple: :math:`v \to c\,v`.

    A linear field :math:`v = Ax` with factor c has the map :math:`e^{cA} = (e^A)^c`: of c = 1/2 two in a row
    make the old one. A field that depends on time more freely does so only nearly.

    Args:
        block: left alone.
        factor: c, such as the share that a step's Ornstein–Uhlenbeck time has in the block's.

    Source: derived. The velocity is linear in exactly those weights that ``reset_output`` makes zero, and is
    zero with them.
    """
    new, still = copy.deepcopy(block), copy.deepcopy(block)
    still.reset_output()
    zero = still.state_dict()
    for name, value in new.state_dict().items():
        if value.is_floating_point():
            value.copy_(zero[name] + factor * (value - zero[name]))
    return new
