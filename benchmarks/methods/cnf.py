"""Continuous normalizing flow of the library zuko: an adaptive solver, trained end to end (FFJORD's kind)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import zuko
from torch import Tensor, nn

from benchmarks.budget import Budget
from benchmarks.evaluate import LogDensity, Track
from benchmarks.methods.training import Recipe, train
from benchmarks.problem import Problem
from jko.core.seeds import counter_seed

#: tolerances of the library, with which every model is judged
ATOL, RTOL = 1e-6, 1e-5


def fit(problem: Problem, budget: Budget, setting: Mapping[str, Any], seed: int, track: Track) -> LogDensity:
    """Train by maximum likelihood with the exact divergence.

    Args:
        problem: the set.
        budget: CPU seconds to spend.
        setting: ``hidden``, ``atol`` and ``rtol`` of the solver while training, and the recipe's.
        seed: of the weights and the batches.
        track: called with the best model so far.
    """
    torch.manual_seed(counter_seed(seed, "cnf"))  # the library draws its weights from torch's own generator
    flow = zuko.flows.CNF(problem.dim, hidden_features=list(setting["hidden"]))
    ode = flow.transform
    loose = setting.get("atol", ATOL), setting.get("rtol", RTOL)

    def loss(rows: Tensor, draw: torch.Generator) -> Tensor:
        ode.atol, ode.rtol = loose
        return -flow().log_prob(rows).mean()

    def density(model: nn.Module) -> LogDensity:
        judged: Any = model  # the type checker may not know the library

        def log_prob(rows: Tensor) -> Tensor:
            judged.transform.atol, judged.transform.rtol = ATOL, RTOL
            values: Tensor = judged().log_prob(rows)
            return values

        return log_prob

    recipe = Recipe.of(setting)
    return train(
        flow, loss, density, problem, budget, recipe=recipe, seed=seed, track=track, validation_rows=2000
    )
