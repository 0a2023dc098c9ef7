r"""The three kinds of term of a functional, and their sum (terms with a formula: ``functional``).

.. math:: G(\rho) = \int V\rho + \frac12\iint W(x-y)\,\rho(x)\rho(y) + \int U(\rho)

Estimated from rows y ~ ρ, internal energy from log ρ(y). Units: nats for energies, the data's for y.

Source: derived, see theory.md; convexity along generalized geodesics as in arXiv:2310.17582, after
Ambrosio, Gigli and Savaré, *Gradient Flows*, and McCann's condition on U.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.core.errors import InputError


class Term(ABC):
    """One term; terms add up to a :class:`Functional`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """How reports call it."""

    @property
    def unfit(self) -> str:
        """Why it rules out convexity along generalized geodesics; empty where it does not."""
        return ""

    def __add__(self, other: Term | Functional) -> Functional:
        return Functional((self,)) + other


@dataclass(frozen=True)
class PotentialEnergy(Term):
    """The energy ∫Vρ = E V(y).

    Args:
        value: V, shape (rows, d) to (rows,), nats, differentiable, each row on its own.
        convexity: λ with ∇²V ⪰ λI everywhere, of any sign; ``None`` where there is none or none is known.
        name: how reports call it.
    """

    value: Callable[[Tensor], Tensor]
    convexity: float | None
    name: str = "potential"

    @property
    def unfit(self) -> str:
        """Why it gives no convexity; empty where it does."""
        return f"no λ is known for which the {self.name} is λ-convex" if self.convexity is None else ""

    def per_row(self, y: Tensor) -> Tensor:
        """V(y), shape (rows, d) to (rows,)."""
        return values_of(self.value, y, self.name)


class Interaction(Term):
    """The energy ½∬W(x − y)ρρ of an even W, from pairs of different rows."""

    @abstractmethod
    def per_row(self, y: Tensor) -> Tensor:
        """Half the mean of W(y_i − y_j) over the partners j of row i, shape (rows,)."""

    @abstractmethod
    def gradient(self, y: Tensor) -> Tensor:
        """Mean of ∇W(y_i − y_j) over the partners j of row i, shape (rows, d); not differentiable."""


class InternalEnergy(Term):
    """The energy ∫U(ρ) = E[U(ρ(y))/ρ(y)], from log ρ at the rows. A base for others than those here.

    ``needs_density`` is false only for entropy, where log ρ may be off by a constant. ``unfit`` says why U
    fails McCann's condition, that r^d U(r^{−d}) is convex and nonincreasing in r > 0.
    """

    needs_density: bool = True

    @abstractmethod
    def per_row(self, log_density: Tensor) -> Tensor:
        """The ratio U(ρ)/ρ, nats; shape (rows,) to (rows,)."""

    @abstractmethod
    def pressure_ratio(self, log_density: Tensor) -> Tensor:
        """The ratio P(ρ)/ρ with P(r) = rU′(r) − U(r); shape (rows,) to (rows,)."""

    @abstractmethod
    def score_weight(self, log_density: Tensor) -> Tensor:
        """The factor U″(ρ)ρ of the score in ∇U′(ρ); shape (rows,) to (rows,)."""


@dataclass(frozen=True)
class Energies:
    """Estimates of the three parts of a functional, nats, tensors of shape (); 0 for a part it has not.

    Args:
        potential: ∫Vρ.
        interaction: ½∬W(x − y)ρρ.
        internal: ∫U(ρ).
    """

    potential: Tensor
    interaction: Tensor
    internal: Tensor

    @property
    def total(self) -> Tensor:
        """G(ρ)."""
        return self.potential + self.interaction + self.internal


