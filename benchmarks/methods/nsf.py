"""Neural spline flow of the library zuko, autoregressive (arXiv:1906.04032)."""

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


def fit(problem: Problem, budget: Budget, setting: Mapping[str, Any], seed: int, track: Track) -> LogDensity:
    """Train by maximum likelihood.

    Args:
        problem: the set.
        budget: CPU seconds to spend.
        setting: ``transforms``, ``hidden``, ``bins`` and the recipe's ``rate``, ``batch``, ``schedule``.
        seed: of the weights and the batches.
        track: called with the best model so far.
    """
    torch.manual_seed(counter_seed(seed, "nsf"))  # the library draws its weights from torch's own generator
    flow = zuko.flows.NSF(
        problem.dim,
        transforms=setting["transforms"],
        hidden_features=list(setting["hidden"]),
        bins=setting["bins"],
    )

    def loss(rows: Tensor, draw: torch.Generator) -> Tensor:
        return -flow().log_prob(rows).mean()

    def density(model: nn.Module) -> LogDensity:
        return lambda rows: model().log_prob(rows)

    return train(flow, loss, density, problem, budget, recipe=Recipe.of(setting), seed=seed, track=track)
