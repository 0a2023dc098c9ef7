r"""The first-order-condition error ε of a JKO step, estimated from held-out particles.

A step from p to p' with map back (y ↦ x) satisfies its first-order condition up to

.. math:: \xi(y) = \nabla V(y) + \nabla\log p'(y) - (back(y) - y)/\gamma, \quad
          \epsilon = \|\xi\|_{L^2(p')}

Source: the assumption on the approximate step in arXiv:2310.17582. Its authors estimate the
score by a kernel density; here a linear critic needs no density (derived, see theory.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.errors import InputError


@dataclass(frozen=True)
class EpsilonSquared:
    """An estimate of ε².

    Args:
        value: ε̂², unclipped: debiased, so it can be below zero; nats per unit step size.
        se: its standard error.
        critic: the class of fields it was maximised over; a richer class lies above.
    """

    value: float
    se: float
    critic: str

    @property
    def epsilon(self) -> float:
        """√max(ε̂², 0); nan where there is no estimate."""
        return math.nan if math.isnan(self.value) else math.sqrt(max(self.value, 0.0))


def residual_data(x: Tensor, y: Tensor, step_size: float, drift: Tensor | None = None) -> Tensor:
    """The part of ξ known at samples: u(y) = drift(y) − (x − y)/γ.

    Args:
        x: back(y), shape (rows, d). Block pairing: the row that the block mapped to y.
        y: samples of p', shape (rows, d).
        step_size: γ.
        drift: ∇V(y) + ∇(W*p')(y), shape (rows, d), as :meth:`jko.functional.Functional.drift` gives it;
            ``None`` for ∇V(y) = y, the reference N(0, I).
    """
    return (y if drift is None else drift) - (x - y) / step_size


def linear_critic(y: Tensor, u: Tensor, *, centres: int = 0, ridge: float = 1e-3) -> EpsilonSquared:
    """:class:`LinearCritic` for a single u."""
    return LinearCritic(y, centres=centres, ridge=ridge).estimate(u)


class LinearCritic:
    r"""A linear class of fields at samples y, factorised once for any number of u.

    For every field φ, :math:`E[2(\langle u, \varphi\rangle - \nabla\cdot\varphi) - |\varphi|^2] =
    \epsilon^2 - E|\xi - \varphi|^2`. With features P (rows, K) for each coordinate,
    :math:`LL^\top = P^\top P/n + r` and :math:`h_i = L^{-1}(P_i u_i^\top - \nabla P_i)`,

    .. math:: \hat\epsilon^2 = (n|\bar h|^2 - \overline{|h_i|^2}) / (n - 1)

    Give held-out particles only: on those that trained the block it is near zero whatever ε is.
    The same critic serves ε in both pairings and, with u = ∇V, the relative Fisher information.

    With a context behind the state, features are functions of both and derivatives along the state only: the
    equation then holds for p' given the context, averaged over it.

    Args:
        y: samples of p', shape (rows, d), or (rows, d + c) with a context.
        dim: d; all columns by default.
        centres: number of Gaussian bumps, centred at the first rows, beside the affine class.
        ridge: r relative to tr(PᵀP/n)/K, for the bumps; the affine class needs (almost) none.
        width: of the bumps, in standard deviations of the data; 0 for .45 times the median distance
            of the centres (.75 in the plane), at least .5. Narrower ones see finer structure, and
            are noisier.

    Source: derived, see theory.md.
    """

    def __init__(
        self,
        y: Tensor,
        *,
        dim: int | None = None,
        centres: int = 0,
        ridge: float = 1e-3,
        width: float = 0.0,
    ) -> None:
        self.name = f"affine + {centres} RBF" if centres else "affine"
        dim = y.shape[1] if dim is None else dim
        self.features, self.slopes = _features(varying(y.double(), dim), centres, width)
        if dim < y.shape[1]:
            self.slopes = self.slopes[:, :, :dim]
        count, size = self.features.shape
        gram = self.features.T @ self.features / count
        strength = (ridge if centres else 1e-10) * gram.trace() / size
        self.factor = torch.linalg.cholesky(gram + strength * torch.eye(size, dtype=gram.dtype))
        self.whitened = self._solve(self.features.T)

    def estimate(self, u: Tensor, weight: Tensor | None = None) -> EpsilonSquared:
        r"""Debiased estimate of ε² for ξ = u + ∇U'(p'), in float64.

        :math:`E\langle\nabla U'(p'), \varphi\rangle = -E[(P(p')/p')\,\nabla\cdot\varphi]` with
        :math:`P(r) = rU'(r) - U(r)`; for the entropy U' is log p' + 1 and the weight 1.

        Args:
            u: :func:`residual_data` at the samples, or the drift for the Fisher information, (rows, d).
            weight: P(p')/p' at the samples, shape (rows,), as
                :meth:`jko.functional.Functional.pressure_ratio` gives it; ``None`` for 1.

        Raises:
            InputError: for a weight of another shape.
        """
        count, size = self.features.shape
        slopes = self.slopes if weight is None else self._weighted(weight)
        flat = (self.features[:, :, None] * u.double()[:, None, :] - slopes).transpose(0, 1)
        h = self._solve(flat.reshape(size, -1)).reshape(size, count, -1).transpose(0, 1)
        mean = h.mean(0)
        value = (count * (mean**2).sum() - (h**2).sum((1, 2)).mean()) / (count - 1)
        terms = 2 * (h * mean).sum((1, 2)) - ((self.whitened.T @ mean) ** 2).sum(-1)
        spread = _trace_of_squared_covariance((h - mean).reshape(count, -1))
        floor = 2 * spread / count**2
        variance = torch.maximum(terms.var() / count - floor, floor)
        return EpsilonSquared(float(value), float(variance.sqrt()), self.name)

    def _weighted(self, weight: Tensor) -> Tensor:
        """The features' gradients times the rows' weights, shape (rows, K, d)."""
        if weight.shape != self.features.shape[:1]:
            raise InputError(f"{len(self.features)} rows need as many weights, not {tuple(weight.shape)}")
        return self.slopes * weight.double()[:, None, None]

    def _solve(self, values: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.factor, values, upper=False)


def varying(y: Tensor, dim: int) -> Tensor:
    """Rows without the columns of the context that are the same in all of them, such as an absent class."""
    if dim == y.shape[1]:
        return y
    return torch.cat([y[:, :dim], y[:, dim:][:, (y[:, dim:] != y[:1, dim:]).any(0)]], dim=1)


def _features(y: Tensor, centres: int, relative: float) -> tuple[Tensor, Tensor]:
    """Features (rows, K) and their gradients (rows, K, d): 1, y, Gaussian bumps."""
    count, dim = y.shape
    ones = torch.ones(count, 1, dtype=y.dtype)
    scaled = (y - y.mean(0)) / y.std(0)
    affine = torch.cat([ones, scaled], dim=1)
    slopes = torch.cat([torch.zeros(1, dim, dtype=y.dtype), torch.diag(1 / y.std(0))]).expand(count, -1, -1)
    if centres == 0:
        return affine, slopes
    middle = y[:centres]
    spread = y.std(0).mean()
    typical = torch.maximum(0.45 * torch.cdist(middle, middle).median(), 0.5 * spread)
    width = relative * spread if relative else typical
    bumps = torch.exp(-(torch.cdist(y, middle) ** 2) / (2 * width**2))
    offset = middle - y[:, None, :]
    return torch.cat([affine, bumps], 1), torch.cat([slopes, bumps[:, :, None] * offset / width**2], 1)


def _trace_of_squared_covariance(centred: Tensor) -> Tensor:
    """The trace tr Σ² of the rows' covariance, through the smaller of Σ and the rows' products."""
    count, size = centred.shape
    product = centred.T @ centred if size <= count else centred @ centred.T
    return ((product / (count - 1)) ** 2).sum()
