"""Detectors of anomalies: fitted to rows without labels, each scores other rows, and odd ones score high."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jko.core.plain import Json
from jko.laws.densities import Array

#: of ours, for some ten CPU seconds on most sets; found on sets that are not reported
ITERATIONS = 300
SETTINGS: Mapping[str, Json] = {"network.hidden": [128, 128], "data.standardise": "marginals"}
#: the score of ours that is ranked
OURS = "ours"
#: components of the mixture, and the share of the rows that chooses among them
COMPONENTS, HELD_OUT = (1, 2, 5, 10, 20), 0.2
#: training rows, rows to score, seed: scores of the latter, one or more kinds by name
Detector = Callable[[Array, Array, int], Mapping[str, Array]]


def ours(train: Array, rows: Array, seed: int) -> Mapping[str, Array]:
    """−log q of a flow by the preset for tables, smaller and with fewer iterations, in both units; nats."""
    from jko.sklearn import JKOFlow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values far out, which is what is looked for
        model = JKOFlow(max_iter=ITERATIONS, settings=SETTINGS, random_state=seed).fit(train)
    return {
        OURS: model.anomaly_scores(rows)["score"],
        "ours, start coordinates": model.anomaly_scores(rows, units="start")["score"],
    }


def isolation_forest(train: Array, rows: Array, seed: int) -> Mapping[str, Array]:
    """The isolation forest of scikit-learn, as it comes.

    Source: Liu, Ting and Zhou, ICDM 2008, 413–422.
    """
    from sklearn.ensemble import IsolationForest

    return {"isolation forest": -IsolationForest(random_state=seed).fit(train).score_samples(rows)}


def mixture(train: Array, rows: Array, seed: int) -> Mapping[str, Array]:
    """−log p of the Gaussian mixture of the reports; a fifth of the training rows chooses it; nats."""
    from tasks.baselines import fitted_baselines

    order = np.random.default_rng(seed).permutation(len(train))
    held, used = np.split(train[order], [round(HELD_OUT * len(train))])
    fitted = fitted_baselines({"train": used, "validation": held}, COMPONENTS, seed)
    return {"Gaussian mixture": -fitted["mixture"].log_density(rows)}


def ecod(train: Array, rows: Array, seed: int) -> Mapping[str, Array]:
    r"""Empirical tails, column by column, of training rows and rows to score together.

    .. math:: O = \max\Bigl(\sum_j U_j^l, \sum_j U_j^r, \sum_j U_j^{a}\Bigr), \quad
        U_j^l = -\log\hat F_j(x_j), \quad U_j^r = -\log\hat F_{-j}(-x_j)

    where a column that is skewed to the left has :math:`U^a = U^l`, and any other :math:`U^a = U^r`.

    Args:
        train: training rows, shape (n, d).
        rows: to be scored, shape (m, d).
        seed: not used.

    Source: Li, Zhao, Hu, Botta, Ionescu and Chen, ECOD, arXiv:2201.00382.
    """
    from scipy.stats import rankdata, skew

    both = np.concatenate([train, rows])
    left, right = (-np.log(rankdata(side, "max", axis=0) / len(both)) for side in (both, -both))
    either = np.where(skew(both, axis=0) < 0, left, right)
    found: Array = np.max([tails.sum(axis=1) for tails in (left, right, either)], axis=0)
    return {"ECOD": found[len(train) :]}


DETECTORS: Sequence[Detector] = (ours, isolation_forest, ecod, mixture)
