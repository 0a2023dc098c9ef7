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

from jko.maps.spline import Tables, check_increasing, spline, spline_inverse

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
    """A monotone spline with linear tails for every column (:mod:`jko.maps.spline`).

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
        check_increasing(knots, values, slopes)
        for name, value in (("knots", knots), ("values", values), ("slopes", slopes)):
            self.register_buffer(name, value.double())

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.knots)

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Images z and Σ log dz_i/du_i."""
        z, log_slope = spline(self._tables, u.double().T.contiguous())
        return z.T.contiguous(), log_slope.sum(0)

    def inverse(self, z: Tensor) -> Tensor:
        """Rows u, in closed form."""
        return spline_inverse(self._tables, z.double().T.contiguous()).T.contiguous()

    @property
    def _tables(self) -> Tables:
        return self.knots, self.values, self.slopes


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


def log_normal_density(z: Tensor) -> Tensor:
    """The log-density log N(z; 0, 1), elementwise, nats."""
    return -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
