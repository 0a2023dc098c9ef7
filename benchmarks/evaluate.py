"""Figures of a fitted density on held-out rows, and its curve over the time spent."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.budget import Budget
from benchmarks.problem import Problem
from jko.core.seeds import counter_seed
from jko.laws.densities import Array

#: rows (n, d) in standardised units to log-densities (n,) in nats, standardised units
LogDensity = Callable[[Tensor], Tensor]
#: rows evaluated at a time
BATCH = 2500
#: test rows of a point of the curve; a fifth of the budget and its end are judged by all of them
CURVE_ROWS = 2500
#: points of the curve are this factor apart in time; a fifth of the budget is one of them
RATIO = 5**0.25
#: seconds before which no curve begins
EARLIEST = 1.0


@dataclass(frozen=True)
class Figure:
    """A mean over rows with its standard error, nats.

    Args:
        value: the mean.
        se: its standard error.
    """

    value: float
    se: float


def log_densities(density: LogDensity, rows: Tensor) -> Tensor:
    """Log-densities of all rows, nats, standardised units, shape (rows,), float64."""
    with torch.no_grad():
        return torch.cat([density(part).detach().double() for part in rows.split(BATCH)])


def nll(problem: Problem, log_q: Tensor, part: str = "test") -> Figure:
    """Mean negative log-likelihood in data units.

    Args:
        problem: the set.
        log_q: log-densities of the part's rows, or the first of them, in a method's coordinates, shape
            (rows,).
        part: ``test`` or ``validation``.
    """
    return _mean(-problem.log_det(part)[: len(log_q)] - log_q)


def fresh_scores(problem: Problem, density: LogDensity, rows: Array, seed: int) -> Array:
    """Log-densities of rows as they stand in a file, scored as the project scores a file, nats, data units.

    Where columns are gridded, a score is the mean over draws of the noise that the training rows got; the
    draws go by the row's numbers.

    Args:
        problem: the set.
        density: of a method, in its coordinates.
        rows: shape (rows, d), data units.
        seed: of the noise.

    Returns:
        Shape (rows,).
    """
    from jko.chain.noise import DRAWS

    grid = np.zeros(problem.dim) if problem.grid is None else problem.grid
    noisy = bool(grid.any())
    many = np.repeat(rows, DRAWS, axis=0) if noisy else rows
    if noisy:
        keys = [counter_seed(seed, "score", row.astype("<f8").tobytes().hex()) for row in rows]
        noise = [np.random.default_rng(key).random((DRAWS, problem.dim)) - 0.5 for key in keys]
        many = many + np.concatenate(noise) * grid
    standard, log_det = problem.mapped(many)
    values = (log_densities(density, standard) + log_det).numpy()
    found: Array = values.reshape(len(rows), -1).mean(axis=1)
    return found


def mean_of(values: Array) -> Figure:
    """A mean over rows with its standard error."""
    return _mean(torch.from_numpy(values))


def gap(problem: Problem, log_q: Tensor) -> Figure | None:
    """Mean of log p − log q over the test rows, an estimate of KL(p‖q); ``None`` where p is unknown.

    Args:
        problem: the set.
        log_q: log-densities of the test rows, or the first of them, in a method's coordinates, (rows,).
    """
    if problem.log_density is None:
        return None
    known = torch.from_numpy(problem.log_density[: len(log_q)])
    return _mean(known - log_q - problem.log_det("test")[: len(log_q)])


def figure(problem: Problem, density: LogDensity, rows: int | None = None) -> Figure:
    """The gap on the test rows, or the first of them, where the law is known, and else the NLL."""
    log_q = log_densities(density, problem.test[:rows])
    return gap(problem, log_q) or nll(problem, log_q)


def _mean(values: Tensor) -> Figure:
    return Figure(float(values.mean()), float(values.std()) / math.sqrt(len(values)))


class Track:
    """The figure on the test rows over the seconds spent; looking is not charged.

    A method calls it with its best model so far as often as it likes: only the calls that are due,
    at times in geometric progression, are evaluated. Nothing goes back to the method.

    Args:
        problem: the set.
        budget: the clock.
    """

    def __init__(self, problem: Problem, budget: Budget) -> None:
        self.problem, self.budget = problem, budget
        #: seconds spent and the figure then
        self.curve: list[tuple[float, Figure]] = []
        #: what a method tells beside its density, in the order told
        self.notes: dict[str, list[Any]] = {}
        steps = max(0, math.floor(math.log(max(budget.seconds / EARLIEST, 1), RATIO)))
        self._marks = [budget.seconds / RATIO**k for k in range(steps, 0, -1)]

    def note(self, name: str, value: Any) -> None:
        """Keep a JSON value beside the figures."""
        self.notes.setdefault(name, []).append(value)

    @property
    def due(self) -> bool:
        """Whether a call now would be evaluated."""
        return bool(self._marks) and self.budget.spent >= self._marks[0]

    def __call__(self, density: LogDensity) -> None:
        """Evaluate the best model so far, if that is due."""
        if not self.due:
            return
        spent = self.budget.spent
        fifth = any(math.isclose(mark, self.budget.seconds / 5) for mark in self._marks if mark <= spent)
        self._marks = [mark for mark in self._marks if mark > spent]
        with self.budget.uncounted():
            now = figure(self.problem, density, None if fifth else CURVE_ROWS)
        self.curve.append((spent, now))
