"""The JKO objective of one block, its three terms apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jko.energies.functional import half_square as potential
from jko.maps.invertible import InvertibleBlock


@dataclass(frozen=True)
class JkoTerms:
    """Batch means of the terms of the objective, nats, tensors of shape ().

    Args:
        potential: E V(Tx); with an interaction, its energy is part of this.
        log_det: E log|det ∇T(x)|.
        transport: E|Tx − x|²/(2γ).
        value: the objective, where it is another than the sum of these (see :mod:`jko.energies.scheme`).
    """

    potential: Tensor
    log_det: Tensor
    transport: Tensor
    value: Tensor | None = None

    @property
    def total(self) -> Tensor:
        """The objective: potential − log_det + transport, unless it has a value of its own."""
        return self.potential - self.log_det + self.transport if self.value is None else self.value


def jko_objective(block: InvertibleBlock, x: Tensor, generator: torch.Generator | None = None) -> JkoTerms:
    r"""The proximal objective of one block on a batch.

    .. math:: L(T) = E[V(Tx) - \log|\det \nabla T(x)| + |Tx - x|^2 / (2\gamma)]
                   = KL(T_\# p \| q) + E|Tx-x|^2/(2\gamma) + H(p) - \log Z

    Args:
        block: the map T, with its step size γ.
        x: samples of p, shape (batch, d + c); with a context all terms are averages over it.
        generator: source of the probes, where the block uses them.

    Returns:
        The three terms.

    Source: JKO-iFlow (arXiv:2212.14424), the loss of one block; the transport term is weighted
    by 1/(2γ) as in the paper 2310.17582.
    """
    pushed = block(x, generator)
    transport = ((pushed.x - x) ** 2).sum(-1).mean() / (2 * block.step_size)
    return JkoTerms(potential(block.state_of(pushed.x)).mean(), pushed.log_det.mean(), transport)
