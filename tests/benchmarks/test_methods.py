"""Methods on small problems, the clock they run by, and the figures they are judged by."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

from benchmarks.budget import Budget, peak_memory_mb
from benchmarks.evaluate import Track, gap, log_densities, nll
from benchmarks.methods import METHODS, Method, method_of
from benchmarks.plan import BASELINES, PEERS
from benchmarks.problem import Problem
from benchmarks.problems import law_problem, load_problem
from benchmarks.run import run_method
from benchmarks.settings import SETTINGS, setting_of, settings_of
from jko.core.errors import InputError
from jko.laws.densities import DiagonalGaussian, eight_gaussians


@pytest.fixture(scope="module")
def problem() -> Problem:
    return law_problem("tiny", "plane", eight_gaussians(), 0, rows=(2000, 500, 500))


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_budget_charges_what_is_not_free() -> None:
    budget = Budget(1.0)
    burn(0.03)
    with budget.uncounted():
        burn(0.1)
    assert 0.03 <= budget.spent < 0.1
    assert budget.free >= 0.1
    assert budget.left == pytest.approx(1 - budget.spent, abs=0.02)
    assert peak_memory_mb() > 10


def test_the_true_density_has_no_gap(problem: Problem) -> None:
    law = eight_gaussians()

    def density(rows: torch.Tensor) -> torch.Tensor:
        x = rows.double().numpy() * problem.scale + problem.shift
        return torch.from_numpy(law.log_prob(x)) + problem.constant

    log_q = log_densities(density, problem.test)
    found = gap(problem, log_q)
    assert found is not None
    assert abs(found.value) < 1e-5
    assert problem.log_density is not None
    assert nll(problem, log_q).value == pytest.approx(-problem.log_density.mean(), abs=1e-5)


def test_a_gaussian_fits_a_gaussian_in_data_units() -> None:
    law = DiagonalGaussian(np.array([1.0, -20.0, 3.0]), np.array([0.1, 5.0, 100.0]))
    rows = law_problem("gaussian", "plane", law, 0, rows=(5000, 500, 2000))
    outcome = run_method(rows, "gaussian", "default", 0, 5)
    assert outcome.gap is not None
    assert abs(outcome.gap.value) < 0.01
    entropy = 1.5 * math.log(2 * math.pi * math.e) + math.log(0.1 * 5 * 100)
    assert abs(outcome.nll.value - entropy) < 4 * outcome.nll.se + 0.01


def test_the_mixture_finds_eight_gaussians_and_beats_one(problem: Problem) -> None:
    mixture, one = (run_method(problem, name, "default", 0, 0.7) for name in ("mixture", "gaussian"))
    assert mixture.gap is not None
    assert one.gap is not None
    assert mixture.gap.value + 4 * mixture.gap.se < one.gap.value
    assert mixture.validation_nll.value < one.validation_nll.value
    assert [seconds for seconds, _ in mixture.curve] == sorted(seconds for seconds, _ in mixture.curve)


def test_one_block_end_to_end_learns(problem: Problem) -> None:
    outcome, one = (run_method(problem, name, "default", 0, 1.5) for name in ("end_to_end", "gaussian"))
    assert outcome.nll.value < one.nll.value
    assert outcome.core_s > 1.2  # the budget is spent, but for the last iteration that would not end in it


def test_the_curve_has_the_points_that_were_due(problem: Problem) -> None:
    budget = Budget(0.3)
    track = Track(problem, budget)
    assert not track.due  # so short a budget has one point, its end
    track = Track(problem, Budget(6.0))
    calls = []

    def density(rows: torch.Tensor) -> torch.Tensor:
        calls.append(len(rows))
        return torch.zeros(len(rows))

    track(density)
    assert not calls
    track.budget.free = -2.0  # as if two seconds were spent
    track(density)
    track(density)
    assert calls == [500]
    assert len(track.curve) == 1


def test_what_is_not_finite_is_null_in_the_record(problem: Problem) -> None:
    outcome = run_method(problem, "gaussian", "default", 0, 5)
    broken = type(outcome)(**{**vars(outcome), "peak_mb": math.nan})
    assert broken.record()["peak_mb"] is None


def test_every_method_has_a_default_and_its_peers_three_more() -> None:
    assert all(settings_of(name) for name in METHODS)
    assert settings_of("nsf_same_start") is settings_of("nsf")
    assert all("default" in settings for settings in SETTINGS.values())
    assert {len(SETTINGS[name]) for name in ("nsf", "cnf", "ot_cfm", "ours")} == {4}
    assert {name for names in PEERS.values() for name in names} | set(BASELINES) == set(METHODS)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: method_of("nope"), "no such method"),
        (lambda: setting_of("nsf", "nope"), "no setting of nsf"),
        (lambda: load_problem("nope", 0), "neither a file nor a set"),
        (lambda: load_problem("nope.csv", 0), "no such file"),
        (lambda: load_problem("rose", 0), "--data FOLDER"),
        (lambda: Method("far", "gaussian", packages=("no-such-package",)).load(), "not installed"),
        (lambda: Method("far", "no_such_module").load(), "is not there"),
    ],
)
def test_bad_input_is_one_sentence(ask: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ask()  # type: ignore[operator]
