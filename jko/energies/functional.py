r"""Functionals of a law ρ that a JKO step can descend: sums of three kinds of energy.

.. math:: G(\rho) = \int V\rho + \frac12\iint W(x-y)\,\rho(x)\rho(y) + \int U(\rho)

Everything is estimated from rows y ~ ρ. Its first variation moves mass with the field

.. math:: \nabla\frac{\delta G}{\delta\rho} = \nabla V + \nabla W*\rho + U''(\rho)\rho\,\nabla\log\rho

whose first two terms are the *drift*. The last needs the score, except in a weak form: with the pressure
:math:`P(r) = rU'(r) - U(r)`, for every smooth field φ that does not grow too fast,

.. math:: E\langle\nabla U'(\rho), \varphi\rangle = -E\Big[\frac{P(\rho)}{\rho}\,\nabla\cdot\varphi\Big]

KL to N(0, I) is the potential :math:`|x|^2/2` and the entropy. Units: nats for energies, the data's for y.

Source: derived, see theory.md; convexity along generalized geodesics as in arXiv:2310.17582, after
Ambrosio, Gigli and Savaré, *Gradient Flows*, and McCann's condition on U.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from jko.core.errors import InputError
from jko.energies.terms import (
    Energies,
    Functional,
    Interaction,
    InternalEnergy,
    PotentialEnergy,
    Term,
    row_gradient,
    values_of,
)

__all__ = [
    "Energies",
    "Entropy",
    "Functional",
    "Interaction",
    "InteractionEnergy",
    "InternalEnergy",
    "PotentialEnergy",
    "PowerEnergy",
    "QuadraticInteraction",
    "Term",
    "gaussian_reference",
    "half_square",
]

#: rows that each row is paired with at most; up to one row more, all pairs are taken
PARTNERS = 4096
#: numbers in the differences of one batch of pairs
PAIR_NUMBERS = 2**22


@dataclass(frozen=True)
class InteractionEnergy(Interaction):
    r"""The energy ½∬W(x − y)ρρ, by the U-statistic over pairs i ≠ j.

    .. math:: \frac{1}{2n(n-1)}\sum_{i\ne j} W(y_i - y_j)

    All pairs up to :data:`PARTNERS` + 1 rows. Beyond, every row meets about as many others, those at
    distances evenly spread over the batch: still unbiased where rows are independent.

    Args:
        kernel: W on differences, shape (…, d) to (…), nats, even, differentiable; never asked for W(0).
        convex: whether W is convex.
        name: how reports call it.
    """

    kernel: Callable[[Tensor], Tensor]
    convex: bool
    name: str = "interaction"

    @property
    def unfit(self) -> str:
        """Why it gives no convexity; empty where it does."""
        return "" if self.convex else f"the kernel of the {self.name} is not convex"

    def per_row(self, y: Tensor) -> Tensor:
        """Half the mean of W(y_i − y_j) over the partners j of row i, shape (rows,)."""
        return 0.5 * _pair_mean(lambda z: values_of(self.kernel, z, self.name), y)

    def gradient(self, y: Tensor) -> Tensor:
        """Mean of ∇W(y_i − y_j) over the partners j of row i, shape (rows, d); not differentiable."""
        return _pair_mean(lambda z: row_gradient(self.kernel, z), y.detach())


@dataclass(frozen=True)
class QuadraticInteraction(Interaction):
    r"""The interaction with W(z) = strength·|z|²/2: the U-statistic over all pairs, from two moments.

    .. math:: \frac{strength}{2} \cdot \frac{1}{n-1}\sum_i |y_i - \bar y|^2

    Args:
        strength: positive attracts, negative repels; nats per squared data unit.
    """

    strength: float

    @property
    def name(self) -> str:
        """How reports call it."""
        return "quadratic interaction"

    @property
    def unfit(self) -> str:
        """Why it gives no convexity; empty where it does."""
        return "" if self.strength >= 0 else f"the kernel of the {self.name} is not convex"

    def per_row(self, y: Tensor) -> Tensor:
        """Half the mean of W(y_i − y_j) over all j ≠ i, shape (rows,)."""
        squares = ((y - y.mean(0)) ** 2).sum(-1)
        return 0.25 * self.strength * (squares + squares.mean()) * len(y) / (len(y) - 1)

    def gradient(self, y: Tensor) -> Tensor:
        """Mean of ∇W(y_i − y_j) over all j ≠ i, shape (rows, d); not differentiable."""
        y = y.detach()
        return self.strength * (y - y.mean(0)) * len(y) / (len(y) - 1)


@dataclass(frozen=True)
class Entropy(InternalEnergy):
    """U(r) = r log r: the energy E log ρ. McCann's condition holds in every dimension."""

    needs_density = False

    @property
    def name(self) -> str:
        """How reports call it."""
        return "entropy"

    def per_row(self, log_density: Tensor) -> Tensor:
        """Log ρ itself."""
        return log_density

    def pressure_ratio(self, log_density: Tensor) -> Tensor:
        """One: P(r) = r."""
        return torch.ones_like(log_density)

    def score_weight(self, log_density: Tensor) -> Tensor:
        """One: U″(r) = 1/r."""
        return torch.ones_like(log_density)


