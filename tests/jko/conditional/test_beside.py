"""Holes of rows that have contexts of their own: every row is drawn from its own conditional law."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jko.columns.cells import Cells
from jko.columns.real import Continuous
from jko.conditional import imputing
from jko.conditional.beside import kinds_beside, law_beside
from jko.conditional.imputing import draw_missing
from jko.conditional.kinds import Kinds
from jko.conditional.law import Law

COVARIANCE = np.array([[1.0, 0.7], [0.7, 2.0]])
FACTOR = np.linalg.cholesky(COVARIANCE)


def mean(contexts: np.ndarray) -> np.ndarray:
    """The mean of x given u, which is no linear function of it."""
    return np.stack([3 * contexts[:, 0], np.abs(contexts[:, 0]) - 1], axis=1)


def conditional(contexts: np.ndarray) -> Law:
    """N(m(u), COVARIANCE)."""

    def draw(chosen: np.ndarray, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal((len(chosen), 2))
        return mean(chosen) + noise @ FACTOR.T

    def density(y: np.ndarray) -> np.ndarray:
        own = multivariate_normal(np.zeros(2), COVARIANCE)
        return np.asarray(own.logpdf(y[:, :2] - mean(y[:, 2:])))

    return law_beside(2, contexts, np.ones(contexts.shape[1]), draw=draw, density=density)


#: contexts of 300 rows: of any size, of two classes, the same in all
CONTEXTS = {
    "numbers": np.random.default_rng(0).normal(size=(300, 1)),
    "classes": np.eye(2)[np.random.default_rng(1).integers(2, size=300)],
    "one": np.full((300, 1), 1.5),
}


@pytest.mark.parametrize("name", CONTEXTS)
@pytest.mark.parametrize("way", ["weights", "markov chains"])
def test_every_row_is_drawn_given_its_context(name: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "markov chains":
        monkeypatch.setattr(imputing, "GOOD", math.inf)
    contexts, rng = CONTEXTS[name], np.random.default_rng(2)
    x = mean(contexts) + rng.standard_normal((300, 2)) @ FACTOR.T
    x[:200, 1] = np.nan
    x[200:, 0] = np.nan
    cells = {f"x{j}": Cells(x[:, j], ~np.isnan(x[:, j])) for j in range(2)}
    kinds, beside = kinds_beside(Kinds((Continuous(name="x0"), Continuous(name="x1"))), cells, contexts)
    found = draw_missing(conditional(contexts), kinds, beside, 4, seed=3, steps=60)
    assert (found.y[:, :, 2:] == contexts).all()
    for free, rows in ((1, slice(0, 200)), (0, slice(200, 300))):
        held = 1 - free
        gain = COVARIANCE[free, held] / COVARIANCE[held, held]
        expected = mean(contexts)[rows, free] + gain * (x[rows, held] - mean(contexts)[rows, held])
        deviation = math.sqrt(COVARIANCE[free, free] - gain * COVARIANCE[free, held])
        scores = ((found.y[:, rows, free] - expected) / deviation).ravel()
        assert abs(scores.mean()) < 4.5 / math.sqrt(len(scores))
        assert abs(scores.var() - 1) < 4.5 * math.sqrt(2 / len(scores))


def test_columns_may_be_called_as_contexts_are() -> None:
    kinds = Kinds((Continuous(name="context 0"),))
    cells = {"context 0": Cells(np.zeros(3), np.ones(3, dtype=bool))}
    found, beside = kinds_beside(kinds, cells, np.zeros((3, 2)))
    assert found.names == tuple(beside) == ("context 0", "context 0'", "context 1")
