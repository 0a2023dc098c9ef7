"""Importance weights, resampling and the energy distance against exact cases and their own error bars."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

import jko.chain.importance as module
from jko.chain.importance import energy_distance, importance_report, systematic_resample
from jko.core.errors import InputError
from jko.statistics.two_sample import energy_test
from tests.oracles import normal, stream


def gaussian_log_weights(rows: int, seed: int, dim: int = 2, std: float = 1.3) -> torch.Tensor:
    """Weights of draws of N(0, std² I) for V = |x|²/2."""
    y = std * normal(rows, dim, seed=seed)
    log_p = -0.5 * (y / std).square().sum(1) - dim * math.log(std * math.sqrt(2 * math.pi))
    return -0.5 * y.square().sum(1) - log_p


# weights


def test_equal_weights() -> None:
    report = importance_report(torch.full((50,), -700.0))
    assert report.log_normaliser.value == pytest.approx(-700)
    assert report.log_normaliser.se == pytest.approx(0, abs=1e-6)
    assert report.effective_size == pytest.approx(50)
    assert report.share == pytest.approx(1)


def test_weights_by_hand() -> None:
    """w = 1, 2, 5 and 0: mean 2, ESS 64/30, relative SE of the mean by the formula of the sample variance."""
    w = np.array([1.0, 2.0, 5.0, 0.0])
    report = importance_report(torch.from_numpy(np.log(w, where=w > 0, out=np.full(4, -np.inf))) - 1000)
    assert report.log_normaliser.value == pytest.approx(math.log(2) - 1000)
    assert report.log_normaliser.se == pytest.approx(w.std(ddof=1) / 2 / 2)
    assert report.effective_size == pytest.approx(64 / 30)
    assert report.share == pytest.approx(64 / 120)


@pytest.mark.parametrize(("dim", "std"), [(1, 0.9), (2, 1.3), (5, 1.2)])
def test_normaliser_and_effective_size_of_a_gaussian(dim: int, std: float) -> None:
    """log Z = ½ d log 2π and E w²/(E w)² = (s²/√(2s² − 1))^d."""
    report = importance_report(gaussian_log_weights(20_000, dim, dim, std))
    exact = 0.5 * dim * math.log(2 * math.pi)
    assert abs(report.log_normaliser.value - exact) < 4 * report.log_normaliser.se
    share = (math.sqrt(2 * std**2 - 1) / std**2) ** dim
    assert report.share == pytest.approx(share, rel=0.03)
    assert share < 0.98


def test_the_standard_error_is_the_spread() -> None:
    reports = [importance_report(gaussian_log_weights(300, seed)) for seed in range(300)]
    spread = np.std([report.log_normaliser.value for report in reports])
    assert spread / np.mean([report.log_normaliser.se for report in reports]) == pytest.approx(1, abs=0.12)


# resampling


@pytest.mark.parametrize("rows", [1, 7, 100, 1000])
def test_every_row_comes_as_often_as_its_weight_up_to_one(rows: int) -> None:
    log_weights = 2 * normal(100, seed=3) - 500
    drawn = systematic_resample(log_weights, stream(rows), rows=rows)
    expected = rows * log_weights.softmax(0)
    counts = drawn.bincount(minlength=100)
    assert len(drawn) == rows
    assert (counts >= expected.floor()).all()
    assert (counts <= expected.ceil()).all()
    assert (drawn.diff() >= 0).all()


def test_resampling_is_unbiased_and_deterministic() -> None:
    log_weights = normal(10, seed=4)
    draws = torch.stack(
        [systematic_resample(log_weights, stream(s)).bincount(minlength=10) for s in range(2000)]
    )
    expected = 10 * log_weights.softmax(0)
    error = draws.double().std(0) / math.sqrt(2000) + 1e-12
    assert ((draws.double().mean(0) - expected).abs() < 4 * error).all()
    same = [systematic_resample(log_weights, stream(5)) for _ in range(2)]
    assert torch.equal(*same)


def test_rows_of_weight_zero_are_never_drawn() -> None:
    none = -math.inf
    log_weights = torch.tensor([none, 0.0, none, 0.0, none])
    for seed in range(50):
        assert set(systematic_resample(log_weights, stream(seed), rows=8).tolist()) == {1, 3}


@pytest.mark.parametrize("number", [0.0, 1 - 2**-53])
def test_the_extreme_numbers_draw_no_row_of_weight_zero(
    number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 lies on the edge of the first row; the largest number below 1 rounds up to the end of the last."""
    monkeypatch.setattr(module.torch, "rand", lambda *_, **__: torch.tensor(number, dtype=torch.float64))
    log_weights = torch.tensor([-math.inf, 0.0, 0.0, -math.inf])
    assert set(systematic_resample(log_weights, stream(0)).tolist()) == {1, 2}


