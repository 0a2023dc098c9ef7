"""One block as peers with an adjoint write it: the right side of torchdiffeq, the trace by autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchdiffeq import odeint_adjoint

from jko.maps.divergence import rademacher
from jko.maps.ode_block import Pushed, Solver

#: step of the finite difference, divided by √d, as JKO-iFlow takes it
FINITE_DIFFERENCE = 0.02


def exact_trace(field: nn.Module, x: Tensor, t: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
    """Velocity and exact divergence by d derivatives, as in FFJORD; the probe is not used."""
    velocity = field(x, t)
    trace = torch.zeros_like(x[:, 0])
    for i in range(x.shape[1]):
        trace = trace + torch.autograd.grad(velocity[:, i].sum(), x, create_graph=True)[0][:, i]
    return velocity, trace


def batched_trace(field: nn.Module, x: Tensor, t: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
    """Velocity and exact divergence by d derivatives at once, as in zuko; the probe is not used."""
    velocity = field(x, t)
    units = torch.eye(x.shape[1], dtype=x.dtype).expand(*x.shape, -1).movedim(-1, 0)
    jacobian = torch.autograd.grad(velocity, x, units, create_graph=True, is_grads_batched=True)[0]
    return velocity, torch.einsum("i...i", jacobian)


def hutchinson_trace(field: nn.Module, x: Tensor, t: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
    """Velocity and Hutchinson's estimate with one probe by one derivative, as in FFJORD."""
    velocity = field(x, t)
    return velocity, (torch.autograd.grad(velocity, x, probe, create_graph=True)[0] * probe).sum(-1)


def difference_trace(field: nn.Module, x: Tensor, t: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
    """Velocity and Hutchinson's estimate with one probe by a finite difference, as in JKO-iFlow."""
    velocity = field(x, t)
    width = FINITE_DIFFERENCE / x.shape[1] ** 0.5
    return velocity, (probe * (field(x + width * probe, t) - velocity)).sum(-1) / width


Trace = Callable[[nn.Module, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
TRACES: dict[str, Trace] = {
    "exact, one derivative a dimension": exact_trace,
    "exact, batched derivatives": batched_trace,
    "one probe, derivative": hutchinson_trace,
    "one probe, finite difference": difference_trace,
}


class _RightSide(nn.Module):
    """The augmented equation: time and (x, log_det) to their derivatives."""

    probe: Tensor

    def __init__(self, field: nn.Module, trace: Trace) -> None:
        super().__init__()
        self.field, self.trace = field, trace

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = state[0]
            if not x.requires_grad:
                x = x.requires_grad_(True)
            return self.trace(self.field, x, t, self.probe)


@dataclass
class AdjointBlock:
    """The same block solved by torchdiffeq with fixed steps and differentiated by its adjoint.

    Its ``rk4`` is the 3/8 rule, which has four stages like the classical one.

    Args:
        field: the velocity field.
        step_size: γ of the objective.
        solver: number of steps; method and probes are the peer's own.
        trace: how the divergence is computed.
    """

    field: nn.Module
    step_size: float
    solver: Solver
    trace: Trace

    def __post_init__(self) -> None:
        self._right_side = _RightSide(self.field, self.trace)

    def state_of(self, rows: Tensor) -> Tensor:
        """The rows themselves: they carry no context."""
        return rows

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Pushed:
        """T(x) and log|det ∇T(x)|, as :meth:`jko.maps.ode_block.Block.forward`."""
        self._right_side.probe = rademacher(1, x, generator or torch.Generator().manual_seed(0))[0]
        start = x.clone(), torch.zeros_like(x[:, 0])
        times = torch.tensor([0.0, 1.0], dtype=x.dtype)
        options = {"step_size": 1 / self.solver.steps}
        y, log_det = odeint_adjoint(self._right_side, start, times, method="rk4", options=options)
        return Pushed(y[-1], log_det[-1], torch.zeros_like(log_det[-1]))
