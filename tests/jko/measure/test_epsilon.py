"""Which critics held-out rows can carry: the truth within the error bars, or no figure and a reason."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from jko.core.errors import InputError
from jko.laws import gaussian
from jko.laws.manufactured import GaussianMixture, inexact, manufactured_step
from jko.measure.measures import measure_epsilon
from jko.measure.residual import LinearCritic, residual_data
from tests.oracles import normal, stream


@pytest.mark.parametrize(("rows", "dim", "centres"), [(400, 30, 0), (400, 10, 0), (100, 2, 0), (400, 2, 8)])
def test_few_rows_of_the_reference_show_no_error(rows: int, dim: int, centres: int) -> None:
    """On rows that the normaliser was fitted on, 400 rows in 30 dimensions would show .17 on average."""
    repeats = 40
    found = [
        LinearCritic(y, centres=centres).estimate(y)
        for y in (normal(rows, dim, seed=seed) for seed in range(repeats))
    ]
    values, errors = (np.array([getattr(one, name) for one in found]) for name in ("value", "se"))
    assert abs(values.mean()) < 3 * values.std(ddof=1) / math.sqrt(repeats)
    assert np.mean(np.abs(values) < 2 * errors) >= 0.9
    assert 0.5 < values.std(ddof=1) / errors.mean() < 1.3


@pytest.mark.slow
def test_the_most_dimensions_and_the_fewest_rows() -> None:
    """64 dimensions and 1950 rows, the fewest that carry an affine critic: an exact, a known step."""
    found = [measure_epsilon(y, y, 1.0, 60)[0] for y in (normal(1950, 64, seed=seed) for seed in range(6))]
    values = np.array([one.value for one in found])
    assert abs(values.mean()) < 3 * np.mean([one.se for one in found]) / math.sqrt(len(found))
    y = 1.1 * normal(1950, 64, seed=9)
    wide = measure_epsilon(y, y, 1.0, 60)[1]
    assert abs(wide.value - 64 * (1.1 - 1 / 1.1) ** 2) < 3 * wide.se


@pytest.mark.parametrize(("rows", "dim"), [(180, 64), (400, 64), (400, 30), (59, 1)])
def test_too_few_rows_give_no_figure_but_a_reason(rows: int, dim: int) -> None:
    y = normal(rows, dim, seed=0)
    for found in measure_epsilon(y, y, 1.0, 60):
        assert math.isnan(found.value)
        assert math.isnan(found.se)
        assert math.isnan(found.epsilon)
        assert found.reason == (
            f"too few held-out rows for a critic in dimension {dim}: {rows}, and {30 * (dim + 1)} are needed"
        )


@pytest.mark.parametrize(
    ("rows", "name"),
    [(90, "affine"), (130, "affine + 1 RBF"), (400, "affine + 10 RBF"), (5000, "affine + 30 RBF")],
)
def test_the_class_grows_with_the_rows(rows: int, name: str) -> None:
    y = normal(rows, 2, seed=0)
    assert measure_epsilon(y, y, 1.0, 30)[0].critic == name


def test_no_critic_is_affordable_in_very_many_dimensions() -> None:
    y = torch.zeros(4, 200, dtype=torch.float64)
    assert measure_epsilon(y, y, 1.0, 0)[0].reason == "no critic is affordable in dimension 200"


def test_the_first_rows_are_centres_only() -> None:
    """The law of the centres may be another: what is estimated is of the other rows."""
    y = torch.cat([normal(20, 2, seed=1) * 2, normal(2000, 2, seed=2)])
    found = LinearCritic(y, centres=20).estimate(y)
    assert abs(found.value) < 3 * found.se
    changed = torch.cat([100 * y[:20], y[20:]])
    assert LinearCritic(y, centres=20).estimate(changed) == found


def mixture() -> GaussianMixture:
    means = [[-1.2, 0.3], [1.0, 0.5], [0.2, -1.4]]
    return GaussianMixture.of([0.5, 0.3, 0.2], means, [np.eye(2) * s for s in (0.6, 0.8, 0.7)])


def errors_of(rows: int, matrix: Tensor | None, repeats: int, centres: int) -> tuple[np.ndarray, float]:
    """(ε̂² − ε²)/SE over independent samples of a manufactured step, and the true ε²."""
    scores, true = [], 0.0
    if matrix is not None:
        large = inexact(
            manufactured_step(mixture(), 0.5, 400_000, stream(99)), matrix, torch.zeros(2).double()
        )
        true = float((large.xi**2).sum(1).mean())
    for seed in range(repeats):
        step = manufactured_step(mixture(), 0.5, rows, stream(seed))
        x, y = step.x, step.y
        if matrix is not None:
            moved = inexact(step, matrix, torch.zeros(2).double())
            x, y = moved.x, moved.y
        found = measure_epsilon(x, y, 0.5, centres)[0]
        scores.append((found.value - true) / found.se)
    return np.array(scores), true


@pytest.mark.parametrize("rows", [100, 400, pytest.param(2000, marks=pytest.mark.slow)])
def test_exact_steps_of_a_mixture_have_no_error(rows: int) -> None:
    scores, _ = errors_of(rows, None, 50, 30)
    assert abs(scores.mean()) < 0.5
    assert np.mean(np.abs(scores) <= 2) >= 0.9


@pytest.mark.parametrize("rows", [100, 400, pytest.param(2000, marks=pytest.mark.slow)])
def test_inexact_steps_of_a_mixture_are_never_overrated(rows: int) -> None:
    """The class sees most of ξ, never more than all of it: a lower bound up to its error."""
    matrix = torch.tensor([[1.15, 0.1], [0.1, 0.9]], dtype=torch.float64)
    scores, true = errors_of(rows, matrix, 50, 30)
    assert true > 0.05
    assert scores.mean() < 0.3
    assert np.mean(scores <= 2) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "dim"), [(100, 2), (1000, 2), (4000, 2), (400, 10), (2000, 10), (1000, 30)])
@pytest.mark.parametrize("stretch", [1.0, 1.2])
def test_gaussian_steps_of_every_size(rows: int, dim: int, stretch: float) -> None:
    """50 samples of an exact and an inexact step of N(m, s²): no bias beyond 3 SE of the mean, coverage."""
    gamma, repeats = 0.5, 50 if dim <= 10 else 16
    before = gaussian.Gaussian.of(np.ones(dim), np.linspace(0.8, 1.6, dim))
    best = gaussian.jko_step(before, gamma)
    after = gaussian.Gaussian.of(best.mean, best.std * stretch)
    true, values, errors = gaussian.epsilon_squared(before, after, gamma), [], []
    for seed in range(repeats):
        z = normal(rows, dim, seed=seed)
        x = torch.from_numpy(before.mean) + z * torch.from_numpy(before.std)
        y = torch.from_numpy(after.mean) + z * torch.from_numpy(after.std)
        found = measure_epsilon(x, y, gamma, 30)[0]
        values.append(found.value)
        errors.append(found.se)
    gaps = np.array(values) - true
    assert abs(gaps.mean()) < np.mean(errors)
    assert (
        abs(gaps.mean()) < 4 * gaps.std(ddof=1) / math.sqrt(repeats) + 0.02 * true
    )  # the ridge of the bumps
    assert np.mean(np.abs(gaps) <= 2 * np.array(errors)) >= 0.86


@pytest.mark.parametrize("case", ["constant", "double", "equal", "heavy", "far"])
def test_rows_that_no_critic_can_use_are_said(case: str) -> None:
    y = normal(500, 3, seed=0)
    if case == "constant":
        y[:, 1] = 2.0
    elif case == "double":
        y[:, 1] = y[:, 0]
    elif case == "equal":
        y[:] = 1.0
    elif case == "heavy":
        y = torch.from_numpy(np.random.default_rng(0).standard_t(0.1, (500, 3)))
    else:
        y = 1e200 * y
    found, fisher = measure_epsilon(y, y, 1.0, 10)
    for one in (found, fisher):
        assert math.isnan(one.value) == bool(one.reason)
        assert math.isfinite(one.se) or one.reason
    if case in ("constant", "equal", "far"):
        assert "held-out particles" in found.reason or "range of numbers" in found.reason


def test_the_critic_alone_refuses_fewer_rows_than_features() -> None:
    with pytest.raises(InputError, match="10 rows are too few for a critic with 9 features"):
        LinearCritic(normal(10, 8, seed=0))


def test_the_table_of_a_step_by_pairs_in_the_open() -> None:
    """The estimate is the mean of c_i' G⁻¹ c_j over pairs, G from the rows of neither one's group."""
    y = normal(45, 1, seed=3) * 1.4
    features = torch.cat([torch.ones(45, 1).double(), (y - y.mean()) / y.std()], 1)
    terms = features * y - torch.tensor([[0.0, float(1 / y.std())]], dtype=torch.float64)
    total = 0.0
    ridge = 1e-10 * float((features**2).sum() / 45 / 2)
    for i in range(45):
        for j in range(45):
            if i == j:
                continue
            rest = features[[k for k in range(45) if k % 10 not in (i % 10, j % 10)]]
            m = len(rest)
            gram = (rest.T @ rest / m + ridge * torch.eye(2).double()) * m / (m - 3)
            total += float(terms[i] @ torch.linalg.solve(gram, terms[j]))
    found = LinearCritic(y).estimate(residual_data(y, y, 1.0))
    assert found.value == pytest.approx(total / (45 * 44), rel=1e-9)
