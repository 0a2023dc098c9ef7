"""A time budget turned into iterations, before training begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.build import new_block
from jko.chain.chain import push_in_batches
from jko.config import Config
from jko.config.sections import Training
from jko.core.errors import InputError
from jko.core.seeds import generator
from jko.energies.objective import jko_objective
from jko.maps.invertible import InvertibleBlock
from jko.training.block_trainer import flow_matching_loss

#: pushed and validated rows on which the cost of one is timed
TIMED_ROWS = 2048
#: iterations that are timed, after one that is not
TIMED = 3
#: share of the budget that is planned; iterations grow a little dearer while training
PLANNED = 0.93


@dataclass(frozen=True)
class Cost:
    """Seconds of the parts of one block.

    Args:
        flow_matching: of one iteration of the flow-matching start.
        jko: of one iteration of the JKO objective.
        validation: of one validation.
        push: of pushing all rows through the block.
    """

    flow_matching: float
    jko: float
    validation: float
    push: float

    def variable(self, settings: Training) -> float:
        """Seconds of all iterations."""
        return (
            settings.flow_matching_iterations * self.flow_matching + settings.iterations * self.jko
        )  # fmt: skip

    def fixed(self, settings: Training) -> float:
        """Seconds that stay when iterations and ``validate_every`` grow alike."""
        phases = (settings.flow_matching_iterations, settings.iterations)
        validations = 2 + sum(-(-count // settings.validate_every) for count in phases)
        return self.push + validations * self.validation


def within(
    config: Config,
    train: Tensor,
    validation: Tensor,
    seconds: float,
    *,
    clock: Callable[[], float] = time.process_time,
) -> Config:
    """The settings with all iterations multiplied by one factor, so that training takes so many seconds.

    The proportions of the blocks and of their phases are kept, and so is the number of validations.
    A few iterations of block 1 are timed; its network stands for all.

    Args:
        config: settings, whose iterations say how the time is divided.
        train: training rows, shape (rows, d), standardised units.
        validation: held-out rows, shape (rows, d), standardised units.
        seconds: what training and pushing may take, by ``clock``.
        clock: CPU seconds of the process by default.

    Raises:
        InputError: so little time that no iteration would be left.
    """
    begun = clock()
    plans = [config.training_of(k) for k in range(1, len(config.step_sizes) + 1)]
    costs = {plan: cost_of(config, plan, train, validation, clock) for plan in dict.fromkeys(plans)}
    fixed = sum(costs[plan].fixed(plan) for plan in plans)
    variable = sum(costs[plan].variable(plan) for plan in plans)
    left = PLANNED * (seconds - (clock() - begun)) - fixed
    if left <= 0 or variable <= 0:
        raise InputError(
            f"{seconds:g} s are too few for {len(plans)} blocks: pushing and validating alone take "
            f"{fixed:.0f} s; give more time, fewer blocks or fewer rows"
        )
    return scaled(config, left / variable)


def scaled(config: Config, factor: float) -> Config:
    """The settings with all iterations, and the intervals of validation, multiplied by a factor."""

    def times(value: int, least: int) -> int:
        return max(least, round(factor * value)) if value else 0

    own = {}
    for k in range(1, len(config.step_sizes) + 1):
        plan = config.training_of(k)
        changed = {
            "flow_matching_iterations": times(plan.flow_matching_iterations, 1),
            "iterations": times(plan.iterations, 1),
            "validate_every": times(plan.validate_every, 1),
        }
        own[k] = {**(config.blocks[k].model_dump(exclude_none=True) if k in config.blocks else {}), **changed}
    return Config.model_validate({**config.model_dump(), "blocks": own})


def cost_of(
    config: Config, plan: Training, train: Tensor, validation: Tensor, clock: Callable[[], float]
) -> Cost:
    """Time the parts of one block on a copy that is thrown away."""
    block = new_block(config, 1, train.shape[1])
    coarse = block.with_steps(plan.solver_steps)
    batch = train[: plan.batch_size]
    batch = batch.repeat(-(-plan.batch_size // len(batch)), 1)[: plan.batch_size]
    draw = generator(config.seed, "calibration")
    rows = train[:TIMED_ROWS]
    with torch.no_grad():
        pushing = _timed(lambda: block.push_forward(rows), clock) / len(rows)
        scoring = _timed(lambda: push_in_batches(block, rows, len(rows), draw), clock) / len(rows)
    match = _iteration(block, lambda: flow_matching_loss(block, batch, draw))
    proximal = _iteration(coarse, lambda: jko_objective(coarse, batch, draw).total)
    return Cost(
        flow_matching=_timed(match, clock) if plan.flow_matching_iterations else 0.0,
        jko=_timed(proximal, clock) if plan.iterations else 0.0,
        validation=scoring * min(len(validation), plan.validation_rows),
        push=pushing * len(train) + scoring * len(validation),
    )


def _iteration(block: InvertibleBlock, loss: Callable[[], Tensor]) -> Callable[[], None]:
    optimiser = torch.optim.AdamW(block.parameters(), lr=0.0, fused=True)

    def run() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        optimiser.step()

    return run


def _timed(part: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds of one call."""
    part()
    begun = clock()
    for _ in range(TIMED):
        part()
    return (clock() - begun) / TIMED
