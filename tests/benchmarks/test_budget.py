"""Every method ends within two percent of its budget, by a clock that counts work; training is real."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from sklearn.mixture import GaussianMixture

from benchmarks.budget import Budget
from benchmarks.evaluate import Track
from benchmarks.methods import METHODS, mixture, ours, training
from benchmarks.problem import Problem
from benchmarks.problems import law_problem
from benchmarks.settings import SETTINGS
from jko.laws.densities import eight_gaussians
from tests.benchmarks.clock import WorkClock


@pytest.fixture(scope="module")
def problem() -> Problem:
    return law_problem("tiny", "plane", eight_gaussians(), 0, rows=(2000, 300, 300))


def ratio(method: str, problem: Problem, setting: Mapping[str, Any], seconds: float) -> float:
    """Seconds charged beside those of the budget."""
    fit = METHODS[method].load()
    with WorkClock() as clock:
        budget = Budget(seconds, clock=clock)
        fit(problem, budget, setting, 0, Track(problem, budget))
        return budget.spent / seconds


TINY_CHAIN: Mapping[str, Any] = {
    "variant": "default", "network": {"hidden": [16, 16], "fourier": 4, "fourier_scale": 1.0},
    "training": {"batch_size": 64, "validation_rows": 100}, "solver": {"steps": 1},
}  # fmt: skip


@pytest.mark.parametrize("seconds", [6.0, pytest.param(12.0, marks=pytest.mark.slow)])
def test_our_chain_spends_its_budget_and_no_more(problem: Problem, seconds: float) -> None:
    assert 0.98 <= ratio("ours", problem, TINY_CHAIN, seconds) <= 1.02


@pytest.mark.parametrize(
    ("name", "schedule", "seconds"),
    [
        pytest.param("end_to_end", "constant", 8.0, marks=pytest.mark.slow),
        ("end_to_end", "cosine", 8.0),
        ("nsf", "cosine", 8.0),
        pytest.param("cnf", "cosine", 30.0, marks=pytest.mark.slow),
        pytest.param("ot_cfm", "cosine", 30.0, marks=pytest.mark.slow),
    ],
)
def test_a_peer_spends_its_budget_and_no_more(
    problem: Problem, name: str, schedule: str, seconds: float
) -> None:
    """Also where the rate falls, and validation brings nothing for long."""
    if METHODS[name].missing:
        pytest.skip(f"{', '.join(METHODS[name].missing)} not installed")
    small = {"hidden": (8, 8), "width": 8, "batch": 32, "steps": 2, "schedule": schedule}
    assert 0.98 <= ratio(name, problem, {**SETTINGS[name]["default"], **small}, seconds) <= 1.02


@pytest.mark.parametrize("seconds", [0.1, 0.2, 300.0])
def test_the_mixture_begins_nothing_that_would_end_too_late(
    problem: Problem, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fits are real; their seconds are counted by rows, components and iterations of EM."""
    spent = [0.0]

    class Counted(GaussianMixture):
        def fit(self, X: Any, y: Any = None) -> Any:
            made = super().fit(X)
            spent[0] += 1e-6 * len(X) * self.n_components * made.n_iter_
            return made

    monkeypatch.setattr(mixture, "GaussianMixture", Counted)
    budget = Budget(seconds, clock=lambda: spent[0])
    few = {**SETTINGS["mixture"]["default"], "components": (1, 2, 5, 10, 15)}
    mixture.fit(problem, budget, few, 0, Track(problem, Budget(0.0)))
    assert budget.spent <= 1.02 * seconds
    if seconds < 300:  # what did not fit was left out
        assert budget.spent >= 0.5 * seconds


def test_a_chain_whose_iterations_grow_dearer_is_stopped_at_the_end(problem: Problem) -> None:
    """The machine becomes three times as slow in the middle."""

    class Slower(WorkClock):
        def __call__(self) -> float:
            return self.seconds + 2 * max(0.0, self.seconds - 5.0)

    with Slower() as clock:
        budget = Budget(15.0, clock=clock)
        ours.fit(problem, budget, TINY_CHAIN, 0, Track(problem, budget))
        assert 0.98 <= budget.spent / 15 <= 1.02


def test_the_rate_falls_to_nothing_at_the_end_and_the_best_weights_are_kept(problem: Problem) -> None:
    """A loss that validation cannot follow: weights get worse, and training goes on all the same."""
    model = torch.nn.Linear(2, 2)
    moved = []

    def loss(rows: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
        moved.append(model.weight.detach().clone())
        return model(rows).sum()  # drives the weights away for ever

    def density(held: torch.nn.Module) -> Any:
        return lambda rows: -held(rows).square().sum(1)

    with WorkClock() as clock:
        budget = Budget(3.0, clock=clock)
        recipe = training.Recipe(rate=1e-2, schedule="cosine")
        found = training.train(
            model, loss, density, problem, budget, recipe=recipe, seed=0, track=Track(problem, budget)
        )
    steps = [float((after - before).abs().max()) for before, after in itertools.pairwise(moved)]
    assert len(moved) > 100
    assert steps[-1] < 0.01 * steps[1]
    score = float(found(problem.validation).mean())
    assert score > float(density(model)(problem.validation).mean())


def test_a_loss_that_is_not_finite_goes_back_to_the_best_weights_and_trains_on(problem: Problem) -> None:
    model = torch.nn.Linear(2, 2)
    calls = itertools.count()

    def loss(rows: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
        value = model(rows).square().mean()
        return value * torch.nan if 50 <= next(calls) < 50 + training.FAILURES else value

    with WorkClock() as clock:
        budget = Budget(1.0, clock=clock)
        training.train(
            model, loss, lambda held: lambda rows: -held(rows).square().sum(1), problem, budget,
            recipe=training.Recipe(), seed=0, track=Track(problem, budget),
        )  # fmt: skip
        assert 0.98 <= budget.spent <= 1.02
    assert bool(torch.isfinite(model.weight).all())
