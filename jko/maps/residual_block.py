"""One JKO block: an invertible map T = Id + f with Lip f < 1."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.core.errors import NumericalError
from jko.maps.contraction import Contraction, ContractionField
from jko.maps.divergence import rademacher
from jko.maps.invertible import InvertibleBlock, Probes, Pushed
from jko.maps.power_series import draw_levels, log_det_series

#: relative residual |x + f(x) − y| / (1 + |y|) that the float64 reference must reach
REFERENCE = 1e-12
#: the fixed-point iteration is never longer; it suffices for a bound c of 0.996 in float64
MOST_ITERATIONS = 10_000
#: rounding of one evaluation of the residual, in units of the float64 spacing
ROUNDING = 32


@dataclass(frozen=True)
class Inverted:
    """Preimages with their a-posteriori bounds.

    Args:
        x: computed preimages, shape (batch, d).
        bound: upper bounds of |x − T⁻¹(y)|, float64, shape (batch,).
    """

    x: Tensor
    bound: Tensor


class ResidualBlock(InvertibleBlock):
    r"""The map :math:`T(x) = x + f(x)` with :math:`\mathrm{Lip} f \le c < 1`.

    T is invertible and monotone whatever the weights: sym ∇T ≥ 1 − c and Lip T⁻¹ ≤ 1/(1 − c). In return a
    block stretches no direction by more than 1 + c and shrinks none below 1 − c.

    .. math:: \log|\det \nabla T| = \log\det(I + \nabla f)

    exactly, by d tangents carried through the layers, or without bias by a power series
    (:func:`jko.maps.power_series.log_det_series`).

    Args:
        field: the network f.
        step_size: the JKO step size γ of this block.
        probes: Hutchinson probes of the series; 0 for the exact log-determinant.
        index: block index k, for errors.
    """

    def __init__(self, field: ContractionField, step_size: float, probes: int = 0, *, index: int = 0) -> None:
        super().__init__()
        self.field, self.step_size, self.probes, self.index = field, step_size, probes, index

    @property
    def dim(self) -> int:
        """Dimension d of the state."""
        return self.field.dim

    def reset_output(self) -> None:
        """Make the map the identity, hidden layers kept."""
        self.field.reset_output()

    def exact(self) -> ResidualBlock:
        """A frozen copy in float64 with exact log-determinants."""
        twin = copy.deepcopy(self).double().requires_grad_(False)
        twin.probes = 0
        return twin

    def push_forward(self, x: Tensor) -> Tensor:
        """T(x) without its log-determinant; shapes (batch, d) to (batch, d)."""
        return x + self.field(x)

    def pull_back(self, y: Tensor) -> Tensor:
        """T⁻¹(y) without its log-determinant; shapes (batch, d) to (batch, d).

        Raises:
            NumericalError: a bound of :meth:`invert` is more than √eps (1 + |y|) in the dtype of y.
        """
        f = self.field.prepared()
        x = self._checked(y, self._invert(f, y), math.sqrt(torch.finfo(y.dtype).eps), self.index)
        wanted = torch.is_grad_enabled() and (y.requires_grad or f.output.requires_grad)
        return _with_gradient(f, x, y) if wanted else x

    def invert(self, y: Tensor) -> Inverted:
        r"""T⁻¹(y) by the iteration :math:`x \leftarrow y - f(x)`, with the bound it has reached.

        .. math:: |x - T^{-1}(y)| \le |x + f(x) - y| / (1 - \mathrm{Lip} f)

        The number of iterations is the least n with (Lip f)ⁿ ≤ eps, from the weights' bound of Lip f and
        the dtype alone. Stopping at each row's own convergence would be cheaper, but makes a row's last
        digits depend on where rounding, which changes with the batch, lets it stop. The residual is
        evaluated in float64 under the weights as they are, so the bound holds for float32 rows, too.

        Args:
            y: positions, shape (batch, d).

        Returns:
            Preimages without gradient, and their bounds.

        Source: invertible residual networks (arXiv:1811.00995), the fixed-point inverse.
        """
        return self._invert(self.field.prepared(), y)

    @torch.no_grad()
    def pull_back_exactly(self, y: Tensor, *, index: int) -> Tensor:
        """T⁻¹(y) in float64, to a residual of 1e-12 (1 + |y|)."""
        found = self._invert(self.field.prepared(torch.float64), y.double())
        return self._checked(y, found, REFERENCE / (1 - self.field.lipschitz), index)

    def draw_probes(self, x: Tensor, generator: torch.Generator | None = None) -> Probes | None:
        """Hutchinson probes and levels of the series for rows x; ``None`` if none are used."""
        if self.probes == 0:
            return None
        draw = generator or torch.Generator().manual_seed(0)
        vectors = rademacher(self.probes, x, draw)
        levels = draw_levels((self.probes, len(x)), self.field.lipschitz, draw)
        return Probes(vectors, levels.to(x.device))

    def _push(self, x: Tensor, probes: Probes | None) -> Pushed:
        f = self.field.prepared()
        if probes is None:
            value, jacobian = f.with_jacobian(x)
            return Pushed.exactly(x + value, _log_det(jacobian))
        value, slopes = f.with_slopes(x)
        return Pushed.estimated(x + value, self._series(f, slopes, probes))

    def _pull(self, y: Tensor, probes: Probes | None) -> Pushed:
        x = self.pull_back(y)
        pushed = self._push(x, probes)
        return Pushed(x, pushed.log_det, pushed.log_det_se)

    def _series(self, f: Contraction, slopes: list[Tensor], probes: Probes) -> Tensor:
        def products(rows: Tensor) -> Callable[[Tensor], Tensor]:
            at_rows = [slope[rows] for slope in slopes]
            return lambda tangent: f.along([slope[: len(tangent)] for slope in at_rows], tangent)

        return log_det_series(products, probes, self.field.lipschitz)

    @torch.no_grad()
    def _invert(self, f: Contraction, y: Tensor) -> Inverted:
        lipschitz, x = float(f.lipschitz), y
        for _ in range(iterations(lipschitz, torch.finfo(y.dtype).eps)):
            x = y - f(x)
        fine, end = x.double(), y.double()
        residual = (fine + self.field.prepared(torch.float64)(fine) - end).norm(dim=-1)
        rounding = ROUNDING * torch.finfo(torch.float64).eps * (1 + end.norm(dim=-1))
        return Inverted(x, (residual + rounding) / (1 - lipschitz))

    def _checked(self, y: Tensor, found: Inverted, tolerance: float, index: int) -> Tensor:
        """The preimages, if every row's bound is at most tolerance · (1 + |y|)."""
        excess = found.bound / (1 + y.double().norm(dim=-1))
        if not bool((excess <= tolerance).all()):  # nan is no inverse either
            raise NumericalError(
                "the fixed-point iteration cannot invert it", block=index, value=float(excess.max()),
                bound=tolerance, remedy=f"lower network.lipschitz (here {self.field.lipschitz:g}), by which "
                "the iteration contracts, or set runtime.dtype=float64",
            )  # fmt: skip
        return found.x


def iterations(lipschitz: float, eps: float) -> int:
    """The least n ≥ 1 with lipschitzⁿ ≤ eps, but never more than :data:`MOST_ITERATIONS`."""
    if not 0 < lipschitz < 1:
        return 1
    return min(MOST_ITERATIONS, max(1, math.ceil(math.log(eps) / math.log(lipschitz))))


def _log_det(jacobian: Tensor) -> Tensor:
    """The log-determinant of I + ∇f, shape (batch,); the determinant is positive, since ‖∇f‖ < 1."""
    return torch.linalg.slogdet(torch.eye(jacobian.shape[-1]).to(jacobian) + jacobian)[1]


def _with_gradient(f: Contraction, x: Tensor, y: Tensor) -> Tensor:
    """The preimage x of y with the derivatives of T⁻¹ by y and by the weights (implicit function theorem)."""
    value, jacobian = f.with_jacobian(x)
    step = torch.linalg.solve(torch.eye(x.shape[-1]).to(x) + jacobian.detach(), x + value - y)
    return x - (step - step.detach())
