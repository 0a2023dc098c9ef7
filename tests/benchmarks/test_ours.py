"""Our own chain as a method of the benchmark: it learns and tells the exact error of its steps."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import preparation as kept
from benchmarks.budget import Budget
from benchmarks.evaluate import Track, figure
from benchmarks.methods import gaussian, ours
from benchmarks.preparation import Chosen, kept_choice
from benchmarks.presets import PRESET, SMALL, group_of, settings_of
from benchmarks.problem import Problem
from benchmarks.problems import law_problem, table_problem
from benchmarks.run import run_method
from benchmarks.sets import GROUPS
from benchmarks.settings import SETTINGS
from jko.config import Config, parse_config
from jko.laws.densities import eight_gaussians
from jko.preparation.auto_choices import Choice
from jko.preparation.table import Table

TINY: dict[str, Any] = {
    "network": {"hidden": [32, 32], "fourier": 8},
    "training": {"batch_size": 128, "validation_rows": 100},
    "solver": {"steps": 2},
}


@pytest.fixture(scope="module")
def problem() -> Problem:
    return law_problem("eight_gaussians", "plane", eight_gaussians(), 0, rows=(2000, 200, 500))


@pytest.mark.parametrize("variant", ["default", pytest.param("plain_jko", marks=pytest.mark.slow)])
def test_the_chain_beats_one_gaussian_and_tells_the_exact_error_of_every_step(
    problem: Problem, variant: str
) -> None:
    budget = Budget(5.0)
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
    rows = np.round(np.random.default_rng(0).gamma(2.0, 4.0, size=(200, 3)))
    table = Table("counts", rows, ("a", "b", "c"))
    chosen = Chosen("marginals", 16, seconds=3.0)
    peer, own = (table_problem("counts", table, 0, start=word, chosen=chosen) for word in ("on", None))
    for problem in (peer, own):
        assert len(problem.own_rows) == 160
        assert len(problem.train) == 16 * 160
        assert problem.group == "small table"
    assert peer.start is None
    assert own.start is not None
    raw = peer.train.double().numpy() * peer.scale + peer.shift
    assert peer.grid is not None
    assert list(peer.grid) == [1.0, 1.0, 1.0]
    assert len(np.unique(raw.reshape(16, 160, 3)[:, 0, 0])) == 16
    # the same rows, behind the map
    assert own.mapped(raw)[0].numpy() == pytest.approx(own.train.numpy(), abs=1e-2)


def test_what_the_preset_leaves_open_is_settled_once_and_charged_to_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    table = Table("normal", np.random.default_rng(0).standard_normal((60, 2)), ("a", "b"))

    def quick(table: Table, config: Config) -> Choice:
        calls.append(config.data.left_open)
        values = config.model_dump(mode="json")
        values["data"] |= {"standardise": "whiten"}
        values["data"]["augment"]["copies"] = 2
        return Choice(parse_config(values), ("by trials",))

    monkeypatch.setattr(kept, "choose", quick)
    first = kept_choice(table, 0, {"file": None}, tmp_path / "choice.json")
    assert kept_choice(table, 0, {"file": None}, tmp_path / "choice.json") == first
    assert len(calls) == 1
    assert calls[0]
    kept_choice(table, 0, {"file": "another"}, tmp_path / "choice.json")
    assert len(calls) == 2
    assert (first.standardise, first.copies, first.notes) == ("whiten", 2, ("by trials",))
    made = [table_problem("normal", table, 0, start="same", chosen=one) for one in (first, Chosen("on", 1))]
    assert [len(problem.train) for problem in made] == [96, 48]
    assert [problem.start.kind for problem in made if problem.start] == ["whiten", "marginals"]
    outcome = run_method(replace(made[0], choice_s=100.0), "gaussian", "default", 0, 5)
    assert outcome.core_s < 50
    assert Budget(5.0, charged=1.5).spent >= 1.5
