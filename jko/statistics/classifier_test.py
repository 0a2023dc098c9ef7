"""A classifier between rows and samples: whether it tells them apart, and what it would have told."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from jko.core.records import Count, Figure, Number, Record

Array = NDArray[np.float64]
#: parts of the rows, each scored by a classifier that did not see it
FOLDS = 5
#: rows of each kind at most
MOST = 10_000
#: standard errors at which a difference is found in 80 % of repetitions of a one-sided test at 5 %
FOUND = 1.645 + 0.842
#: how large the planted shift is, in those that the best classifier would just find
PLANTED = 3.0


class ClassifierTest(Record):
    """How well a classifier tells rows from samples.

    Args:
        auc: chance that it ranks a row above a sample; .5 where it cannot tell them apart.
        auc_se: its standard error.
        p: chance of such an AUC or a larger one where both laws are one.
        sees: the shift of the mean, in standard deviations of one direction, that it finds with this many
            rows in about 80 % of repetitions; ``None`` where a planted shift was not seen at all.
        rows: of each kind.
    """

    auc: Number
    auc_se: Number
    p: Number
    sees: Figure
    rows: Count


def classifier_test(rows: Array, samples: Array, *, seed: int = 0) -> ClassifierTest:
    r"""Tell rows from samples by gradient boosting, cross-fitted.

    Args:
        rows: shape (m, d).
        samples: shape (M, d); as many of them are used as there are rows.
        seed: of the order and the classifiers.

    Returns:
        The test. What it sees is measured: samples are told from other samples that were shifted. A shift of
        the mean by δ standard deviations in one direction gives the best classifier an AUC of
        :math:`\Phi(\delta/\sqrt 2)`; the part of it that boosting reaches turns one shift into another.

    Source: classifier two-sample tests, arXiv:1610.06545; the standard error of a given classifier by Hanley
    and McNeil, widened for what classifiers of overlapping training rows have in common by Nadeau and Bengio
    (Machine Learning 52, 2003).
    """
    count = min(len(rows), len(samples), MOST)
    rng = np.random.default_rng(seed)
    one, other = (rng.permutation(given)[:count] for given in (rows, samples))
    auc = _auc(one, other, rng)
    null = _error(0.5, count)
    best = float(math.sqrt(2) * norm.ppf(min(0.5 + FOUND * null, 1 - 1e-9)))
    shift = PLANTED * best
    halves = np.array_split(rng.permutation(samples)[: 2 * count], 2)
    direction = rng.normal(size=samples.shape[1])
    direction *= samples.std(0) / np.linalg.norm(direction)
    reached = 0.0
    if len(halves[1]) > 1:
        planted = _auc(halves[0], halves[1][: len(halves[0])] + shift * direction, rng)
        reached = (planted - 0.5) / (norm.cdf(shift / math.sqrt(2)) - 0.5)
    return ClassifierTest(
        auc=auc, auc_se=_error(auc, count), p=float(norm.sf((auc - 0.5) / null)),
        sees=float(best / reached) if reached > 0 else None, rows=count,
    )  # fmt: skip


def _auc(one: Array, other: Array, rng: np.random.Generator) -> float:
    """Chance that boosting, which has not seen the two, ranks a row of the first above one of the second."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    pooled, labels = np.concatenate([one, other]), np.repeat([1, 0], [len(one), len(other)])
    folds = min(FOLDS, len(one), len(other))
    fold = np.concatenate([rng.permutation(np.arange(len(part)) % folds) for part in (one, other)])
    scores = np.empty(len(pooled))
    for part in range(folds):
        own = fold == part
        # small trees and slow steps: what is to be seen is weak
        boosted = HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=60, max_leaf_nodes=8, min_samples_leaf=40, l2_regularization=1.0,
            early_stopping=False, random_state=0,
        )  # fmt: skip
        boosted.fit(pooled[~own], labels[~own])
        # ranks within a fold: scores of two classifiers are not in one scale
        scores[own] = rankdata(boosted.decision_function(pooled[own])) / own.sum()
    above = rankdata(scores)[labels == 1].sum() - len(one) * (len(one) + 1) / 2
    return float(above / (len(one) * len(other)))


def _error(auc: float, count: int) -> float:
    """Standard error of a cross-fitted AUC of as many rows as samples.

    Classifiers of different folds were trained on mostly the same rows and err alike, so that the variance is
    1 + k n₂/n₁ = 1 + k/(k − 1) times that of a single classifier that was given, for k folds.
    """
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (count - 1) * (one - auc**2 + two - auc**2)
    folds = max(2, min(FOLDS, count))
    return math.sqrt(max(spread, 0.0) * (1 + folds / (folds - 1))) / count
