"""Trained blocks on the line against the solver: KL drops by quadrature, so that only training differs.

What trains a block matters here more than elsewhere. A KL drop is not stationary at the exact step, as the
objective is: on the heavy tails a fit that misses 1 % of the objective's gain misses 4 % of the KL drop. The
noise of small batches does that (of 512 rows: +1.7, −4.4, −0.9 % for seeds 0, 1, 2), and so do few validation
rows, whose own tails choose the weights (of 4000: −0.7, −7.0, −1.1 %). Tanh saturates in the tails (−5 to
−12 %), silu does not.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats

from jko.config.sections import Training
from jko.core.seeds import generator
from jko.laws.line import LineStep, solve_step
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField
from jko.training.block_trainer import fit_block

Array = np.ndarray
#: the bar: KL drop of a trained block against the exact step's
CLOSE = 0.02
#: standard deviation of Student's t with 5 degrees of freedom
STUDENT = math.sqrt(5 / 3)


@dataclass(frozen=True)
class Case:
    """A law with its density, a grid that holds it, samples, and what trains a block on it."""

    density: Callable[[Array], Array]
    grid: Array
    sample: Callable[[np.random.Generator, int], Array]
    training: Training


def settings(**changes: float) -> Training:
    return Training(learning_rate=0.01, validate_every=100, validation_rows=40_000).model_copy(update=changes)


CASES = {
    # the flow-matching start opens the valley, which the JKO objective alone is slow to do
    "bimodal": Case(
        lambda x: 0.5 * stats.norm.pdf(x, -2, 0.5) + 0.5 * stats.norm.pdf(x, 2, 0.5),
        np.linspace(-6, 6, 4001),
        lambda draw, n: draw.choice([-2.0, 2.0], n) + 0.5 * draw.standard_normal(n),
        settings(flow_matching_iterations=400, flow_matching_learning_rate=0.01, iterations=200,
                 batch_size=1024),
    ),
    # a KL drop of 0.04 nats, most of it in tails that OU noise hides: the JKO objective alone, large batches
    "student": Case(
        lambda x: STUDENT * stats.t.pdf(STUDENT * x, 5),
        np.sinh(np.linspace(-6, 6, 4001)),
        lambda draw, n: draw.standard_t(5, n) / STUDENT,
        settings(flow_matching_iterations=0, iterations=300, learning_rate=0.02, batch_size=2048,
                 solver_steps=2),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Map:
    """An increasing map of the line on a grid, with the KL drop and objective of a law under it."""

    grid: Array
    values: Array
    log_slope: Array
    mass: Array
    step_size: float

    @property
    def kl_drop(self) -> float:
        """E V(x) − E V(T) + E log T′, nats."""
        return float(self.mass @ (self.grid**2 / 2 - self.values**2 / 2 + self.log_slope))

    @property
    def objective(self) -> float:
        """E[V(T) − log T′ + (T − x)²/(2γ)], nats."""
        moved = (self.values - self.grid) ** 2 / (2 * self.step_size)
        return float(self.mass @ (self.values**2 / 2 - self.log_slope + moved))


def map_of(block: Block, x: Array, p: Array) -> Map:
    """A block on a grid of its law, in float64; its slope by differences, as the solver takes it."""
    mass = p * np.gradient(x)
    own = copy.deepcopy(block).double()
    with torch.no_grad():
        values = own.push_forward(torch.from_numpy(x)[:, None])[:, 0].numpy()
    return Map(x, values, np.log(np.gradient(values, x)), mass / mass.sum(), block.step_size)


def particles(case: Case, seed: int) -> torch.Tensor:
    rows = case.sample(np.random.default_rng(seed), 240_000)
    return torch.from_numpy(rows)[:, None].float()


def trained(case: Case, rows: torch.Tensor, step_size: float, *, seed: int, start: Block | None = None,
            training: Training | None = None) -> Block:  # fmt: skip
    k = 1 if start is None else 2
    field = VelocityField(1, (32, 32), generator=generator(seed, k, "init"))
    block = Block(field, step_size, Solver(steps=4))
    if start is not None:
        block.load_state_dict(start.state_dict())
    fit_block(block, rows[:200_000], rows[200_000:], training or case.training, seed=seed, index=k)
    return block


#: of the blocks that are trained in ``make test``
SEED = 1


@cache
def first_block(law: str, seed: int) -> Block:
    """A block that is trained on a law; not to be changed."""
    case = CASES[law]
    return trained(case, particles(case, seed), 0.5, seed=seed)


def agree(found: Map, exact: LineStep) -> None:
    """The bar; and what no map can beat, up to quadrature."""
    assert found.kl_drop == pytest.approx(exact.kl_drop, rel=CLOSE)
    gained = float(found.mass @ found.grid**2) / 2 - exact.objective
    assert -1e-4 * gained < found.objective - exact.objective < CLOSE * gained


@pytest.mark.parametrize(
    ("seed", "law"),
    [
        pytest.param(seed, law, marks=() if (seed, law) == (SEED, "bimodal") else pytest.mark.slow)
        for seed in (0, 1, 2)
        for law in CASES
    ],
)
def test_a_trained_block_has_the_kl_drop_of_the_exact_step(seed: int, law: str) -> None:
    case, step_size = CASES[law], 0.5
    x, p = case.grid, case.density(case.grid)
    agree(map_of(first_block(law, seed), x, p), solve_step(x, p, step_size))


@pytest.mark.parametrize("law", ["bimodal", pytest.param("student", marks=pytest.mark.slow)])
def test_a_tenth_of_the_training_misses_the_bar(law: str) -> None:
    """The bar can be missed, and the exact step's objective cannot be beaten."""
    case = CASES[law]
    x, p = case.grid, case.density(case.grid)
    few = case.training.model_copy(update={
        "flow_matching_iterations": case.training.flow_matching_iterations // 10,
        "iterations": case.training.iterations // 10,
    })  # fmt: skip
    exact = solve_step(x, p, 0.5)
    found = map_of(trained(case, particles(case, 0), 0.5, seed=0, training=few), x, p)
    assert abs(found.kl_drop / exact.kl_drop - 1) > CLOSE
    assert found.objective > exact.objective


