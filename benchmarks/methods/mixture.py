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
from benchmarks.problem import Problem
from jko.core.seeds import counter_seed

#: iterations of EM between two looks at the clock
ROUND = 5


def fit(problem: Problem, budget: Budget, setting: Mapping[str, Any], seed: int, track: Track) -> LogDensity:
    """Fit mixtures with more and more components while the budget lasts; the best on validation.

    Where there are smoothed copies of the rows, each is fitted to the rows alone and to rows and copies.

    Args:
        problem: the set.
        budget: no fit and no round of one is begun that would end after it.
        setting: ``components`` to try in turn, ``ridges`` to try with each by kind of set, and at most how
            many ``iterations`` of EM on how many ``rows``; rows of the set come before copies.
        seed: of the start.
        track: called after every fit.
    """
    tries = _Tries(problem, budget, counter_seed(seed, "mixture") % 2**32, setting["iterations"] // ROUND)
    whole = problem.train[: setting["rows"]].double().numpy()
    own = problem.own_rows[: setting["rows"]].double().numpy()
    parts = [own, whole] if len(whole) > len(own) else [whole]
    usable = [count for count in setting["components"] if 4 * count <= len(own)] or [1]
    for count, ridge, rows in itertools.product(usable, setting["ridges"][problem.kind], parts):
        if tries.best is not None and tries.seconds(count, rows) > budget.left:
            continue  # another may be cheaper: with fewer rows
        tries.run(count, ridge, rows)
        assert tries.best is not None
        track(tries.best)
    assert tries.best is not None  # the first is fitted whatever the budget
    return tries.best


class _Tries:
    """Fits so far, the best of them, and what they cost.

    Args:
        problem: the set.
        budget: of all fits.
        state: seed of every start.
        rounds: of EM at most.
    """

    def __init__(self, problem: Problem, budget: Budget, state: int, rounds: int) -> None:
        self.problem, self.budget, self.state, self.rounds = problem, budget, state, rounds
        self.best: LogDensity | None = None
        self.score = -np.inf
        #: seconds of the last fit's first round and validation, by component and row
        self.each = 0.0

    def seconds(self, count: int, rows: NDArray[np.float64]) -> float:
        """What a fit takes at least: one round and its validation."""
        return self.each * count * len(rows)

    def run(self, count: int, ridge: float, rows: NDArray[np.float64]) -> None:
        """Rounds of EM until it converges or the next would end after the budget; then a validation."""
        mixture = GaussianMixture(
            count, reg_covar=ridge, random_state=self.state, max_iter=ROUND, warm_start=True
        )
        begun = self.budget.spent
        first = 0.0
        # one thread: more of them wait for each other on matrices this small
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)
            for _ in range(self.rounds):
                mixture.fit(rows)
                first = first or self.budget.spent - begun
                if mixture.converged_ or self.budget.left <= 2 * first:
                    break
        density = _density(mixture)
        ended = self.budget.spent
        score = float(log_densities(density, self.problem.validation).mean())
        took = first + self.budget.spent - ended
        self.each = took / (count * len(rows))
        if self.best is None or score > self.score:
            self.best, self.score = density, score


def _density(mixture: GaussianMixture) -> LogDensity:
    return lambda x: torch.from_numpy(mixture.score_samples(x.double().numpy()))
