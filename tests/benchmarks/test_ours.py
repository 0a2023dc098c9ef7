"""Our own chain as a method of the benchmark: it learns and tells the exact error of its steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from benchmarks.budget import Budget
from benchmarks.evaluate import Track, figure
from benchmarks.methods import gaussian, ours
from benchmarks.presets import PRESET, SMALL, group_of, settings_of
from benchmarks.problems import Problem, law_problem, load_problem, preparation
from benchmarks.sets import GROUPS
from benchmarks.settings import SETTINGS
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
    assert len(steps) == len(settings_of("plane", {}, 0).step_sizes)
    for step in steps:
        assert math.isfinite(step["epsilon_squared"]["value"])
        assert (step["before_polish"] is None) == (variant == "plain_jko")


def test_the_plain_variant_has_no_flow_matching_start() -> None:
    for group in PRESET:
        plain = settings_of(group, {"variant": "plain_jko"}, 0)
        usual = settings_of(group, {}, 0)
        blocks = range(1, len(plain.step_sizes) + 1)
        assert all(plain.training_of(k).flow_matching_iterations == 0 for k in blocks)
        assert any(usual.training_of(k).flow_matching_iterations for k in blocks)


@pytest.mark.parametrize("group", GROUPS)
def test_every_setting_that_is_tried_changes_the_preset_of_every_group(group: str) -> None:
    made = [settings_of(group, setting, 0).model_dump_json() for setting in SETTINGS["ours"].values()]
    assert len(set(made)) == len(made) == 4


def test_tables_of_few_rows_are_a_group_of_their_own() -> None:
    assert [group_of("table", SMALL - 1), group_of("table", SMALL), group_of("plane", 100)] == [
        "small table", "table", "plane",
    ]  # fmt: skip


def test_every_method_gets_the_copies_that_ours_gets_each_with_noise_of_its_own() -> None:
    problem = load_problem("digits", 0)
    copies = preparation("small table", 0, None).data.augment.copies
    own = len(problem.own_rows)
    assert own == 1437
    assert len(problem.train) == copies * own
    assert problem.group == "small table"
    assert problem.grid is not None
    # pixels of the corner that are 0 in all rows but few: the copies spread over the whole step
    raw = problem.train[:, 0].double().numpy() * problem.scale[0] + problem.shift[0]
    spread = raw.reshape(copies, own)
    assert np.ptp(spread[:, 0]) > 0.5
    assert len(np.unique(spread[:, 0])) == copies
