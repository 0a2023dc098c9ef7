r"""Target laws :math:`q \propto e^{-V}` by their potential, for the reverse use: noise → q.

Each knows the convexity λ of V (∇²V ⪰ λI everywhere) and, where there is a closed form, the logarithm of
:math:`Z = \int e^{-V}` and an exact sampler. Potentials keep the precision and device of their argument.

Units: nats for V and log Z; samples are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from jko.core.errors import InputError
from jko.energies.functional import half_square
from jko.laws.densities import Array, DiagonalGaussian
from jko.laws.manufactured import GaussianMixture
from jko.laws.regression import LogisticRegression, breast_cancer_regression, synthetic_regression

__all__ = [
    "TARGETS",
    "Banana",
    "Funnel",
    "LogisticRegression",
    "MixtureTarget",
    "StandardGaussian",
    "Target",
    "breast_cancer_regression",
    "correlated_gaussian",
    "gaussian",
    "isotropic_mixture",
    "sphere_mixture",
    "synthetic_regression",
    "uniform_mixture",
]


class Target(Protocol):
    """A law by its unnormalised density exp(−V)."""

    @property
    def dim(self) -> int:
        """Dimension d."""

    @property
    def log_normaliser(self) -> float | None:
        """Log Z, Z = ∫exp(−V), nats; ``None`` where unknown."""

    @property
    def convexity(self) -> float | None:
        """λ with ∇²V ⪰ λI everywhere; ``None`` where there is none or none is known."""

    def potential(self, x: Tensor) -> Tensor:
        """V, shape (rows, d) to (rows,), nats, differentiable."""

    def sample(self, rows: int, rng: np.random.Generator) -> Array | None:
        """Independent exact draws, shape (rows, d); ``None`` where there is no exact sampler."""


@dataclass(frozen=True)
class StandardGaussian:
    """N(0, I), V = |x|²/2.

    Args:
        dim: dimension d.
    """

    dim: int

    @property
    def log_normaliser(self) -> float:
        """The value ½ d log 2π."""
        return _log_gaussian_normaliser(self.dim)

    @property
    def convexity(self) -> float:
        """One."""
        return 1.0

    def potential(self, x: Tensor) -> Tensor:
        """V, shape (rows, d) to (rows,)."""
        return half_square(x)

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, d)."""
        return DiagonalGaussian(np.zeros(self.dim), np.ones(self.dim)).sample(rows, rng)


@dataclass(frozen=True)
class MixtureTarget:
    """A Gaussian mixture, or with one component any Gaussian; V = −log of its density, so Z = 1.

    Args:
        law: the mixture.
    """

    law: GaussianMixture

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.law.dim

    @property
    def log_normaliser(self) -> float:
        """Zero."""
        return 0.0

    @property
    def convexity(self) -> float | None:
        """One over the largest variance of a single component; several may have valleys between them."""
        if len(self.law.weights) > 1:
            return None
        return 1 / float(torch.linalg.eigvalsh(self.law.covariances).max())

    def potential(self, x: Tensor) -> Tensor:
        """V, shape (rows, d) to (rows,); computed in float64 on the CPU."""
        return -self.law.log_prob(x.double().cpu()).to(x)

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, d)."""
        return self.law.sample(rows, torch.Generator().manual_seed(int(rng.integers(2**63)))).numpy()


@dataclass(frozen=True)
class Banana:
    r"""A Gaussian bent along a parabola, by a map with Jacobian 1.

    .. math:: V(x) = \frac{x_1^2}{2 s^2} + \frac12 (x_2 + b(x_1^2 - s^2))^2 + \frac12\sum_{i>2} x_i^2

    Args:
        dim: dimension d, at least 2.
        width: s, the standard deviation of x_1.
        bend: b.

    Raises:
        InputError: for a line, or a width that is not positive.

    Source: the twisted Gaussian of Haario, Saksman and Tamminen (1999), there s = 10, b = .03 or .1.
    """

    dim: int
    width: float = 10.0
    bend: float = 0.03

    def __post_init__(self) -> None:
        if self.dim < 2 or not 0 < self.width < math.inf:
            raise InputError(
                f"a banana has 2 or more dimensions and a width > 0, not {self.dim}, {self.width}"
            )

    @property
    def log_normaliser(self) -> float:
        """The value ½ d log 2π + log s."""
        return _log_gaussian_normaliser(self.dim) + math.log(self.width)

    @property
    def convexity(self) -> float | None:
        """None, unless it is straight: then min(1, 1/s²)."""
        return None if self.bend else min(1.0, self.width**-2)

    def potential(self, x: Tensor) -> Tensor:
        """V, shape (rows, d) to (rows,)."""
        first = x[:, 0]
        second = x[:, 1] + self.bend * (first**2 - self.width**2)
        return 0.5 * ((first / self.width) ** 2 + second**2) + half_square(x[:, 2:])

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, d)."""
        x = rng.standard_normal((rows, self.dim))
        x[:, 0] *= self.width
        x[:, 1] -= self.bend * (x[:, 0] ** 2 - self.width**2)
        return x