@dataclass(frozen=True)
class PowerEnergy(InternalEnergy):
    r"""U(r) = r^m/(m − 1), m > 1: its gradient flow is the porous medium equation ∂ρ = Δρ^m.

    McCann's condition holds in every dimension: :math:`r^d U(r^{-d}) = r^{-d(m-1)}/(m-1)` is convex and
    decreasing. (Below 1 it would hold for m ≥ 1 − 1/d.)

    Args:
        exponent: m.

    Raises:
        InputError: unless 1 < m < ∞.
    """

    exponent: float

    def __post_init__(self) -> None:
        if not 1 < self.exponent < math.inf:
            raise InputError(f"the exponent of a power energy is above 1 and finite, not {self.exponent}")

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"power energy {self.exponent:g}"

    def per_row(self, log_density: Tensor) -> Tensor:
        """The ratio ρ^{m−1}/(m − 1)."""
        return self.pressure_ratio(log_density) / (self.exponent - 1)

    def pressure_ratio(self, log_density: Tensor) -> Tensor:
        """The ratio ρ^{m−1}: P(r) = r^m."""
        return ((self.exponent - 1) * log_density).exp()

    def score_weight(self, log_density: Tensor) -> Tensor:
        """The factor m ρ^{m−1}: U″(r) = m r^{m−2}."""
        return self.exponent * self.pressure_ratio(log_density)


def half_square(x: Tensor) -> Tensor:
    """V(x) = |x|²/2 of N(0, I), shape (rows, d) to (rows,); no constant."""
    return 0.5 * (x * x).sum(-1)


def gaussian_reference() -> Functional:
    r"""KL to N(0, I) up to a constant: :math:`KL(\rho\|q) = G(\rho) + \frac d2\log 2\pi`."""
    return PotentialEnergy(half_square, 1.0, "|x|²/2") + Entropy()


def _pair_mean(function: Callable[[Tensor], Tensor], y: Tensor) -> Tensor:
    """The mean of function(y_i − y_j) over the partners j of row i, (rows, …), few pairs at a time.

    Partners are at cyclic distances that hold n − s with every s, so i is a partner of j where j is one of i.
    Where gradients are recorded, batches of pairs are computed again on the way back instead of kept.
    """
    count, shifts = len(y), _shifts(len(y)).to(y.device)
    rows = torch.arange(count, device=y.device)

    def batch(y: Tensor, some: Tensor) -> Tensor:
        return function(y - y[(rows + some[:, None]) % count]).sum(0)

    batches = shifts.split(max(1, PAIR_NUMBERS // y.numel()))
    if len(batches) == 1 or not (y.requires_grad and torch.is_grad_enabled()):
        sums = [batch(y, some) for some in batches]
    else:
        again = partial(checkpoint, batch, use_reentrant=False, preserve_rng_state=False)
        sums = [again(y, some) for some in batches]
    return torch.stack(sums).sum(0) / len(shifts)


def _shifts(count: int) -> Tensor:
    """Cyclic distances of partners: 1, …, n − 1, or about PARTNERS of them evenly spread."""
    half = torch.arange(1, count // 2 + 1, math.ceil((count - 1) / PARTNERS))
    return torch.cat([half, count - half]).unique()
