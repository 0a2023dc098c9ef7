"""The posterior of a logistic regression, as a target known by its potential only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor

from jko.core.errors import InputError
from jko.energies.functional import half_square
from jko.laws.densities import Array


@dataclass(frozen=True)
class LogisticRegression:
    r"""The posterior of the weights of a logistic regression under the prior N(0, I/τ).

    .. math:: V(x) = -\sum_j \log\sigma(\pm_j \langle a_j, x\rangle) + \frac\tau2|x|^2
                     + \frac d2\log\frac{2\pi}\tau

    With the prior's constant, log Z is the log evidence of the labels.

    Args:
        features: a_j, shape (observations, d); give a column of ones for an intercept.
        labels: 0 or 1, shape (observations,), for the sign − or +.
        precision: τ > 0.

    Raises:
        InputError: for arguments that are not such.
    """

    features: Array
    labels: Array
    precision: float = 1.0

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.labels.shape != self.features.shape[:1]:
            raise InputError(
                f"features (n, d) and labels (n,), not {self.features.shape} and {self.labels.shape}"
            )
        if not np.isfinite(self.features).all() or not np.isin(self.labels, (0, 1)).all():
            raise InputError("features are finite and labels 0 or 1")
        if not 0 < self.precision < math.inf:
            raise InputError(f"a prior precision is positive and finite, not {self.precision}")

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.features.shape[1]

    @property
    def log_normaliser(self) -> None:
        """Unknown."""
        return None

    @property
    def convexity(self) -> float:
        """The prior's τ: the likelihood is log-concave, and flat far away."""
        return self.precision

    def potential(self, x: Tensor) -> Tensor:
        """V, shape (rows, d) to (rows,)."""
        signed = torch.as_tensor(self.features * (2 * self.labels - 1)[:, None]).to(x)
        likelihood = torch.nn.functional.logsigmoid(x @ signed.T).sum(-1)
        constant = 0.5 * self.dim * math.log(2 * math.pi / self.precision)
        return self.precision * half_square(x) - likelihood + constant

    def sample(self, rows: int, rng: np.random.Generator) -> None:
        """None: there is no exact sampler."""
        return None


def synthetic_regression(
    dim: int, *, observations: int = 200, precision: float = 1.0, seed: int = 0
) -> LogisticRegression:
    """A regression on standard normal features, with labels drawn for weights drawn from the prior."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((observations, dim))
    weights = rng.standard_normal(dim) / math.sqrt(precision)
    labels = (rng.random(observations) < expit(features @ weights)).astype(float)
    return LogisticRegression(features, labels, precision)


def breast_cancer_regression(dim: int = 31, *, precision: float = 1.0) -> LogisticRegression:
    """Malignant or benign by 30 standardised measurements and an intercept, scikit-learn's breast cancer set.

    Args:
        dim: 31, as there are weights.
        precision: τ of the prior.
    """
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    rows = (bunch.data - bunch.data.mean(0)) / bunch.data.std(0)
    features = np.column_stack([rows, np.ones(len(rows))])
    return LogisticRegression(features, bunch.target.astype(float), precision)
