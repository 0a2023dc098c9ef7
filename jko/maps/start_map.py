r"""Maps from standardised data to the coordinates in which a chain starts.

Block 0 of a chain is :math:`x \mapsto u = (x - shift) / scale`, column by column, and may be followed by
one of these maps :math:`u \mapsto z`, fitted to the training rows. The JKO steps work on z: their potential
is :math:`|z|^2 / 2`, and all that holds for them holds as before, since a KL divergence is the same in all
coordinates. Densities, samples and figures are those of x, by the map's log-determinant and its inverse.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jko.core.errors import InputError

Array = NDArray[np.float64]
#: rows that go through a start map at a time
PIECE = 5000


class StartMap(nn.Module, ABC):
    """A diffeomorphism of :math:`R^d` in float64, from standardised units to start coordinates."""

    #: word for it in the settings and in a stored map
    kind: ClassVar[str]
    #: whether it is affine far out, so that its log-determinant is known there to the last digits
    affine_tails: ClassVar[bool] = True

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension d."""

    @abstractmethod
    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Images z and log|det dz/du| in nats, (rows, d) and (rows,), of rows u in standardised units."""

    @abstractmethod
    def inverse(self, z: Tensor) -> Tensor:
        """Rows u in standardised units for rows z, shapes (rows, d)."""

    def log_det_at(self, z: Tensor) -> Tensor:
        """log|det dz/du| in nats at rows given by their images z, shape (rows,)."""
        log_det: Tensor = self(self.inverse(z))[1]
        return log_det


class Whiten(StartMap):
    r"""The affine map :math:`z = W (u - m)` with :math:`W = C^{-1/2}`, symmetric.

    Args:
        mean: m, shape (d,).
        matrix: W, shape (d, d), symmetric and positive definite.
    """

    kind = "whiten"
    mean: Tensor
    matrix: Tensor

    def __init__(self, mean: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.double())
        self.register_buffer("matrix", matrix.double())

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.mean)

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Images z and the same log-determinant for each row."""
        z = (u.double() - self.mean) @ self.matrix
        return z, torch.linalg.slogdet(self.matrix)[1].expand(len(u))

    def inverse(self, z: Tensor) -> Tensor:
        """Rows u = W⁻¹ z + m."""
        return torch.linalg.solve(self.matrix, z.double().T).T + self.mean


