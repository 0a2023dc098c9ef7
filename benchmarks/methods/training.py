"""The training loop of the peers that are torch modules: Adam for the whole budget, the best weights kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.budget import Budget
from benchmarks.evaluate import LogDensity, Track, log_densities
from benchmarks.problem import Problem
from jko.core.seeds import generator

#: validations take at most this share of the time, and there are at most so many in a budget
VALIDATION_SHARE, VALIDATIONS = 0.1, 100
#: losses in a row that are not finite before training goes back to the best weights with half the rate
FAILURES = 10

#: the loss of a batch (rows, d), shape (); draws come from the generator
Loss = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a module is trained.

    Args:
        rate: learning rate of Adam at the start.
        batch: rows of a batch.
        schedule: ``constant``, or ``cosine`` from the rate to 0 over the budget.
        clip: largest norm of the gradient.
        copies: whether batches are drawn from the smoothed copies of the rows, too, where there are some.
    """

    rate: float = 1e-3
    batch: int = 256
    schedule: str = "constant"
    clip: float = math.inf
    copies: bool = True

    @classmethod
    def of(cls, setting: Mapping[str, Any]) -> Recipe:
        """The part of a setting that a recipe knows."""
        return cls(**{name: setting[name] for name in cls.__dataclass_fields__ if name in setting})


def train(
    model: nn.Module,
    loss: Loss,
    density: Callable[[nn.Module], LogDensity],
    problem: Problem,
    budget: Budget,
    *,
    recipe: Recipe,
    seed: int,
    track: Track,
    validation_rows: int = 5000,
) -> LogDensity:
    """Train until the budget is spent, the schedule's end included; the density of the best weights.

    Training never ends early: under a rate that falls over the budget, weights that are no better for a while
    become so when it is low. The last validation is kept back for, so that it ends within the budget.

    Args:
        model: trained in place.
        loss: of the model on a batch.
        density: the log-density of a model, as it is judged: exact divergence, fine solver.
        problem: the set.
        budget: validations are charged, the track is not.
        recipe: rate, batch and schedule.
        seed: of the batches.
        track: called with the best model so far.
        validation_rows: how many of the validation rows choose the best model.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    draw = generator(seed, "batches")
    best = _Best(model, density, problem.validation[:validation_rows], budget)
    train_rows = problem.train if recipe.copies else problem.own_rows
    failures, rate, last = 0, recipe.rate, 0.0
    while budget.left > best.cost + last:
        begun = budget.spent
        for group in optimiser.param_groups:
            group["lr"] = rate * _fall(recipe.schedule, budget.share(best.cost + last))
        rows = torch.randint(len(train_rows), (recipe.batch,), generator=draw)
        stepped = _step(model, loss(train_rows[rows], draw), optimiser, recipe.clip)
        failures = 0 if stepped else failures + 1
        if failures >= FAILURES:
            model.load_state_dict(best.model.state_dict())
            optimiser, failures, rate = torch.optim.Adam(model.parameters()), 0, rate / 2
        last = budget.spent - begun
        if best.due:
            best.look(model)
        if track.due:
            track(density(best.model))
    best.look(model)
    return density(best.model)


def _fall(schedule: str, share: float) -> float:
    """The rate beside that of the start, after a part of the budget."""
    return 0.5 * (1 + math.cos(math.pi * share)) if schedule == "cosine" else 1.0


def _step(model: nn.Module, loss: Tensor, optimiser: torch.optim.Optimizer, clip: float) -> bool:
    """One step of the optimiser; none, and false, where the loss is not finite."""
    optimiser.zero_grad()
    if not torch.isfinite(loss):
        return False
    loss.backward()
    if math.isfinite(clip):
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimiser.step()
    return True


class _Best:
    """The model of the smallest validation NLL so far, and what a validation costs."""

    def __init__(
        self, model: nn.Module, density: Callable[[nn.Module], LogDensity], rows: Tensor, budget: Budget
    ) -> None:
        self.model, self.density, self.rows, self.budget = copy.deepcopy(model), density, rows, budget
        self.nll, self.next = math.inf, 0.0
        #: CPU seconds of the last one
        self.cost = 0.0

    @property
    def due(self) -> bool:
        return self.budget.spent >= self.next

    def look(self, model: nn.Module) -> None:
        """Validate a model and keep a copy if it is the best."""
        start = self.budget.spent
        value = -float(log_densities(self.density(model), self.rows).mean())
        if value < self.nll:
            self.model, self.nll = copy.deepcopy(model), value
        now = self.budget.spent
        self.cost = now - start
        self.next = now + max(self.budget.seconds / VALIDATIONS, self.cost / VALIDATION_SHARE)
