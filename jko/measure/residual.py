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

from jko.core.errors import InputError
from jko.measure.critic_features import features_of, varying
from jko.statistics.tails import tail_of

#: groups of rows: the normaliser of a pair of rows is fitted on the rows of the other groups
FOLDS = 10


@dataclass(frozen=True)
class EpsilonSquared:
    """An estimate of ε².

    Args:
        value: ε̂², unclipped: debiased, so it can be below zero; nats per unit step size.
        se: its standard error.
        critic: the class of fields it was maximised over; a richer class lies above.
        reason: why there is no estimate (both figures are nan then); empty where there is one.
        tail: how much of it few rows carry, see :func:`jko.statistics.tails.tail_of`.
    """

    value: float
    se: float
    critic: str
    reason: str = ""
    tail: float = 0.0

    @classmethod
    def missing(cls, reason: str) -> EpsilonSquared:
        """No estimate, and why."""
        return cls(math.nan, math.nan, "none", reason)

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
        drift: ∇V(y) + ∇(W*p')(y), shape (rows, d), as :meth:`jko.energies.functional.Functional.drift` gives
        it;
            ``None`` for ∇V(y) = y, the reference N(0, I).
    """
    return (y if drift is None else drift) - (x - y) / step_size


def linear_critic(y: Tensor, u: Tensor, *, centres: int = 0, ridge: float = 1e-3) -> EpsilonSquared:
    """:class:`LinearCritic` for a single u."""
    return LinearCritic(y, centres=centres, ridge=ridge).estimate(u)


class LinearCritic:
    r"""A linear class of fields at samples y, factorised once for any number of u.

    For every field φ, :math:`E[2(\langle u, \varphi\rangle - \nabla\cdot\varphi) - |\varphi|^2] =
    \epsilon^2 - E|\xi - \varphi|^2`. With features P (rows, K) for each coordinate and
    :math:`c_i = P_i u_i^\top - \nabla P_i`, the best field of the class gives
    :math:`\langle E c, G^{-1} E c\rangle` with :math:`G = E PP^\top`, here

    .. math:: \hat\epsilon^2 = \frac{1}{n(n-1)} \sum_{i \ne j} \langle c_i, G_{-ij}^{-1} c_j\rangle, \quad
              G_{-ij}^{-1} = \frac{m - K - 1}{m} \Big(\frac1m \sum_{l} P_l P_l^\top + r\Big)^{-1}

    Rows are dealt into ten groups, and the sum over l is over the m rows that are in the group neither of i
    nor of j. On rows that it was fitted on, G would follow them: at an exact step in 64 dimensions 400 rows
    would show an ε² of 2. Apart from r, all rows count in :math:`c` and no pair twice, so nothing is lost to
    the split; the factor makes the inverse unbiased for Gaussian features. Rows that bumps are centred at are
    used for nothing else.

    Give held-out particles only: on those that trained the block it is near zero whatever ε is.
    The same critic serves ε in both pairings and, with u = ∇V, the relative Fisher information.

    With a context behind the state, features are functions of both and derivatives along the state only: the
    equation then holds for p' given the context, averaged over it.

    Args:
        y: samples of p', shape (rows, d), or (rows, d + c) with a context; independent rows in any order.
        dim: d; all columns by default.
        centres: number of Gaussian bumps, centred at the first rows, beside the affine class.
        ridge: r relative to tr(PᵀP/n)/K, for the bumps; the affine class needs (almost) none.
        width: of the bumps, in standard deviations of the data; 0 for .45 times the median distance
            of the centres (.75 in the plane), at least .5. Narrower ones see finer structure, and
            are noisier.

    Raises:
        InputError: fewer rows than features need, columns that are constant or linearly dependent, or values
            whose squares leave the range of numbers.

    Source: derived, see theory.md; of the factor, the mean of an inverse Wishart matrix.
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
        self.centres, self.dim = centres, y.shape[1] if dim is None else dim
        features, slopes = features_of(varying(y.double(), self.dim), centres, width)
        self.features, self.slopes = features[centres:], slopes[centres:, :, : self.dim]
        count, size = self.features.shape
        if (1 - 2 / FOLDS) * count <= size + 2:
            raise InputError(f"{len(y)} rows are too few for a critic with {size} features a coordinate")
        self._products = torch.stack([self._group(f).T @ self._group(f) for f in range(FOLDS)])
        strength = (ridge if centres else 1e-10) * self._products.sum(0).trace() / count / size
        self._ridge = strength * torch.eye(size, dtype=self.features.dtype)
        self._factors = {(f, g): self._factor(f, g) for f in range(FOLDS) for g in range(f, FOLDS)}

    def estimate(self, u: Tensor, weight: Tensor | None = None) -> EpsilonSquared:
        r"""Debiased estimate of ε² for ξ = u + ∇U'(p'), in float64.

        :math:`E\langle\nabla U'(p'), \varphi\rangle = -E[(P(p')/p')\,\nabla\cdot\varphi]` with
        :math:`P(r) = rU'(r) - U(r)`; for the entropy U' is log p' + 1 and the weight 1.

        Args:
            u: :func:`residual_data` at the samples, or the drift for the Fisher information, (rows, d).
            weight: P(p')/p' at the samples, shape (rows,), as
                :meth:`jko.energies.functional.Functional.pressure_ratio` gives it; ``None`` for 1.

        Raises:
            InputError: for a weight of another shape.
        """
        slopes = self.slopes if weight is None else self._weighted(weight)
        terms = self.features[:, :, None] * u.double()[self.centres :, None, :] - slopes
        whitened, fields = torch.empty_like(terms), torch.empty_like(self.features)
        for f in range(FOLDS):
            whitened[f::FOLDS] = self._whiten(terms[f::FOLDS], f, f)
            fields[f::FOLDS] = self._solve(self._group(f).T, f, f).T
        count = len(terms)
        value = (self._across(terms) + _within(whitened)) / (count * (count - 1))
        del terms
        mean = whitened.mean(0)
        influence = 2 * (whitened * mean).sum((1, 2)) - ((fields @ mean) ** 2).sum(-1)
        floor = 2 * _trace_of_squared_covariance((whitened - mean).reshape(count, -1)) / count**2
        variance = torch.maximum(influence.var() / count - floor, floor)
        if not (value.isfinite() and variance.isfinite()):
            return EpsilonSquared.missing("the values of the particles leave the range of numbers")
        return EpsilonSquared(float(value), float(variance.sqrt()), self.name, tail=tail_of(influence.abs()))

    def _across(self, terms: Tensor) -> Tensor:
        """The sum of ⟨c_i, G⁻¹ c_j⟩ over the pairs of rows of two groups: their sums are enough."""
        sums = [terms[f::FOLDS].sum(0) for f in range(FOLDS)]
        pairs = [
            (self._solve(sums[f], f, g) * self._solve(sums[g], f, g)).sum()
            for f in range(FOLDS)
            for g in range(f + 1, FOLDS)
        ]
        return 2 * torch.stack(pairs).sum()

    def _weighted(self, weight: Tensor) -> Tensor:
        """The features' gradients times the rows' weights, shape (rows, K, d)."""
        rows = len(self.features) + self.centres
        if weight.shape != (rows,):
            raise InputError(f"{rows} rows need as many weights, not {tuple(weight.shape)}")
        return self.slopes * weight.double()[self.centres :, None, None]

    def _group(self, fold: int) -> Tensor:
        """Features of the rows of a group, shape (rows, K)."""
        return self.features[fold::FOLDS]

    def _factor(self, f: int, g: int) -> Tensor:
        """L with L Lᵀ = G, fitted on the rows that are neither in group f nor in group g."""
        others = [fold for fold in range(FOLDS) if fold not in (f, g)]
        count, size = sum(len(self._group(fold)) for fold in others), self._products.shape[-1]
        gram = (self._products[others].sum(0) / count + self._ridge) * (count / (count - size - 1))
        factor, failed = torch.linalg.cholesky_ex(gram)
        if failed or not factor.isfinite().all():
            raise InputError(
                "no critic can be fitted: the held-out particles are constant or linearly dependent in some "
                "columns, or their tails are too heavy"
            )
        return factor

    def _solve(self, values: Tensor, f: int, g: int) -> Tensor:
        return torch.linalg.solve_triangular(self._factors[f, g], values, upper=False)

    def _whiten(self, terms: Tensor, f: int, g: int) -> Tensor:
        """L⁻¹ times the terms of rows, shape (rows, K, d)."""
        rows, size, dim = terms.shape
        flat = self._solve(terms.transpose(0, 1).reshape(size, -1), f, g)
        return flat.reshape(size, rows, dim).transpose(0, 1)


def _within(whitened: Tensor) -> Tensor:
    """The sum of ⟨h_i, h_j⟩ over the pairs i ≠ j of one group, over all groups."""
    sums = torch.stack([whitened[f::FOLDS].sum(0) for f in range(FOLDS)])
    return (sums**2).sum() - (whitened**2).sum()


def _trace_of_squared_covariance(centred: Tensor) -> Tensor:
    """The trace tr Σ² of the rows' covariance from pairs of different rows, at least 0."""
    count, size = centred.shape
    product = centred.T @ centred if size <= count else centred @ centred.T
    own = ((centred**2).sum(1) ** 2).sum()
    return (((product**2).sum() - own) / (count * (count - 1))).clamp(min=0)
