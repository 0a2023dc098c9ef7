"""A Gaussian mixture with full covariances, its number of components chosen on the validation rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from benchmarks.budget import Budget
from benchmarks.evaluate import LogDensity, Track, log_densities
from benchmarks.problems import Problem
from jko.seeds import counter_seed


def fit(problem: Problem, budget: Budget, setting: Mapping[str, Any], seed: int, track: Track) -> LogDensity:
    """Fit mixtures with more and more components while the budget lasts; the best on validation.

    Args:
        problem: the set.
        budget: no fit is begun once it is spent.
        setting: ``components`` to try in turn, ``ridges`` to try with each, ``iterations`` of EM at most.
        seed: of the start.
        track: called after every fit.
    """
    state = counter_seed(seed, "mixture") % 2**32
    best: tuple[float, LogDensity] | None = None
    for count in setting["components"]:
        for ridge in setting["ridges"]:
            if best is not None and (budget.left <= 0 or count * 4 > len(problem.train)):
                break
            density = _fitted(
                problem,
                GaussianMixture(count, reg_covar=ridge, random_state=state, max_iter=setting["iterations"]),
            )
            score = float(log_densities(density, problem.validation).mean())
            if best is None or score > best[0]:
                best = score, density
            track(best[1])
    assert best is not None  # the first is fitted whatever the budget
    return best[1]


def _fitted(problem: Problem, mixture: GaussianMixture) -> LogDensity:
    # one thread: more of them wait for each other on matrices this small
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(problem.train.double().numpy())
    return lambda rows: torch.from_numpy(mixture.score_samples(rows.double().numpy()))
