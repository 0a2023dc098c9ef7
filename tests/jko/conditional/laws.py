"""Laws whose conditional laws are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from jko.chain.chain import Chain
from jko.columns.column import Column
from jko.columns.conditions import Condition
from jko.conditional.asked import Asked, asked_of
from jko.conditional.kinds import Kinds, constraints_of
from jko.conditional.law import Law
from jko.maps.start_map import Whiten


class Gaussian:
    """N(mean, covariance), by a chain of no block behind an exact affine start."""

    def __init__(self, mean: Sequence[float], covariance: np.ndarray) -> None:
        self.mean, self.covariance = np.array(mean, dtype=float), covariance
        values, vectors = np.linalg.eigh(covariance)
        whiten = Whiten(torch.zeros(len(values)), torch.from_numpy((vectors / np.sqrt(values)) @ vectors.T))
        chain = Chain(
            [], torch.from_numpy(self.mean), torch.ones(len(values), dtype=torch.float64), start=whiten
        )
        self.law = Law(
            len(values),
            lambda rows, seed: chain.sample(rows, seed=seed).numpy(),
            lambda y: chain.log_prob(torch.from_numpy(y))[0].numpy(),
        )

    def given(self, held: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the other columns."""
        a = list(held)
        b = [j for j in range(len(self.mean)) if j not in held]
        gain = self.covariance[np.ix_(b, a)] @ np.linalg.inv(self.covariance[np.ix_(a, a)])
        away = np.array([held[j] for j in a]) - self.mean[a]
        return self.mean[b] + gain @ away, self.covariance[np.ix_(b, b)] - gain @ self.covariance[
            np.ix_(a, b)
        ]


def correlated(dim: int, seed: int = 0) -> Gaussian:
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(dim, dim))
    return Gaussian(list(rng.normal(size=dim) * 3), factor @ factor.T + 0.3 * np.eye(dim))


class Mixture:
    """Two Gaussians in the plane."""

    weights = np.array([0.3, 0.7])
    means = np.array([[-2.0, 3.0], [1.0, -3.0]])
    covariances = np.array([[[1.0, 0.5], [0.5, 0.5]], [[2.0, -0.8], [-0.8, 1.0]]])

    def __init__(self) -> None:
        parts = [multivariate_normal(m, c) for m, c in zip(self.means, self.covariances, strict=True)]

        def draw(rows: int, seed: int) -> np.ndarray:
            rng = np.random.default_rng(seed)
            which = rng.random(rows) < self.weights[0]
            drawn = [part.rvs(rows, random_state=rng) for part in parts]
            return np.where(which[:, None], *drawn)

        self.law = Law(
            2, draw,
            lambda y: logsumexp([part.logpdf(y) for part in parts], axis=0, b=self.weights[:, None]),
        )  # fmt: skip

    def given(self, x: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, means and deviations of the second column given the first."""
        a, b, c = self.covariances[:, 0, 0], self.covariances[:, 0, 1], self.covariances[:, 1, 1]
        away = x - self.means[:, 0]
        own = self.weights * np.exp(-0.5 * away**2 / a) / np.sqrt(a)
        return own / own.sum(), self.means[:, 1] + b / a * away, np.sqrt(c - b**2 / a)


def asked(columns: Sequence[Column], *conditions: Condition) -> Asked:
    kinds = Kinds(tuple(columns))
    return asked_of(kinds, constraints_of(kinds, conditions), " and ".join(map(str, conditions)))


#: a law of rows that do not depend on each other
Density = Callable[[np.ndarray], np.ndarray]
