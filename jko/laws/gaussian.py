"""Closed forms for Gaussian laws and target N(0, I): the oracles of the tests.

Means m have shape (..., d). Standard deviations s, shape (..., d), are those along the
eigen-directions of the covariance, in which m is written too. Units: the data's for m and s,
nats for KL, squared data units for W2².
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian law by its mean and standard deviations along its eigen-directions.

    Args:
        mean: shape (d,).
        std: shape (d,), positive.
    """

    mean: Array
    std: Array

    @classmethod
    def of(cls, mean: ArrayLike, std: ArrayLike) -> Gaussian:
        """From anything array-like; a scalar stands for every direction."""
        both = np.broadcast_arrays(np.atleast_1d(mean), np.atleast_1d(std))
        return cls(*(np.array(values, dtype=float) for values in both))


def jko_step(law: Gaussian, step_size: float) -> Gaussian:
    r"""Backward Euler, the exact JKO step.

    .. math:: m' = m/(1+\gamma), \quad s' = [s + \sqrt{s^2 + 4\gamma(1+\gamma)}] / (2(1+\gamma))
    """
    g, s = step_size, law.std
    return Gaussian(law.mean / (1 + g), (s + np.sqrt(s**2 + 4 * g * (1 + g))) / (2 * (1 + g)))


def forward_euler_step(law: Gaussian, step_size: float) -> Gaussian:
    r"""Wasserstein gradient descent: :math:`m' = (1-\gamma) m`, :math:`s' = |s - \gamma(s - 1/s)|`."""
    g, s = step_size, law.std
    return Gaussian((1 - g) * law.mean, np.abs(s - g * (s - 1 / s)))


def forward_backward_step(law: Gaussian, step_size: float) -> Gaussian:
    r"""Gradient step on the potential, JKO step on the entropy.

    .. math:: m' = (1-\gamma) m, \quad s' = [\tilde s + \sqrt{\tilde s^2 + 4\gamma}]/2, \quad
              \tilde s = |1-\gamma| s

    Source: the Wasserstein proximal gradient algorithm (arXiv:2002.03035).
    """
    g = step_size
    s = abs(1 - g) * law.std
    return Gaussian((1 - g) * law.mean, (s + np.sqrt(s**2 + 4 * g)) / 2)


def ornstein_uhlenbeck(law: Gaussian, time: float) -> Gaussian:
    r"""Law at OU time t: :math:`m' = e^{-t} m`, :math:`s' = \sqrt{1 + e^{-2t}(s^2 - 1)}`."""
    return Gaussian(np.exp(-time) * law.mean, np.sqrt(1 + np.exp(-2 * time) * (law.std**2 - 1)))


def kl(law: Gaussian) -> float:
    r"""KL(law ‖ N(0, I)) in nats: :math:`\frac12(|m|^2 + \sum(s^2 - 1)) - \sum \log s`."""
    return float(0.5 * (np.sum(law.mean**2) + np.sum(law.std**2 - 1)) - np.sum(np.log(law.std)))


def w2_squared(law: Gaussian) -> float:
    r"""W2²(law, N(0, I)): :math:`|m|^2 + \sum (s - 1)^2`."""
    return float(np.sum(law.mean**2) + np.sum((law.std - 1) ** 2))


def relative_fisher_information(law: Gaussian) -> float:
    r""":math:`E|x + \nabla\log p|^2 = |m|^2 + \sum (s - 1/s)^2`."""
    return float(np.sum(law.mean**2) + np.sum((law.std - 1 / law.std) ** 2))


def entropy(law: Gaussian) -> float:
    r"""Differential entropy in nats: :math:`\sum \log s + \frac d2 \log(2\pi e)`."""
    return float(np.sum(np.log(law.std)) + 0.5 * len(law.std) * np.log(2 * np.pi * np.e))


def epsilon_squared(before: Gaussian, after: Gaussian, step_size: float) -> float:
    r"""Squared first-order-condition error of a step between commuting Gaussians, OT pairing.

    .. math:: \xi(y) = c + B(y - m'), \quad c = m' - (m - m')/\gamma, \quad
              B = 1 - 1/s'^2 - (s/s' - 1)/\gamma, \quad \epsilon^2 = |c|^2 + \sum B^2 s'^2

    Source: the condition of arXiv:2310.17582 on the approximate step, evaluated for Gaussians.
    """
    c = after.mean - (before.mean - after.mean) / step_size
    slope = 1 - 1 / after.std**2 - (before.std / after.std - 1) / step_size
    return float(np.sum(c**2) + np.sum(slope**2 * after.std**2))


def epsilon_squared_of_moments(
    mean0: ArrayLike, cov0: ArrayLike, mean1: ArrayLike, cov1: ArrayLike, step_size: float
) -> float:
    r"""Squared first-order-condition error of a step between any two Gaussians, OT pairing.

    .. math:: \xi(y) = c + B(y - m_1), \quad c = m_1 - (m_0 - m_1)/\gamma, \quad
              B = I - S_1^{-1} - (A - I)/\gamma, \quad \epsilon^2 = |c|^2 + \mathrm{tr}(B S_1 B^\top)

    with the optimal map back :math:`m_0 + A(y - m_1)`,
    :math:`A = S_1^{-1/2} (S_1^{1/2} S_0 S_1^{1/2})^{1/2} S_1^{-1/2}`. The covariances need not commute.

    Args:
        mean0: mean m_0 before the step, shape (d,).
        cov0: covariance S_0, shape (d, d).
        mean1: mean m_1 after the step, shape (d,).
        cov1: covariance S_1, shape (d, d), positive definite.
        step_size: γ.

    Source: as :func:`epsilon_squared`; the optimal map between Gaussians is classical.
    """
    m0, s0, m1, s1 = (np.asarray(part, dtype=float) for part in (mean0, cov0, mean1, cov1))
    half, identity = _root(s1), np.eye(len(m1))
    inverse = np.linalg.inv(half)
    back = inverse @ _root(half @ s0 @ half) @ inverse
    c = m1 - (m0 - m1) / step_size
    slope = identity - inverse @ inverse - (back - identity) / step_size
    return float(np.sum(c**2) + np.trace(slope @ s1 @ slope.T))


def _root(matrix: Array) -> Array:
    """The square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