@dataclass(frozen=True)
class Funnel:
    r"""x_1 ~ N(0, s²), and given it the others N(0, e^{x_1}) each.

    .. math:: V(x) = \frac{x_1^2}{2 s^2} + \frac12\sum_{i>1} (x_i^2 e^{-x_1} + x_1)

    Args:
        dim: dimension d, at least 2.
        width: s.

    Raises:
        InputError: for a line, or a width that is not positive.

    Source: Neal, *Slice sampling* (2003), there d = 10, s = 3.
    """

    dim: int
    width: float = 3.0

    def __post_init__(self) -> None:
        if self.dim < 2 or not 0 < self.width < math.inf:
            raise InputError(
                f"a funnel has 2 or more dimensions and a width > 0, not {self.dim}, {self.width}"
            )

    @property
    def log_normaliser(self) -> float:
        """The value ½ d log 2π + log s."""
        return _log_gaussian_normaliser(self.dim) + math.log(self.width)

    @property
    def convexity(self) -> None:
        """None: the Hessian has eigenvalues far below zero."""
        return None

    def potential(self, x: Tensor) -> Tensor:
        """V, shape (rows, d) to (rows,)."""
        first, others = x[:, 0], x[:, 1:]
        spread = half_square(others) * (-first).exp() + 0.5 * (self.dim - 1) * first
        return 0.5 * (first / self.width) ** 2 + spread

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, d)."""
        x = rng.standard_normal((rows, self.dim))
        x[:, 0] *= self.width
        x[:, 1:] *= np.exp(0.5 * x[:, :1])
        return x


def gaussian(mean: ArrayLike, covariance: ArrayLike) -> MixtureTarget:
    """N(mean, covariance); shapes (d,) and (d, d), symmetric and positive definite."""
    return MixtureTarget(GaussianMixture.of([1.0], np.asarray(mean)[None], np.asarray(covariance)[None]))


def isotropic_mixture(means: ArrayLike, std: float = 1.0) -> MixtureTarget:
    """Equally weighted components N(mean, std² I); means of shape (components, d)."""
    centres = np.asarray(means, dtype=float)
    count, dim = centres.shape
    return MixtureTarget(
        GaussianMixture.of(np.full(count, 1 / count), centres, np.tile(std**2 * np.eye(dim), (count, 1, 1)))
    )


def correlated_gaussian(dim: int, *, condition: float = 10.0, seed: int = 0) -> MixtureTarget:
    """A randomly rotated centred Gaussian, variances geometric from 1 down to 1/condition."""
    axes = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
    return gaussian(np.zeros(dim), (axes * np.geomspace(1.0, 1 / condition, dim)) @ axes.T)


def sphere_mixture(
    dim: int, *, components: int = 8, radius: float = 8.0, std: float = 1.0, seed: int = 0
) -> MixtureTarget:
    """Components on a sphere, far apart: each new mean is of 100 uniform draws the farthest from the others.

    Raises:
        InputError: below 2 dimensions, where the sphere is two points.
    """
    if dim < 2:
        raise InputError(f"a mixture on a sphere has 2 or more dimensions, not {dim}")
    rng = np.random.default_rng(seed)
    means = np.empty((0, dim))
    for _ in range(components):
        draws = rng.standard_normal((100, dim))
        draws *= radius / np.linalg.norm(draws, axis=1, keepdims=True)
        gaps = np.linalg.norm(draws[:, None] - means, axis=2).min(axis=1, initial=math.inf)
        means = np.append(means, draws[[gaps.argmax()]], axis=0)
    return isotropic_mixture(means, std)


def uniform_mixture(
    dim: int, *, components: int = 40, half_width: float = 40.0, std: float = 1.0, seed: int = 0
) -> MixtureTarget:
    """Components with means uniform on the cube [−half_width, half_width]^d; some may overlap."""
    means = np.random.default_rng(seed).uniform(-half_width, half_width, (components, dim))
    return isotropic_mixture(means, std)


#: name -> factory; each takes the dimension first, further words are its own
TARGETS: dict[str, Callable[..., Target]] = {
    "standard_gaussian": StandardGaussian,
    "correlated_gaussian": correlated_gaussian,
    "sphere_mixture": sphere_mixture,
    "uniform_mixture": uniform_mixture,
    "banana": Banana,
    "funnel": Funnel,
    "logistic_regression": synthetic_regression,
    "breast_cancer_regression": breast_cancer_regression,
}


def _log_gaussian_normaliser(dim: int) -> float:
    """Log of ∫exp(−|x|²/2) over R^d."""
    return 0.5 * dim * math.log(2 * math.pi)
