"""The project's own chain, by the presets that users get: one a kind of data, none a set."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.budget import Budget
from benchmarks.evaluate import LogDensity, Track
from benchmarks.methods.pace import Pace, Spent
from benchmarks.presets import settings_of
from benchmarks.problem import Problem
from jko.chain.chain import Chain, push_in_batches
from jko.chain.defence import Defence, broad_law
from jko.config import TABLE_SHARE
from jko.core.seeds import generator
from jko.laws.score import Score, mean_square, score_after
from jko.maps.ode_block import Block
from jko.measure.residual import residual_data
from jko.training.block_trainer import fit_block
from jko.training.chain_trainer import first_block

#: steps of RK4 a block with which the chain is judged
FINE = 8
BATCH = 8192
#: held-out rows on which the exact ε of a step is measured
EPSILON_ROWS = 1000


def fit(problem: Problem, budget: Budget, setting: Mapping[str, Any], seed: int, track: Track) -> LogDensity:
    """Train block by block, each on the rows that the one before it pushed, until the budget is spent.

    Args:
        problem: the set.
        budget: CPU seconds to spend, turned into iterations anew before every part (see :class:`Pace`).
        setting: ``variant``: ``default`` or ``plain_jko``; ``groups``: changes by group of sets; other keys
            change the preset's settings.
        seed: of everything that is drawn.
        track: called with the chain as far as it is trained.
    """
    config = settings_of(problem.group, setting, seed)
    train, validation = problem.train, problem.validation
    pace = Pace(config, train, validation, budget)
    blocks: list[Block] = []
    defence = defence_of(problem)
    law = None if problem.score is None else _Law(problem.validation[:EPSILON_ROWS], problem.score)
    for k in range(1, len(config.step_sizes) + 1):
        block = first_block(config, k, problem.dim, previous=blocks[-1] if blocks else None)
        start = _trained(block, train, validation, pace, k)
        if law is not None:
            with budget.uncounted():
                track.note("steps", law.step(block, start))
        blocks.append(block)
        if k < len(config.step_sizes):
            with torch.no_grad():
                train = torch.cat([block.push_forward(rows) for rows in train.split(BATCH)])
            validation = push_in_batches(block, validation, BATCH, generator(seed, k, "push")).x
        track(density_of(blocks, defence))
        if pace.over:
            break
    return density_of(blocks, defence)


def defence_of(problem: Problem) -> Defence | None:
    """The broad part that the model of a table has; its law is in start coordinates."""
    if problem.kind != "table":
        return None
    return Defence(TABLE_SHARE, broad_law(problem.own_rows.numpy(), problem.validation.numpy(), None))


def _trained(block: Block, train: Tensor, validation: Tensor, pace: Pace, k: int) -> Block | None:
    """Train a block in place, one phase after the other.

    Returns:
        The block after the flow-matching start, before the JKO objective polished it, if there was one.
    """
    start = None
    for part in pace.parts_of(k):
        plan = pace.begin(part)
        if plan is None:
            continue
        rows = validation[: plan.validation_rows]
        seed = pace.config.seed
        try:
            fit_block(block, train, rows, plan, seed=seed, index=k, on_iteration=pace.look)
        except Spent:
            # as far as it came, unless the identity is better on the validation rows
            idle = plan.model_copy(update={"flow_matching_iterations": 0, "iterations": 0})
            fit_block(block, train, rows, idle, seed=seed, index=k)
        pace.end(part)
        if part.phase == "flow_matching" and pace.config.training_of(k).iterations:
            start = copy.deepcopy(block)
    return start


class _Law:
    """The law that enters a block: held-out particles and its exact score at them.

    Args:
        x: particles of p_0, standardised units, shape (rows, d).
        score: ∇log p_0 in standardised units.
    """

    def __init__(self, x: Tensor, score: Score) -> None:
        self.x, self.slope = x.double(), score(x.double())

    def step(self, block: Block, start: Block | None) -> dict[str, Any]:
        """Exact ε² of a step before and after its polish; the particles go on through the block."""
        before = None if start is None else self._push(start)[2]
        self.x, self.slope, after = self._push(block)
        return {"step_size": block.step_size, "epsilon_squared": after, "before_polish": before}

    def _push(self, block: Block) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Particles after a block, the score there, and ε² with its standard error."""
        exact = copy.deepcopy(block).double()
        with torch.no_grad():
            y = exact.push_forward(self.x)
        slope = score_after([exact], y, lambda _: self.slope)
        error = mean_square(residual_data(self.x, y, block.step_size) + slope)
        return y, slope, {"value": error.value, "se": error.se}


def density_of(blocks: list[Block], defence: Defence | None = None) -> LogDensity:
    """Log-density of the model of these blocks, with a fine solver; further training does not change it."""
    fine = [copy.deepcopy(block) for block in blocks]
    for block in fine:
        block.solver = type(block.solver)("rk4", max(FINE, block.solver.steps), block.solver.probes)
    dim = fine[0].dim
    chain = Chain(fine, torch.zeros(dim), torch.ones(dim), defence=defence)

    def log_density(rows: Tensor) -> Tensor:
        return chain.log_prob(rows)[0]

    return log_density