class Marginals(StartMap):
    r"""A monotone spline for every column, with linear tails.

    Between knots :math:`(u_i, z_i)` with slopes :math:`\delta_i > 0`, with :math:`\Delta` the slope of the
    chord and :math:`\theta = (u - u_i) / (u_{i+1} - u_i)`,

    .. math:: z = z_i + (z_{i+1} - z_i)
        \frac{\Delta\theta^2 + \delta_i\theta(1 - \theta)}
        {\Delta + (\delta_i + \delta_{i+1} - 2\Delta)\theta(1 - \theta)}

    and a straight line beyond the first and the last knot. Its inverse is a root of a quadratic equation.

    Source: Gregory, Delbourgo, IMA J. Numer. Anal. 2 (1982) 123–130; as a layer of flows Durkan et al.,
    arXiv:1906.04032.

    Args:
        knots: u_i of every column, ascending, shape (d, K); columns with fewer knots repeat their last one.
        values: z_i, shape (d, K), ascending where the knots are.
        slopes: δ_i, shape (d, K).

    Raises:
        InputError: numbers that make no increasing function.
    """

    kind = "marginals"
    knots: Tensor
    values: Tensor
    slopes: Tensor

    def __init__(self, knots: Tensor, values: Tensor, slopes: Tensor) -> None:
        super().__init__()
        _check_increasing(knots, values, slopes)
        for name, value in (("knots", knots), ("values", values), ("slopes", slopes)):
            self.register_buffer(name, value.double())

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.knots)

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Images z and Σ log dz_i/du_i."""
        u = u.double().T.contiguous()  # (d, rows)
        left, right, z0, z1, d0, d1 = self._pieces(self.knots, u)
        width, rise = right - left, z1 - z0
        chord = rise / width
        t = ((u - left) / width).clamp(0, 1)
        both = t * (1 - t)
        below = chord + (d0 + d1 - 2 * chord) * both
        z = z0 + rise * (chord * t**2 + d0 * both) / below
        slope = chord**2 * (d1 * t**2 + 2 * chord * both + d0 * (1 - t) ** 2) / below**2
        first, last = u < self.knots[:, :1], u > self.knots[:, -1:]
        z = torch.where(first, self.values[:, :1] + self.slopes[:, :1] * (u - self.knots[:, :1]), z)
        z = torch.where(last, self.values[:, -1:] + self.slopes[:, -1:] * (u - self.knots[:, -1:]), z)
        slope = torch.where(first, self.slopes[:, :1], torch.where(last, self.slopes[:, -1:], slope))
        return z.T.contiguous(), slope.log().sum(0)

    def inverse(self, z: Tensor) -> Tensor:
        """Rows u, in closed form."""
        z = z.double().T.contiguous()
        left, right, z0, z1, d0, d1 = self._pieces(self.values, z)
        width, rise = right - left, z1 - z0
        chord = rise / width
        bend, gone = d0 + d1 - 2 * chord, (z - z0).clamp(min=0)
        gone = torch.minimum(gone, rise)
        a = rise * (chord - d0) + gone * bend
        b = rise * d0 - gone * bend
        c = -chord * gone
        t = 2 * c / (-b - (b**2 - 4 * a * c).clamp(min=0).sqrt())
        u = left + width * t.clamp(0, 1)
        first, last = z < self.values[:, :1], z > self.values[:, -1:]
        u = torch.where(first, self.knots[:, :1] + (z - self.values[:, :1]) / self.slopes[:, :1], u)
        u = torch.where(last, self.knots[:, -1:] + (z - self.values[:, -1:]) / self.slopes[:, -1:], u)
        return u.T.contiguous()

    def _pieces(self, edges: Tensor, at: Tensor) -> list[Tensor]:
        """Knots, values and slopes at both ends of the piece that each number lies in, each (d, rows)."""
        count = (self.knots[:, 1:] > self.knots[:, :-1]).sum(1, keepdim=True)  # pieces that are none repeat
        index = torch.searchsorted(edges, at, right=True).sub(1).clamp(min=0)
        index = torch.minimum(index, count - 1)
        tables = (self.knots, self.values, self.slopes)
        return [table.gather(1, index + side) for table in tables for side in (0, 1)]


def _check_increasing(knots: Tensor, values: Tensor, slopes: Tensor) -> None:
    shape = knots.shape
    fits = knots.ndim == 2 and shape[1] >= 2 and values.shape == shape == slopes.shape
    if not (fits and all(bool(table.isfinite().all()) for table in (knots, values, slopes))):
        raise InputError("the start map's knots, values and slopes must be finite tables of one shape (d, K)")
    wider, higher = knots.diff(dim=1), values.diff(dim=1)
    padded = (wider == 0) & (higher == 0)
    late = padded[:, :-1] & ~padded[:, 1:]
    rising = padded | ((wider > 0) & (higher > 0))
    if bool((~rising).any() or late.any() or (slopes <= 0).any() or padded[:, 0].any()):
        raise InputError("the start map does not increase: its knots, values and slopes are damaged")


def start_log_det(
    start: StartMap | None, scale: Sequence[float] | Array, stored: NDArray[np.generic]
) -> NDArray[np.float64]:
    """Block 0's log-determinant at rows in start coordinates, nats, shape (rows,).

    Args:
        start: the start map; ``None`` for the identity.
        scale: by which columns of the state were divided, d numbers.
        stored: rows, the state first, shape (rows, d or more).
    """
    found = np.full(len(stored), -np.log(scale).sum())
    if start is not None:
        for part in pieces(len(stored)):
            state = torch.from_numpy(stored[part, : start.dim].astype(np.float64))
            found[part] += start.log_det_at(state).numpy()
    return found


def pieces(rows: int) -> list[slice]:
    """Rows that go through a start map at a time: it keeps several numbers a value."""
    return [slice(first, first + PIECE) for first in range(0, rows, PIECE)]


def smooth_slopes(knots: Array, values: Array, *, sweeps: int = 200, tolerance: float = 1e-7) -> Array:
    r"""Slopes that make the spline of one column twice continuously differentiable.

    With widths :math:`h_i` and chords :math:`\Delta_i` the second derivatives at knot i agree where

    .. math:: \delta_i^2 (w_i + w_{i-1}) + \delta_i \Bigl(w_i\delta_{i+1} + w_{i-1}\delta_{i-1}
        - \tfrac1{h_i} - \tfrac1{h_{i-1}}\Bigr) = \frac{\Delta_i}{h_i} + \frac{\Delta_{i-1}}{h_{i-1}},
        \quad w_i = \frac1{h_i\Delta_i}

    At the ends they are zero, as on the tails. Positive roots are taken in turn until they stay.

    Args:
        knots: u_i, ascending, shape (K,).
        values: z_i, ascending, shape (K,).
        sweeps: at most so many turns.
        tolerance: largest relative change at which they stay.

    Returns:
        δ_i > 0, shape (K,).

    Source: Delbourgo, Gregory, IMA J. Numer. Anal. 3 (1983) 141–152; the condition is derived from the form
    above.
    """
    width = np.diff(knots)
    chord = np.diff(values) / width
    w_left, w_right = _beside(1 / (width * chord))
    constant, linear = np.add(*_beside(chord / width)), np.add(*_beside(1 / width))
    square = w_left + w_right
    slopes: Array = constant / linear  # means of the chords
    padded = np.zeros(len(knots) + 2)
    turns = (slice(0, None, 2), slice(1, None, 2))  # neighbours of one turn stay
    for _ in range(sweeps):
        old = slopes.copy()
        for turn in turns:
            padded[1:-1] = slopes
            middle = (w_left * padded[:-2] + w_right * padded[2:] - linear)[turn]
            root = np.sqrt(middle**2 + 4 * square[turn] * constant[turn])
            slopes[turn] = np.where(  # without cancellation
                middle > 0, 2 * constant[turn] / (middle + root), (root - middle) / (2 * square[turn])
            )
        if (np.abs(slopes - old) <= tolerance * old).all():
            break
    return slopes


def _beside(pieces: Array) -> tuple[Array, Array]:
    """For each knot the number of the piece left of it, and of that right of it; 0 where there is none."""
    return np.concatenate([[0.0], pieces]), np.concatenate([pieces, [0.0]])


def log_normal_density(z: Tensor) -> Tensor:
    """The log-density log N(z; 0, 1), elementwise, nats."""
    return -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
