r"""Exact JKO steps of non-Gaussian laws in any dimension, manufactured backwards: oracles of the tests.

Choose the law p' after the step, a Gaussian mixture; the law before it follows:

.. math:: x = y + \gamma (\nabla V(y) + \nabla\log p'(y)), \quad y \sim p', \quad V = |y|^2/2

Where :math:`I + \gamma(\nabla^2 V + \nabla^2\log p') \succ 0` this is the gradient of a convex function:
the optimal map back. The step from the law of x to p' then has ε = 0.

Everything is float64. Units: the data's for x, y and W2, nats for log-densities and log-determinants.

Source: derived, see theory.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from jko.laws.densities import Estimate
from jko.measure.residual import residual_data


@dataclass(frozen=True)
class GaussianMixture:
    r"""The law :math:`\sum_i w_i N(m_i, \Sigma_i)`.

    Args:
        weights: shape (components,), positive, sum 1.
        means: shape (components, d).
        covariances: shape (components, d, d), symmetric, positive definite.

    Raises:
        ValueError: for tensors that are not such.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self) -> None:
        parts = (self.weights, self.means, self.covariances)
        count, dim = len(self.weights), self.means.shape[-1]
        if [tuple(part.shape) for part in parts] != [(count,), (count, dim), (count, dim, dim)]:
            raise ValueError("a mixture needs weights (c,), means (c, d) and covariances (c, d, d)")
        if any(part.dtype != torch.float64 for part in parts):
            raise ValueError("a mixture is made of float64 tensors: GaussianMixture.of converts")
        if not (self.weights > 0).all() or abs(float(self.weights.sum()) - 1) > 1e-9:
            raise ValueError(f"weights are positive and sum to 1, not {self.weights.tolist()}")
        if not torch.equal(self.covariances, self.covariances.mT) or not self.least_variance > 0:
            raise ValueError("every covariance is symmetric and positive definite")

    @classmethod
    def of(cls, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> GaussianMixture:
        """From anything array-like; covariances are symmetrised against rounding."""
        w, m, c = (torch.from_numpy(np.array(part, dtype=float)) for part in (weights, means, covariances))
        return cls(w, m, (c + c.mT) / 2)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.means.shape[1]

    @property
    def least_variance(self) -> float:
        """The least eigenvalue of all component covariances."""
        return float(torch.linalg.eigvalsh(self.covariances).min())

    def sample(self, rows: int, generator: torch.Generator) -> Tensor:
        """Independent draws, shape (rows, d)."""
        chosen = torch.multinomial(self.weights, rows, replacement=True, generator=generator)
        z = torch.randn(rows, self.dim, generator=generator, dtype=torch.float64)
        return self.means[chosen] + (torch.linalg.cholesky(self.covariances)[chosen] @ z[:, :, None])[..., 0]

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density, shape (rows, d) to (rows,)."""
        return self._components(x)[0].logsumexp(1)

    def score(self, x: Tensor) -> Tensor:
        """∇log p, shape (rows, d) to (rows, d)."""
        log_parts, scores = self._components(x)
        return torch.einsum("nc,ncd->nd", log_parts.softmax(1), scores)

    def hessian(self, x: Tensor) -> Tensor:
        r"""∇²log p, shape (rows, d) to (rows, d, d).

        .. math:: -\sum_i r_i \Sigma_i^{-1} + Cov_r(\nabla\log p_i), \quad r_i \propto w_i p_i(x)
        """
        log_parts, scores = self._components(x)
        share = log_parts.softmax(1)
        centred = scores - torch.einsum("nc,ncd->nd", share, scores)[:, None, :]
        spread = torch.einsum("nc,ncd,nce->nde", share, centred, centred)
        return spread - torch.einsum("nc,cde->nde", share, torch.linalg.inv(self.covariances))

    def pushed(self, matrix: Tensor, offset: Tensor) -> GaussianMixture:
        """The law of A y + b, again a mixture.

        Args:
            matrix: A, shape (d, d), invertible.
            offset: b, shape (d,).
        """
        covariances = matrix @ self.covariances @ matrix.T
        return GaussianMixture.of(self.weights, self.means @ matrix.T + offset, covariances)

    def _components(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted log-densities of the components, (rows, c), and their scores, (rows, c, d)."""
        offset = x[:, None, :] - self.means
        scores = -torch.einsum("cde,nce->ncd", torch.linalg.inv(self.covariances), offset)
        log_norm = 0.5 * torch.linalg.slogdet(2 * math.pi * self.covariances)[1]
        return self.weights.log() - log_norm + 0.5 * (offset * scores).sum(-1), scores


@dataclass(frozen=True)
class ManufacturedStep:
    """Samples of an exact JKO step, row by row.

    Args:
        mixture: the law p' after the step.
        step_size: γ.
        x: samples of the law before the step, shape (rows, d); y = T(x).
        y: samples of p', shape (rows, d).
        log_det: log det ∇T at x, T the optimal map forward, shape (rows,).
        w2: W2 between the two laws, a Monte-Carlo estimate.
    """

    mixture: GaussianMixture
    step_size: float
    x: Tensor
    y: Tensor
    log_det: Tensor
    w2: Estimate


def manufactured_step(
    mixture: GaussianMixture, step_size: float, rows: int, generator: torch.Generator
) -> ManufacturedStep:
    r"""Samples of the JKO step that ends at a given mixture.

    .. math:: x = y + \gamma (y + \nabla\log p'(y)), \quad
              \log\det\nabla T(x) = -\log\det(I + \gamma (I + \nabla^2\log p'(y))), \quad
              W_2 = \gamma \sqrt{E|y + \nabla\log p'(y)|^2}

    Args:
        mixture: p', the law after the step.
        step_size: γ.
        rows: number of samples.
        generator: source of the samples.

    Raises:
        ValueError: if a component is too narrow. The Hessian of log p' is nowhere below −1/s² if all
            covariances are ⪰ s² I, so s² > γ/(1+γ) makes the map back optimal.

    Source: derived, see theory.md.
    """
    bound = step_size / (1 + step_size)
    if not (step_size > 0 and mixture.least_variance > bound):
        raise ValueError(
            f"a step of size {step_size:g} ends only at mixtures whose covariances' eigenvalues exceed "
            f"{bound:.4g}, not {mixture.least_variance:.4g}"
        )
    y = mixture.sample(rows, generator)
    velocity = y + mixture.score(y)
    identity = torch.eye(mixture.dim, dtype=torch.float64)
    back = identity + step_size * (identity + mixture.hessian(y))
    return ManufacturedStep(
        mixture,
        step_size,
        x=y + step_size * velocity,
        y=y,
        log_det=-torch.linalg.slogdet(back)[1],
        w2=_movement(velocity, step_size),
    )


@dataclass(frozen=True)
class InexactStep:
    """Samples of a step with a known first-order error, row by row.

    Args:
        mixture: the law p' after the step.
        x: samples of the law before the step, shape (rows, d).
        y: samples of p', the images of x, shape (rows, d).
        xi: ξ at y in block pairing, shape (rows, d); ε² = E|ξ|².
        log_det: log|det| of the step's map at x, shape (rows,).
    """

    mixture: GaussianMixture
    x: Tensor
    y: Tensor
    xi: Tensor
    log_det: Tensor


def inexact(step: ManufacturedStep, matrix: Tensor, offset: Tensor) -> InexactStep:
    r"""An exact step followed by the affine map y' = A y + b.

    .. math:: \xi(y') = \nabla V(y') + \nabla\log p'(y') - (x - y')/\gamma

    with p' the pushed mixture. The pairing is the block's, y' with the x it came from: the map back
    is optimal only where A leaves it a gradient.

    Args:
        step: the exact step.
        matrix: A, shape (d, d), invertible.
        offset: b, shape (d,).

    Source: derived, see theory.md.
    """
    mixture, y = step.mixture.pushed(matrix, offset), step.y @ matrix.T + offset
    xi = residual_data(step.x, y, step.step_size) + mixture.score(y)
    return InexactStep(mixture, step.x, y, xi, step.log_det + torch.linalg.slogdet(matrix)[1])


def _movement(velocity: Tensor, step_size: float) -> Estimate:
    """γ√E|velocity|² with its standard error to first order."""
    squared = (velocity**2).sum(1)
    root = math.sqrt(squared.mean())
    spread = float(squared.std()) / math.sqrt(len(squared))
    return Estimate(step_size * root, step_size * spread / (2 * root) if root else 0.0)
