"""The project's own chain, by the presets that users get: one a kind of data, none a set."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.budget import Budget
from benchmarks.evaluate import LogDensity, Track
from benchmarks.problems import Problem
from flows.settings import PRESETS, merged, read_preset
from jko.block import Block
from jko.build import new_block
from jko.calibrate import within
from jko.chain import Chain, push_in_batches
from jko.config import Config, Training, parse_config
from jko.fit import fit_block
from jko.residual import residual_data
from jko.score import Score, mean_square, score_after
from jko.seeds import counter_seed, generator
from jko.smoothing import manifold_parzen

#: preset of each kind of data
PRESET = {"picture": "rose", "plane": "moons", "table": "tabular", "small table": "digits"}
#: a table of fewer training rows is a small one
SMALL = 5000
#: the JKO objective alone, without the flow-matching start
PLAIN = {"flow_matching_iterations": 0}
#: steps of RK4 a block with which the chain is judged
FINE = 8
BATCH = 8192
#: held-out rows on which the exact ε of a step is measured
EPSILON_ROWS = 1000


def identity(kind: str) -> dict[str, str]:
    """The presets of a kind of set as text: all that the figures depend on beside the numerics."""
    names = [name for own, name in PRESET.items() if own.endswith(kind)]
    return {name: (PRESETS / f"{name}.yaml").read_text() for name in names}


def fit(problem: Problem, budget: Budget, setting: Mapping[str, Any], seed: int, track: Track) -> LogDensity:
    """Train block by block, each on the rows that the one before it pushed.

    Args:
        problem: the set.
        budget: CPU seconds to spend, turned into iterations beforehand.
        setting: ``variant``: ``default`` or ``plain_jko``; other keys change the preset's settings.
        seed: of everything that is drawn.
        track: called with the chain as far as it is trained.
    """
    config = settings_of(kind_of(problem), setting, seed)
    train, validation = augmented(problem, config), problem.validation
    config = within(config, train, validation, budget.left)
    blocks: list[Block] = []
    law = None if problem.score is None else _Law(problem.validation[:EPSILON_ROWS], problem.score)
    for k in range(1, len(config.step_sizes) + 1):
        block = new_block(config, k, problem.dim)
        plan = config.training_of(k)
        if config.starts_warm(k):
            block.load_state_dict(blocks[-1].state_dict())
        polished = _Polish(block, plan)
        fit_block(
            block, train, validation[: plan.validation_rows], plan,
            seed=seed, index=k, on_iteration=polished.look,
        )  # fmt: skip
        if law is not None:
            with budget.uncounted():
                track.note("steps", law.step(block, polished.start))
        blocks.append(block)
        if k < len(config.step_sizes):
            with torch.no_grad():
                train = torch.cat([block.push_forward(rows) for rows in train.split(BATCH)])
            validation = push_in_batches(block, validation, BATCH, generator(seed, k, "push")).x
        track(density_of(blocks))
    return density_of(blocks)


def augmented(problem: Problem, config: Config) -> Tensor:
    """The training rows with smoothed copies, where the settings want them.

    As in the preparation of a chain, copies of gridded columns start from the values on the grid (multiples
    of its step) and get noise of their own.
    """
    rows, augment = problem.train, config.data.augment
    more = augment.copies_of(len(rows)) - 1
    if not more:
        return rows
    draw = np.random.default_rng(counter_seed(config.seed, "augment"))
    grid = np.zeros(problem.dim) if problem.grid is None else problem.grid
    raw = rows.double().numpy() * problem.scale + problem.shift
    step = np.where(grid > 0, grid, 1.0)
    centres = np.where(grid > 0, np.rint(raw / step) * step, raw)
    moved = manifold_parzen(centres, more, width=augment.width, neighbours=augment.neighbours, rng=draw)
    moved += (draw.random(moved.shape) - 0.5) * grid
    standard = (moved - problem.shift) / problem.scale
    return torch.cat([rows, torch.from_numpy(standard.astype(np.float32))])


class _Polish:
    """Keeps the block as the flow-matching start left it, before the JKO objective polishes it.

    Args:
        block: in training.
        plan: its settings.
    """

    def __init__(self, block: Block, plan: Training) -> None:
        self.block, self.last = block, plan.flow_matching_iterations if plan.iterations else -1
        self.start: Block | None = None

    def look(self, iteration: int) -> None:
        """Called after every iteration of both phases."""
        if iteration == self.last:
            self.start = copy.deepcopy(self.block)


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


def kind_of(problem: Problem) -> str:
    """The kind of data, a key of :data:`PRESET`; tables of few rows are a kind of their own."""
    return "small table" if problem.kind == "table" and len(problem.train) < SMALL else problem.kind


def settings_of(kind: str, setting: Mapping[str, Any], seed: int) -> Config:
    """The preset's settings for a kind of data, as the variant changes them."""
    values = read_preset(PRESET[kind])
    values = merged(values, {key: value for key, value in setting.items() if key != "variant"})
    if setting.get("variant") == "plain_jko":
        values = merged(values, {"training": PLAIN})
        values["blocks"] = {
            k: {**own, **PLAIN} for k, own in values.get("blocks", {}).items()
        }  # fmt: skip
    return parse_config({**values, "seed": seed})


def density_of(blocks: list[Block]) -> LogDensity:
    """Log-density of the chain of these blocks, with a fine solver; further training does not change it."""
    fine = [copy.deepcopy(block) for block in blocks]
    for block in fine:
        block.solver = type(block.solver)("rk4", max(FINE, block.solver.steps), block.solver.probes)
    dim = fine[0].dim
    chain = Chain(fine, torch.zeros(dim), torch.ones(dim))

    def log_density(rows: Tensor) -> Tensor:
        return chain.log_prob(rows)[0]

    return log_density
