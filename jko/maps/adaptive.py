"""A neural ODE solved backwards by an adaptive method: the reference for what fixed steps compute."""

from __future__ import annotations

import torch
from torch import Tensor

from jko.core.errors import NumericalError
from jko.maps.divergence import Field

#: of the solver for a float64 map; for coarser numbers their rounding error, since no figure sees more
TOLERANCE = 1e-9
#: rows that are solved together, with steps for the worst of them; few fit the processor's cache
PIECE = 500


@torch.no_grad()
def solve_backwards(field: Field, y: Tensor, *, index: int, judged: torch.dtype = torch.float64) -> Tensor:
    """x(0) for x(1) = y by dopri8, shape (rows, d).

    Relative and absolute tolerance are 1e-9, or 1.2e-7 where float32 numbers are compared with the solution:
    their own rounding error.

    Args:
        field: maps x (rows, d) and t () to velocities (rows, d), in float64.
        y: float64, shape (rows, d).
        index: block index k, for the error.
        judged: dtype of the numbers that are compared with the solution.

    Raises:
        NumericalError: the step size underflows.
    """
    tolerance = max(TOLERANCE, torch.finfo(judged).eps)
    pieces = y.split(PIECE) if y.device.type == "cpu" else (y,)
    return torch.cat([_solve(field, piece, tolerance, index) for piece in pieces])


def _solve(field: Field, y: Tensor, tolerance: float, index: int) -> Tensor:
    from torchdiffeq import odeint  # here: it loads all of scipy's integrators

    times = torch.tensor([1.0, 0.0], dtype=torch.float64, device=y.device)
    # a step must end at 0: interpolation from beyond it is a thousand times less exact than the steps
    options = {"step_t": times[1:], "norm": _worst_row}
    try:
        path = odeint(
            lambda t, x: field(x, t),
            y,
            times,
            rtol=tolerance,
            atol=tolerance,
            method="dopri8",
            options=options,
        )
    except AssertionError as error:  # how the solver reports an underflow of its step
        raise NumericalError(
            f"the equation cannot be solved backwards ({error})", block=index,
            remedy="lower the step size or training.learning_rate: the field is not smooth enough",
        ) from None  # fmt: skip
    return path[-1]


def _worst_row(error: Tensor) -> Tensor:
    """The norm by which a step is accepted: no row is hidden by the others."""
    return (error**2).mean(-1).max().sqrt()
