r"""What one block minimises: a functional G under one of three first-order schemes in Wasserstein space.

With f = T − Id and the drift :math:`b = \nabla V + \nabla W*p` of the law p that enters the block, the map of
each scheme minimises its objective:

* backward Euler, the JKO step: :math:`G(T_\#p) + E|f|^2/(2\gamma)`;
* forward Euler, G linearised at p: :math:`E\langle b, f\rangle - E[(P/p)\nabla\cdot f] + E|f|^2/(2\gamma)`,
  least at :math:`f = -\gamma(b + U''(p)p\nabla\log p)`;
* forward–backward, a gradient step of V and W and then a JKO step of the internal energy 𝒰:
  :math:`\mathcal U(T_\#p) + E|T - (x - \gamma b(x))|^2/(2\gamma)`.

All need the entropy through log|det ∇T| or the divergence only, so no density. With a context (rows of d + c
columns) p, T and G are those of the state given the context, averaged over it.

Source: backward Euler as in arXiv:2310.17582 and arXiv:2212.14424; forward–backward arXiv:2002.03035; the
objectives of the others are derived from their maps, see theory.md for the closed forms that test them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from jko.core.context import with_context
from jko.energies.functional import Functional, gaussian_reference
from jko.energies.objective import JkoTerms, jko_objective
from jko.maps.divergence import EXACT_LIMIT, rademacher
from jko.maps.invertible import InvertibleBlock

Scheme = Literal["backward_euler", "forward_euler", "forward_backward"]
#: steps of the simulation from which flow matching starts where the target is not N(0, I)
LANGEVIN_STEPS = 40
#: log p at rows, (rows, d) to (rows,), nats
LogDensity = Callable[[Tensor], Tensor]


def ornstein_uhlenbeck_pair(x: Tensor, step_size: float, noise: torch.Generator) -> Tensor:
    r"""The copy of x at Ornstein–Uhlenbeck time :math:`t = \log(1+\gamma)`.

    .. math:: y = e^{-t} x + \sqrt{1 - e^{-2t}}\, z, \quad z \sim N(0, I)

    Its mean is that of the exact JKO step; its width differs (see ``jko.laws.gaussian``). A free block
    (γ = ∞) gets y = z.
    """
    shrink = 1 / (1 + step_size)
    z = torch.randn(x.shape, generator=noise, dtype=x.dtype).to(x.device)
    return shrink * x + math.sqrt(1 - shrink**2) * z


@dataclass(frozen=True)
class Step:
    """The objective of a block and the simulation that flow matching starts from.

    Args:
        functional: G; ``None`` for KL to N(0, I), which has a closed form.
        scheme: how G is descended.
        log_density: log p(x) of the law that enters the block, (rows, d) to (rows,), nats; only for an
            internal energy that needs it.
    """

    functional: Functional | None = None
    scheme: Scheme = "backward_euler"
    log_density: LogDensity | None = None

    @property
    def energy(self) -> Functional:
        """G as an object."""
        return self.functional or gaussian_reference()

    def objective(
        self, block: InvertibleBlock, x: Tensor, generator: torch.Generator | None = None
    ) -> JkoTerms:
        """The scheme's objective on a batch.

        Args:
            block: the map T, with its step size γ.
            x: samples of p, shape (batch, d).
            generator: source of the probes, where any are used.

        Returns:
            The potential (with the interaction), log-determinant and transport of T, and the objective.
        """
        if self.functional is None and self.scheme == "backward_euler":
            return jko_objective(block, x, generator)
        parts = {"backward_euler": self._backward, "forward_euler": self._forward}
        return parts.get(self.scheme, self._forward_backward)(block, x, generator)

    def pair(self, x: Tensor, step_size: float, noise: torch.Generator) -> Tensor:
        r"""A copy of x after time log(1 + γ) of the stochastic flow of G, for flow matching.

        For KL to N(0, I) the exact Ornstein–Uhlenbeck copy, else :data:`LANGEVIN_STEPS` steps of

        .. math:: y \leftarrow y - \frac{h\,b(y)}{\sqrt{1 + h^2|b(y)|^2/d}} + \sqrt{2h}\, z

        (no noise without entropy); tamed, so that steep potentials do not throw particles away.
        """
        if self.functional is None:
            return ornstein_uhlenbeck_pair(x, step_size, noise)
        h = min(math.log1p(step_size), 10.0) / LANGEVIN_STEPS
        spread = math.sqrt(2 * h * float(self.energy.pressure_ratio(x.new_zeros(1))))
        for _ in range(LANGEVIN_STEPS):
            drift = self.energy.drift(x)
            square = drift.square().mean(-1, keepdim=True)
            z = torch.randn(x.shape, generator=noise, dtype=x.dtype).to(x.device)
            x = x - h * drift / torch.sqrt(1 + h**2 * square) + spread * z
        return x

    def _backward(self, block: InvertibleBlock, x: Tensor, draw: torch.Generator | None) -> JkoTerms:
        pushed = block(x, draw)
        energies = self.energy.energies(block.state_of(pushed.x), self._density(x) - pushed.log_det)
        transport = ((pushed.x - x) ** 2).sum(-1).mean() / (2 * block.step_size)
        return JkoTerms(
            energies.potential + energies.interaction, pushed.log_det.mean(), transport,
            value=energies.total + transport,
        )  # fmt: skip

    def _forward(self, block: InvertibleBlock, x: Tensor, draw: torch.Generator | None) -> JkoTerms:
        y, trace = _map_and_trace(block, x, draw)
        transport = ((y - x) ** 2).sum(-1).mean() / (2 * block.step_size)
        work = (self.energy.drift(block.state_of(x)) * block.state_of(y - x)).sum(-1).mean()
        expansion = (
            self.energy.pressure_ratio(self._density(x)) * (trace - block.state_of(x).shape[1])
        ).mean()
        return self._described(block, x, work - expansion + transport, transport)

    def _forward_backward(self, block: InvertibleBlock, x: Tensor, draw: torch.Generator | None) -> JkoTerms:
        pushed = block(x, draw)
        state, end = block.state_of(x), block.state_of(pushed.x)
        moved = state - block.step_size * self.energy.drift(state)
        internal = self.energy.energies(end, self._density(x) - pushed.log_det).internal
        proximal = ((end - moved) ** 2).sum(-1).mean() / (2 * block.step_size)
        transport = ((pushed.x - x) ** 2).sum(-1).mean() / (2 * block.step_size)
        return self._described(block, x, internal + proximal, transport)

    @torch.no_grad()
    def _described(self, block: InvertibleBlock, x: Tensor, value: Tensor, transport: Tensor) -> JkoTerms:
        """The objective beside what the map does to potential and entropy."""
        pushed = block(x)
        energies = self.energy.energies(block.state_of(pushed.x), -pushed.log_det)
        return JkoTerms(
            energies.potential + energies.interaction, pushed.log_det.mean(), transport.detach(), value=value
        )

    def _density(self, x: Tensor) -> Tensor:
        """The log-density of the law that enters, or 0 where a constant makes no difference."""
        return x.new_zeros(len(x)) if self.log_density is None else self.log_density(x)


def _map_and_trace(block: InvertibleBlock, x: Tensor, draw: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """T(x) and tr ∇T(x), by tangents along the axes up to :data:`.EXACT_LIMIT`, else along random signs."""
    state, still = block.state_of(x), torch.zeros_like(x)
    dim = state.shape[1]
    if dim <= EXACT_LIMIT:
        axes = torch.eye(dim, dtype=x.dtype, device=x.device)
        directions = list(axes[:, None].expand(-1, *state.shape))
    else:
        directions = [rademacher(1, state, draw or torch.Generator().manual_seed(0))[0]]
    trace = torch.zeros_like(x[:, 0])
    for along in directions:
        direction = with_context(along, still)
        y, tangent = torch.func.jvp(block.push_forward, (x,), (direction,))[:2]
        trace = trace + (tangent * direction).sum(-1)
    return y, trace