@dataclass(frozen=True)
class Functional:
    """A sum of terms, as ``PotentialEnergy(…) + Entropy()`` makes it.

    Args:
        terms: at least one; several of a kind add up.

    Raises:
        InputError: without a term.
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        if not self.terms:
            raise InputError("a functional has at least one term")

    def __add__(self, other: Term | Functional) -> Functional:
        return Functional((*self.terms, *(other.terms if isinstance(other, Functional) else (other,))))

    @property
    def name(self) -> str:
        """How reports call it."""
        return " + ".join(term.name for term in self.terms)

    @property
    def needs_density(self) -> bool:
        """Whether it needs the true log-density: any internal energy but the entropy does."""
        return any(term.needs_density for term in self._internals)

    @property
    def is_divergence(self) -> bool:
        """Whether G − min G is the KL divergence to the minimiser: potentials and one entropy only."""
        internals = self._internals
        return not self._interactions and len(internals) == 1 and not internals[0].needs_density

    @property
    def unfit(self) -> str:
        """Why no λ is known for which it is λ-convex along generalized geodesics; empty where one is."""
        return next((term.unfit for term in self.terms if term.unfit), "")

    @property
    def convexity(self) -> float | None:
        """λ along generalized geodesics: the sum of those of the potentials. Convex W and U add none."""
        return None if self.unfit else float(sum(term.convexity or 0.0 for term in self._potentials))

    @property
    def entropies(self) -> int:
        """How many entropies are among the terms."""
        return sum(not term.needs_density for term in self._internals)

    def potential(self, y: Tensor) -> Tensor:
        """The sum of the potentials, V(y), shape (rows, d) to (rows,)."""
        return _total((term.per_row(y) for term in self._potentials), y.new_zeros(len(y)))

    def energies(self, y: Tensor, log_density: Tensor | None = None) -> Energies:
        """The three parts, differentiable in both arguments.

        Args:
            y: rows of ρ, shape (rows, d); independent, and two at least for an interaction.
            log_density: log ρ(y), nats, shape (rows,). Where :attr:`needs_density` is false it may be off by
                a constant, by which the result is off too: for y = T(x), x ~ p, −log|det ∇T(x)| gives
                G(T_# p) + H(p). Not needed without an internal energy.

        Raises:
            InputError: for rows or log-densities of another shape.
        """
        parts = self._parts(y, log_density)
        return Energies(*(part.mean() for part in parts))

    def per_row(self, y: Tensor, log_density: Tensor | None = None) -> Tensor:
        r"""Values, one a row, whose mean is the total and whose standard error of the mean is the total's.

        .. math:: V(y_i) + 2w_i - \bar w + \frac{U(\rho(y_i))}{\rho(y_i)}, \quad
                  w_i = \frac{1}{2(n-1)}\sum_{j\ne i} W(y_i - y_j)

        A row is in two places of a pair, so the U-statistic :math:`\bar w` varies with 2w, not with w
        (:math:`Var\,\bar w \approx 4\,Var(w)/n`, Hoeffding); what it shares with the other terms is counted.
        To first order in 1/n, for a log-density known without error.

        Args:
            y: as in :meth:`energies`.
            log_density: as in :meth:`energies`.

        Returns:
            Shape (rows,), nats.

        Raises:
            InputError: as :meth:`energies`.

        Source: the variance of a U-statistic is Hoeffding's; derived, see theory.md.
        """
        potential, interaction, internal = self._parts(y, log_density)
        return potential + 2 * interaction - interaction.mean() + internal

    def drift(self, y: Tensor) -> Tensor:
        """∇V(y) + ∇(W*ρ)(y), ρ estimated by the other rows: what of ∇δG/δρ needs no density.

        Args:
            y: rows of ρ, shape (rows, d).

        Returns:
            Shape (rows, d), nats per data unit, in the precision of y; not differentiable.

        Raises:
            InputError: as :meth:`energies`.
        """
        self._check(y, None)
        slopes = [row_gradient(term.value, y) for term in self._potentials]
        return _total([*slopes, *(term.gradient(y) for term in self._interactions)], torch.zeros_like(y))

    def pressure_ratio(self, log_density: Tensor) -> Tensor:
        """P(ρ)/ρ, the weight of the divergence in the weak form: 1 for entropy, 0 with no internal energy.

        Args:
            log_density: log ρ at the rows, nats, shape (rows,).
        """
        parts = (term.pressure_ratio(log_density) for term in self._internals)
        return _total(parts, torch.zeros_like(log_density))

    def score_weight(self, log_density: Tensor) -> Tensor:
        """U″(ρ)ρ, so that ∇δG/δρ = drift + U″(ρ)ρ ∇log ρ: 1 for entropy, 0 with no internal energy.

        Args:
            log_density: log ρ at the rows, nats, shape (rows,).
        """
        parts = (term.score_weight(log_density) for term in self._internals)
        return _total(parts, torch.zeros_like(log_density))

    @property
    def _potentials(self) -> list[PotentialEnergy]:
        return [term for term in self.terms if isinstance(term, PotentialEnergy)]

    @property
    def _interactions(self) -> list[Interaction]:
        return [term for term in self.terms if isinstance(term, Interaction)]

    @property
    def _internals(self) -> list[InternalEnergy]:
        return [term for term in self.terms if isinstance(term, InternalEnergy)]

    def _parts(self, y: Tensor, log_density: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """V, half the mean of W, and U/ρ, row by row."""
        self._check(y, log_density)
        if self._internals and log_density is None:
            raise InputError(f"{self.name} needs a log-density at the rows")
        none = y.new_zeros(len(y))
        return (
            self.potential(y),
            _total((term.per_row(y) for term in self._interactions), none),
            none if log_density is None else _total((t.per_row(log_density) for t in self._internals), none),
        )

    def _check(self, y: Tensor, log_density: Tensor | None) -> None:
        least = 2 if self._interactions else 1
        if y.dim() != 2 or len(y) < least:
            raise InputError(f"{self.name} needs rows (n, d) with n ≥ {least}, not {tuple(y.shape)}")
        if log_density is not None and log_density.shape != y.shape[:1]:
            raise InputError(
                f"log-densities of {len(y)} rows have shape ({len(y)},), not {tuple(log_density.shape)}"
            )


def values_of(function: Callable[[Tensor], Tensor], x: Tensor, name: str) -> Tensor:
    """The values of a user's function of points, shape (…, d) to (…).

    Raises:
        InputError: if it gives another shape: added to other terms, that would broadcast.
    """
    values = function(x)
    if values.shape != x.shape[:-1]:
        raise InputError(
            f"the {name} gives {tuple(x.shape)} to {tuple(x.shape[:-1])}, not to {tuple(values.shape)}"
        )
    return values


def row_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Gradients of a function of single points, shape (…, d) to (…, d); detached."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x).sum(), x)[0]


def _total(parts: Iterable[Tensor], none: Tensor) -> Tensor:
    """The sum of the parts, or the zeros given where there is none."""
    first, *rest = list(parts) or [none]
    return sum(rest, start=first)
