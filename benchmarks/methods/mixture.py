"""A Gaussian mixture with full covariances, its number of components chosen on the validation rows."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from benchmarks.budget import Budget
from benchmarks.evaluate import LogDensity, Track, log_densities
from benchmarks.problems import Problem
from jko.seeds import counter_seed

#: iterations of EM between two looks at the clock
ROUND = 5


def fit(problem: Problem, budget: Budget, setting: Mapping[str, Any], seed: int, track: Track) -> LogDensity:
    """Fit mixtures with more and more components while the budget lasts; the best on validation.

    Args:
        problem: the set.
        budget: fits end, and none is begun, once it is spent.
        setting: ``components`` to try in turn, ``ridges`` to try with each by kind of set, and at most how
            many ``iterations`` of EM on how many ``rows``.
        seed: of the start.
        track: called after every fit.
    """
    state = counter_seed(seed, "mixture") % 2**32
    rows = problem.train[: setting["rows"]].double().numpy()
    usable = [count for count in setting["components"] if 4 * count <= len(rows)] or [1]
    best: tuple[float, LogDensity] | None = None
    for count, ridge in itertools.product(usable, setting["ridges"][problem.kind]):
        if best is not None and budget.left <= 0:
            break
        mixture = GaussianMixture(count, reg_covar=ridge, random_state=state, max_iter=ROUND, warm_start=True)
        density = _fitted(mixture, rows, setting["iterations"] // ROUND, budget)
        score = float(log_densities(density, problem.validation).mean())
        if best is None or score > best[0]:
            best = score, density
        track(best[1])
    assert best is not None  # the first is fitted whatever the budget
    return best[1]


def _fitted(mixture: GaussianMixture, rows: NDArray[np.float64], rounds: int, budget: Budget) -> LogDensity:
    """Rounds of EM until it converges or the budget is spent."""
    # one thread: more of them wait for each other on matrices this small
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(rounds):
            mixture.fit(rows)
            if mixture.converged_ or budget.left <= 0:
                break
    return lambda x: torch.from_numpy(mixture.score_samples(x.double().numpy()))
