"""What every kind of block offers: an invertible map with its log-determinant, forward and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from jko.core.context import state_of


@dataclass(frozen=True)
class Pushed:
    """Rows pushed through a block or a chain.

    Args:
        x: positions, shape (batch, d).
        log_det: log|det ∇T| of the *forward* map, shape (batch,), nats.
        log_det_se: its standard error over the Hutchinson probes, shape (batch,); zero where
            the log-determinant is exact, nan with a single probe.
    """

    x: Tensor
    log_det: Tensor
    log_det_se: Tensor

    @classmethod
    def exactly(cls, x: Tensor, log_det: Tensor) -> Pushed:
        """With a log-determinant that is no estimate."""
        return cls(x, log_det, torch.zeros_like(log_det))

    @classmethod
    def estimated(cls, x: Tensor, per_probe: Tensor) -> Pushed:
        """With the mean of estimates, one for each probe, shape (batch, probes)."""
        probes = per_probe.shape[-1]
        error = per_probe.std(-1) / probes**0.5 if probes > 1 else torch.full_like(per_probe[:, 0], torch.nan)
        return cls(x, per_probe.mean(-1), error)


@dataclass(frozen=True)
class Probes:
    """Random numbers by which log-determinants are estimated, each row with its own.

    Args:
        vectors: e with E[e eᵀ] = I, shape (probes, batch, d).
        levels: how many terms of a series are summed, shape (probes, batch); ``None`` without series.
    """

    vectors: Tensor
    levels: Tensor | None = None

    def of(self, rows: slice) -> Probes:
        """Those of some rows."""
        return Probes(self.vectors[:, rows], None if self.levels is None else self.levels[:, rows])


class InvertibleBlock(nn.Module, ABC):
    """An invertible map T of one JKO step, whatever computes it.

    With a context of c numbers, rows have d + c columns wherever shapes below say d: the last c are passed
    through, and Jacobians, divergences and log-determinants are in the first d, the context held fixed.

    Training, measures and stores ask for no more than this. Weights are those of ``state_dict``. A row's
    image and preimage depend on no other row.
    """

    #: the JKO step size γ
    step_size: float

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension d of the state."""

    @property
    def context(self) -> int:
        """Columns c of the context behind the state; 0 where T is conditioned on nothing."""
        return 0

    def state_of(self, rows: Tensor) -> Tensor:
        """The first d columns, shape (…, d + c) to (…, d); the rows themselves without a context."""
        return state_of(rows, self.dim) if self.context else rows

    @property
    def velocity(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The field v(x, t) that flow matching regresses; ``None`` where T is not solved from one."""
        return None

    @abstractmethod
    def reset_output(self) -> None:
        """Make the map the identity, hidden layers kept."""

    def with_steps(self, steps: int | None) -> InvertibleBlock:
        """The same weights, where T is solved in steps with so many; ``None`` for as many as now."""
        return self

    @abstractmethod
    def exact(self) -> Self:
        """A frozen copy in float64 whose log-determinants are no estimates."""

    @abstractmethod
    def push_forward(self, x: Tensor) -> Tensor:
        """T(x) without its log-determinant; shapes (batch, d) to (batch, d)."""

    @abstractmethod
    def pull_back(self, y: Tensor) -> Tensor:
        """T⁻¹(y) without its log-determinant; shapes (batch, d) to (batch, d)."""

    @abstractmethod
    def pull_back_exactly(self, y: Tensor, *, index: int) -> Tensor:
        """T⁻¹(y) in float64, to a tolerance far below the error of :meth:`pull_back`.

        Args:
            y: float64, shape (batch, d).
            index: block index k, for the error.

        Raises:
            NumericalError: the tolerance is out of reach.
        """

    @abstractmethod
    def draw_probes(self, x: Tensor, generator: torch.Generator | None = None) -> Probes | None:
        """Probes for the log-determinants of rows x; ``None`` if they are computed without."""

    def forward(
        self, x: Tensor, generator: torch.Generator | None = None, *, probes: Probes | None = None
    ) -> Pushed:
        """Data → reference, with the log-determinant.

        Args:
            x: positions, shape (batch, d).
            generator: source of the probes, where there are any.
            probes: probes to use instead, as :meth:`draw_probes` gives them.

        Returns:
            T(x) and log|det ∇T(x)|.
        """
        return self._push(x, self.draw_probes(x, generator) if probes is None else probes)

    def inverse(self, y: Tensor, generator: torch.Generator | None = None) -> Pushed:
        """Reference → data, with the log-determinant of the forward map at the preimage.

        Args:
            y: positions, shape (batch, d).
            generator: source of the probes, where there are any.

        Returns:
            T⁻¹(y) and log|det ∇T(T⁻¹(y))|.
        """
        return self._pull(y, self.draw_probes(y, generator))

    @abstractmethod
    def _push(self, x: Tensor, probes: Probes | None) -> Pushed:
        """T(x) and log|det ∇T(x)|."""

    @abstractmethod
    def _pull(self, y: Tensor, probes: Probes | None) -> Pushed:
        """T⁻¹(y) and log|det ∇T(T⁻¹(y))|."""
