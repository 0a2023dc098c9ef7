"""Our own chain as a method of the benchmark: it learns and tells the exact error of its steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.budget import Budget
from benchmarks.evaluate import Track, figure
from benchmarks.methods import gaussian, ours
from benchmarks.problems import Problem, law_problem
from jko.config import parse_config
from jko.densities import eight_gaussians

TINY: dict[str, Any] = {
    "network": {"hidden": [32, 32], "fourier": 8},
    "training": {"batch_size": 128, "validation_rows": 100},
    "solver": {"steps": 2},
}


@pytest.fixture(scope="module")
def problem() -> Problem:
    return law_problem("eight_gaussians", "plane", eight_gaussians(), 0, rows=(2000, 200, 500))


@pytest.mark.parametrize("variant", ["default", "plain_jko"])
def test_the_chain_beats_one_gaussian_and_tells_the_exact_error_of_every_step(
    problem: Problem, variant: str
) -> None:
    budget = Budget(8.0)
    track = Track(problem, budget)
    density = ours.fit(problem, budget, {"variant": variant, **TINY}, 0, track)
    other = gaussian.fit(problem, Budget(4.0), {}, 0, Track(problem, Budget(4.0)))
    assert figure(problem, density).value < figure(problem, other).value
    steps = track.notes["steps"]
    assert len(steps) == len(ours.settings_of("plane", {}, 0).step_sizes)
    for step in steps:
        assert math.isfinite(step["epsilon_squared"]["value"])
        assert (step["before_polish"] is None) == (variant == "plain_jko")


def test_the_plain_variant_has_no_flow_matching_start() -> None:
    for kind in ours.PRESET:
        plain = ours.settings_of(kind, {"variant": "plain_jko"}, 0)
        assert all(
            plain.training_of(k).flow_matching_iterations == 0 for k in range(1, len(plain.step_sizes) + 1)
        )
        assert any(
            ours.settings_of(kind, {}, 0).training_of(k).flow_matching_iterations
            for k in range(1, len(plain.step_sizes) + 1)
        )


def test_tables_of_few_rows_are_a_kind_of_their_own(problem: Problem) -> None:
    def kind(kind: str, rows: int) -> str:
        return ours.kind_of(Problem("x", kind, torch.zeros(rows, 2), *[torch.zeros(1, 2)] * 2, *[None] * 2))  # type: ignore[arg-type]

    assert [kind("table", 100), kind("table", ours.SMALL), kind("plane", 100)] == [
        "small table", "table", "plane",
    ]  # fmt: skip


def test_rows_are_joined_by_copies_only_where_they_are_few() -> None:
    config = ours.settings_of("small table", {}, 0)
    draw = np.random.default_rng(0)
    values = np.stack([draw.integers(5, size=50) * 2.0, draw.standard_normal(50)], axis=1)
    grid, shift, scale = np.array([2.0, 0.0]), np.array([4.0, 0.0]), np.array([3.0, 1.0])
    noisy = values + (draw.random((50, 2)) - 0.5) * grid
    few = Problem(
        "x", "table", torch.from_numpy(((noisy - shift) / scale).astype(np.float32)),
        torch.zeros(1, 2), torch.zeros(1, 2), shift, scale, grid=grid,
    )  # fmt: skip
    more = ours.augmented(few, config)
    assert len(more) == 50 * config.data.augment.copies
    assert torch.equal(more[:50], few.train)
    assert torch.equal(more, ours.augmented(few, config))
    assert ours.augmented(few, ours.settings_of("table", {}, 0)) is few.train
    # the copies' noise is their own: at width 0 they spread over the whole step around the grid's values
    still = parse_config({"data": {"source": "digits", "augment": {"copies": 400, "width": 0.0}}})
    first = ours.augmented(few, still)[::50, 0] * 3 + 4 - values[0, 0]
    assert float(first.abs().max()) == pytest.approx(1.0, abs=0.05)
