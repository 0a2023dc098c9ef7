r"""A multivariate Student t: a broad law whose tails fall like a power, fitted to rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]
#: degrees of freedom that are tried, and shares of the diagonal in the scale matrix
DEGREES: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
SHRINKAGES: tuple[float, ...] = (0.01, 0.1, 0.5)
#: degrees of freedom at which the shrinkage is chosen
MIDDLE = 5.0
#: rounds of EM at most, and the relative change of the scale matrix at which they end
ROUNDS, TOLERANCE = 50, 1e-4
#: least variance of a column, relative to the mean of all
RIDGE = 1e-6


class StudentT(nn.Module):
    r"""The law of :math:`m + L z / \sqrt{g/\nu}` with z ~ N(0, I) and g ~ χ²(ν).

    .. math:: \log q(y) = \log\Gamma\tfrac{\nu + d}{2} - \log\Gamma\tfrac{\nu}{2} - \tfrac d2\log(\nu\pi)
              - \log\det L - \tfrac{\nu + d}{2}\log\Bigl(1 + \tfrac1\nu |L^{-1}(y - m)|^2\Bigr)

    It is computed in float64, and finite and differentiable at every finite row.

    Args:
        location: m, shape (d,).
        factor: L, lower triangular with a positive diagonal, shape (d, d).
        degrees: ν > 0.
    """

    location: Tensor
    factor: Tensor

    def __init__(self, location: Tensor, factor: Tensor, degrees: float) -> None:
        super().__init__()
        self.degrees = degrees
        self.register_buffer("location", location.double())
        self.register_buffer("factor", factor.double())

    def get_extra_state(self) -> Tensor:
        """ν, which belongs to the state of a model that holds this law."""
        return torch.tensor(self.degrees, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Take ν from a state."""
        self.degrees = float(state)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.location)

    def log_prob(self, y: Tensor) -> Tensor:
        """The log-density in nats, shape (rows, d) to (rows,), float64."""
        away = y.double() - self.location
        # what is far out is divided by its size before it is squared, so that nothing overflows
        size = away.detach().abs().amax(-1, keepdim=True).clamp(min=1.0)
        near = torch.linalg.solve_triangular(self.factor.double(), (away / size).mT, upper=False)
        size, degrees, dim = size[..., 0], self.degrees, self.dim
        log_distance = 2 * size.log() + (size**-2 + near.square().sum(-2) / degrees).log()
        constant = math.lgamma((degrees + dim) / 2) - math.lgamma(degrees / 2)
        constant -= dim / 2 * math.log(degrees * math.pi)
        return constant - self.factor.diagonal().log().sum() - (degrees + dim) / 2 * log_distance

    def sample(self, rows: int, draw: np.random.Generator) -> Tensor:
        """Independent rows, shape (rows, d), float64."""
        z = torch.from_numpy(draw.standard_normal((rows, self.dim))).to(self.factor)
        stretch = torch.from_numpy(np.sqrt(self.degrees / draw.chisquare(self.degrees, rows))).to(z)
        return self.location + stretch[:, None] * (z @ self.factor.mT)


@dataclass(frozen=True)
class _Fitted:
    """Location, scale matrix and weights of the rows, as EM leaves them."""

    location: Array
    scale: Array


def fit_student_t(
    train: Array,
    validation: Array,
    *,
    degrees: Sequence[float] = DEGREES,
    shrinkages: Sequence[float] = SHRINKAGES,
) -> StudentT:
    r"""The Student t of the training rows with the highest likelihood of the validation rows.

    EM at fixed ν, with weights :math:`w_i = (\nu + d) / (\nu + |L^{-1}(x_i - m)|^2)`; in each round the scale
    matrix is taken a share of the way to its diagonal, which keeps it well conditioned where columns are many
    and rows are few. The share is chosen first, then ν.

    Args:
        train: shape (n, d).
        validation: shape (m, d).
        degrees: values of ν to choose from.
        shrinkages: shares of the diagonal to choose from.

    Source: EM for the t law is Lange, Little and Taylor, JASA 84 (1989) 881–896; shrinkage to the diagonal
    is that of Schäfer and Strimmer (2005), by held-out likelihood in place of their formula.
    """
    start = _Fitted(np.median(train, axis=0), _shrunk(np.atleast_2d(np.cov(train.T, bias=True)), 0.1))
    held = torch.from_numpy(np.ascontiguousarray(validation))

    def tried(nu: float, share: float, first: _Fitted) -> tuple[float, _Fitted, StudentT]:
        found = _em(train, nu, share, first)
        factor = np.linalg.cholesky(found.scale)
        law = StudentT(torch.from_numpy(found.location), torch.from_numpy(factor), nu)
        return float(law.log_prob(held).mean()), found, law

    entries = [(*tried(MIDDLE, share, start), share) for share in shrinkages]
    _, fitted, _, share = max(entries, key=lambda entry: entry[0])
    return max((tried(nu, share, fitted) for nu in degrees), key=lambda entry: entry[0])[2]


def _em(rows: Array, degrees: float, share: float, start: _Fitted) -> _Fitted:
    """Location and scale at fixed degrees of freedom."""
    location, scale = start.location, start.scale
    for _ in range(ROUNDS):
        near = np.linalg.solve(np.linalg.cholesky(scale), (rows - location).T)
        weights = (degrees + rows.shape[1]) / (degrees + (near**2).sum(0))
        location = weights @ rows / weights.sum()
        away = np.sqrt(weights)[:, None] * (rows - location)
        # over the sum of the weights: the same fixed point as over n, reached in fewer rounds
        before, scale = scale, _shrunk(away.T @ away / weights.sum(), share)
        if np.abs(scale - before).max() <= TOLERANCE * np.abs(scale).max():
            break
    return _Fitted(location, scale)


def _shrunk(scale: Array, share: float) -> Array:
    """A covariance taken a share of the way to its diagonal, no column without spread."""
    spread = np.diag(scale)
    spread = np.maximum(spread, RIDGE * max(float(spread.mean()), np.finfo(float).tiny))
    found = (1 - share) * scale
    found[np.diag_indices_from(found)] = spread * (1 + RIDGE)
    return found