def test_resampling_turns_model_samples_into_target_samples() -> None:
    y = 1.5 * normal(20_000, 1, seed=8)
    log_weights = gaussian_log_weights(20_000, 8, 1, 1.5)
    drawn = y[systematic_resample(log_weights, stream(1))]
    assert float(drawn.std()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.0, math.nan], "1 of 2 are nan"),
        ([math.inf, 0.0], "1 of 2 are nan"),
        ([-math.inf, -math.inf], "not all −∞"),
        ([0.0], "two or more"),
        ([[0.0, 1.0]], "two or more"),
    ],
)
def test_weights_that_are_none(weights: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        importance_report(torch.tensor(weights))
    with pytest.raises(InputError, match=message):
        systematic_resample(torch.tensor(weights), stream(0))


def test_no_rows_cannot_be_drawn() -> None:
    with pytest.raises(InputError, match="one row or more"):
        systematic_resample(torch.zeros(3), stream(0), rows=0)


# energy distance


def test_the_energy_distance_of_scipy() -> None:
    """On the line SciPy has the root of the version with 1/n² averages."""
    x, y = normal(40, 1, seed=0), 0.5 + 1.5 * normal(60, 1, seed=1)
    within = [float(torch.cdist(z, z).sum()) / len(z) ** 2 for z in (x, y)]
    shift = within[0] / 39 + within[1] / 59  # what i = j takes from the averages
    exact = stats.energy_distance(x.numpy().ravel(), y.numpy().ravel()) ** 2
    assert energy_distance(x, y).value == pytest.approx(exact - shift, rel=1e-10)


def test_the_energy_distance_of_the_permutation_test() -> None:
    """The statistic of jko.statistics.two_sample, from its own reference draws."""
    y = 0.3 + normal(50, 3, seed=2)
    test = energy_test(y, permutations=1)
    draw = stream(module_seed())
    z = torch.randn(y.shape, generator=draw, dtype=y.dtype)
    within = sum(float(torch.cdist(w, w).sum()) / 50**2 / 49 for w in (y, z))
    assert energy_distance(y, z).value == pytest.approx(test.statistic - within, rel=1e-6)


def module_seed() -> int:
    from jko.core.seeds import counter_seed

    return counter_seed(0, "two-sample")


@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_gaussians_on_the_line(shift: float) -> None:
    """E|N(m, 2)| in closed form, for two unit Gaussians m apart; over 100 samples in standard errors."""
    folded = 2 / math.sqrt(math.pi) * math.exp(-(shift**2) / 4) + shift * math.erf(shift / 2)
    exact = 2 * folded - 4 / math.sqrt(math.pi)
    scores = []
    for seed in range(100):
        found = energy_distance(normal(200, 1, seed=seed), shift + normal(150, 1, seed=1000 + seed))
        scores.append((found.value - exact) / found.se)
    assert abs(np.mean(scores)) < 0.4
    assert np.std(scores) == pytest.approx(1, abs=0.2)


def test_equal_laws() -> None:
    """Unbiased, so the mean is 0; the mean squared standard error is twice the variance."""
    found = [energy_distance(normal(80, 2, seed=s), normal(120, 2, seed=1000 + s)) for s in range(300)]
    values = np.array([each.value for each in found])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(300)
    assert (values < 0).mean() > 0.3
    assert np.mean([each.se**2 for each in found]) / values.var() == pytest.approx(2, abs=0.6)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(33, 2, seed=0), 1 + normal(50, 2, seed=1)
    whole = energy_distance(x, y)
    monkeypatch.setattr(module, "PAIRS", 70)
    parts = energy_distance(x, y)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert parts.se == pytest.approx(whole.se, rel=1e-12)


def test_samples_that_are_none() -> None:
    for x, y in ((normal(5, 2, seed=0), normal(5, 3, seed=0)), (normal(1, 2, seed=0), normal(5, 2, seed=0))):
        with pytest.raises(InputError, match="two samples"):
            energy_distance(x, y)
