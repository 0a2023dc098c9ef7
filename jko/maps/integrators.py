"""Explicit Runge–Kutta methods with fixed steps, carrying an integral along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: (x, t) -> dx/dt and, if an integral is carried along, its integrand (else None)
RightSide = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Tableau:
    """Butcher coefficients of an explicit method.

    Args:
        order: order of convergence.
        nodes: c, one for each stage.
        weights: b, one for each stage.
        matrix: rows of the strictly lower triangular a.
    """

    order: int
    nodes: tuple[float, ...]
    weights: tuple[float, ...]
    matrix: tuple[tuple[float, ...], ...]


TABLEAUS: dict[str, Tableau] = {
    "euler": Tableau(1, (0.0,), (1.0,), ((),)),
    "midpoint": Tableau(2, (0.0, 0.5), (0.0, 1.0), ((), (0.5,))),
    "rk4": Tableau(
        4, (0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6), ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0))
    ),
}


def integrate(
    right_side: RightSide,
    x: Tensor,
    *,
    start: float = 0.0,
    end: float = 1.0,
    steps: int = 4,
    method: str = "rk4",
) -> tuple[Tensor, Tensor | None]:
    """Solve dx/dt = v(x, t) from ``start`` to ``end`` in equal steps.

    Args:
        right_side: gives v(x, t), shape (batch, d), and an integrand or ``None``.
        x: initial positions, shape (batch, d).
        start: initial time.
        end: final time; smaller than ``start`` to solve backwards.
        steps: number of equal steps.
        method: a name in :data:`TABLEAUS`.

    Returns:
        Final positions (batch, d) and the integral of the integrand over [start, end], in the
        integrand's shape (``None`` if there is none).
    """
    tableau = TABLEAUS[method]
    h = (end - start) / steps
    integral: Tensor | None = None
    for n in range(steps):
        slopes: list[Tensor] = []
        for c, b, row in zip(tableau.nodes, tableau.weights, tableau.matrix, strict=True):
            stage = x
            for coefficient, slope in zip(row, slopes, strict=True):
                if coefficient:
                    stage = stage + h * coefficient * slope
            time = torch.as_tensor(start + (n + c) * h, dtype=x.dtype, device=x.device)
            slope, integrand = right_side(stage, time)
            slopes.append(slope)
            if integrand is not None and b:
                term = h * b * integrand
                integral = term if integral is None else integral + term
        for b, slope in zip(tableau.weights, slopes, strict=True):
            if b:
                x = x + h * b * slope
    return x, integral
