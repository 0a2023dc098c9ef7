r"""Where a λ-convex functional is least: what bounds on the distance to that law need of it.

With :math:`V(x) \ge V(x^*) + \frac\lambda2|x - x^*|^2`, the law q where G is least has, for convex even W,

.. math:: \lambda E_q|y - x^*|^2 \le E_q\langle\nabla V(y) + \nabla W*q(y), y - x^*\rangle
          = d\,E_q\Big[\frac{P(q)}{q}\Big]

which is c d with c entropies and nothing else in U, and 0 without U: then q is the point x*.

Source: derived, see theory.md, sections 3 and 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from jko.core.errors import InputError
from jko.energies.functional import Functional
from jko.energies.terms import row_gradient

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ground:
    """What is known of the law q where a functional is least, without drawing from it.

    Args:
        convexity: λ > 0.
        lowest: a point near x*, where V is least, shape (d,).
        slack: how far from x* it is at most.
        spread: W2(q, δ_{x*}) at most; ``None`` where an internal energy besides the entropy makes it unknown.
        floor: G is nowhere below, nats; −∞ where that is not known.
    """

    convexity: float
    lowest: Tensor
    slack: float
    spread: float | None
    floor: float


def ground_of(functional: Functional, dim: int) -> Ground:
    r"""Find the lowest point of V, and bound how far mass and value of the least law are from it.

    .. math:: W_2(q, \delta_{x^*}) \le \sqrt{c d/\lambda}, \qquad
              G \ge V(x^*) + \tfrac12 W(0) - \tfrac{cd}2 \log\frac{2\pi c}\lambda

    with c entropies. A search that stops at x is at most |∇V(x)|/λ from x*, and V(x*) at most |∇V(x)|²/(2λ)
    below V(x), so that no bound depends on how well it went. What other internal energies add is never
    negative, and is left out of the second.

    Args:
        functional: G.
        dim: d.

    Raises:
        InputError: without a λ > 0.
    """
    lam = functional.convexity
    if lam is None or lam <= 0:
        raise InputError(f"no λ > 0 is known for {functional.name}, so nothing bounds where it is least")
    lowest, value, slope = _lowest(functional, dim)
    count = functional.entropies
    entropy = 0.5 * count * dim * math.log(2 * math.pi * count / lam) if count else 0.0
    # two particles at one place have the energy W(0)/2 and nothing else of W
    together = float(functional.energies(torch.zeros(2, dim).double(), torch.zeros(2).double()).interaction)
    floor = value - slope**2 / (2 * lam) + together - entropy
    return Ground(
        lam, lowest, slope / lam,
        spread=None if functional.needs_density else math.sqrt(count * dim / lam),
        floor=floor if math.isfinite(floor) else -math.inf,
    )  # fmt: skip


def _lowest(functional: Functional, dim: int) -> tuple[Tensor, float, float]:
    """A point near x*, and V and |∇V| there."""

    def value(x: Array) -> tuple[float, Array]:
        rows = torch.from_numpy(x)[None]
        return float(functional.potential(rows)[0]), row_gradient(functional.potential, rows)[0].numpy()

    found = minimize(value, np.zeros(dim), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
    least, slope = value(found.x)
    return torch.from_numpy(found.x), least, float(np.linalg.norm(slope))