@pytest.mark.slow
def test_two_trained_steps_follow_the_exact_chain() -> None:
    """The second block against the exact step of the law that the first left, and both against both.

    Seeds 0, 1, 2 give −1.9, −0.6, −0.5 % there: the exact step also smooths the ripples that the first block
    left, which a network of its size cannot. Both together are off by −0.4, −0.1, −0.05 %.
    """
    case = CASES["bimodal"]
    x, p = case.grid, case.density(case.grid)
    first = first_block("bimodal", SEED)
    with torch.no_grad():
        pushed = first.push_forward(particles(case, SEED))
    second = trained(case, pushed, 1.0, seed=SEED, start=first)
    one = map_of(first, x, p)
    after = p / np.exp(one.log_slope)
    two = map_of(second, one.values, after)
    agree(two, solve_step(one.values, after, 1.0))
    exact = solve_step(x, p, 0.5)
    both = exact.kl_drop + solve_step(exact.map, exact.pushed, 1.0).kl_drop
    assert one.kl_drop + two.kl_drop == pytest.approx(both, rel=CLOSE)


@pytest.mark.parametrize("law", CASES)
def test_the_quadrature_agrees_with_the_solver_at_its_own_map(law: str) -> None:
    """The two quadratures alone differ by less than a tenth of the bar."""
    case = CASES[law]
    x, p = case.grid, case.density(case.grid)
    exact = solve_step(x, p, 0.5)
    mass = p * np.gradient(x)
    found = Map(x, exact.map, np.log(np.gradient(exact.map, x)), mass / mass.sum(), 0.5)
    assert found.kl_drop == pytest.approx(exact.kl_drop, rel=CLOSE / 10)
    assert found.objective == pytest.approx(exact.objective, rel=CLOSE / 10)
