"""One block of ours trained end to end: the same network and solver, without steps or transport term."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.budget import Budget
from benchmarks.evaluate import LogDensity, Track
from benchmarks.methods.training import Recipe, train
from benchmarks.problem import Problem
from jko.chain.chain import reference_log_prob
from jko.core.seeds import generator
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField

#: steps of RK4 with which every model is judged
FINE = 24


def fit(problem: Problem, budget: Budget, setting: Mapping[str, Any], seed: int, track: Track) -> LogDensity:
    r"""Train one block by maximum likelihood, :math:`\max E[\log N(Tx) + \log|\det \nabla T(x)|]`.

    Args:
        problem: the set.
        budget: CPU seconds to spend.
        setting: ``hidden``, ``steps`` of RK4 while training, and the recipe's.
        seed: of the weights and the batches.
        track: called with the best model so far.
    """
    field = VelocityField(problem.dim, setting["hidden"], generator=generator(seed, "end_to_end"))
    block = Block(field, step_size=math.inf, solver=Solver(steps=setting["steps"]))

    def loss(rows: Tensor, draw: torch.Generator) -> Tensor:
        return -_log_density(block, rows).mean()

    def density(model: nn.Module) -> LogDensity:
        assert isinstance(model, Block)  # a copy of the one above
        fine = Block(model.field, step_size=math.inf, solver=Solver(steps=FINE))
        return lambda rows: _log_density(fine, rows)

    recipe = Recipe.of(setting)
    return train(block, loss, density, problem, budget, recipe=recipe, seed=seed, track=track)


def _log_density(block: Block, rows: Tensor) -> Tensor:
    pushed = block(rows)
    return reference_log_prob(pushed.x) + pushed.log_det
