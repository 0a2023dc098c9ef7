"""The energy test against its definition and its level; the KL bound against known divergences."""

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from jko.laws.gaussian import Gaussian, kl
from jko.measure.residual import linear_critic
from jko.statistics import two_sample
from jko.statistics.two_sample import OF_TABLES, energy_between, energy_test, kl_lower_bound
from tests.oracles import normal


def energy_distance(y: Tensor, z: Tensor) -> float:
    """2E|y − z| − E|y − y'| − E|z − z'| by double sums over all pairs, the equal ones included."""

    def mean_distance(a: Tensor, b: Tensor) -> float:
        return math.fsum(math.dist(p, q) for p in a.tolist() for q in b.tolist()) / (len(a) * len(b))

    return 2 * mean_distance(y, z) - mean_distance(y, y) - mean_distance(z, z)


def bimodal(rows: int, dim: int, seed: int) -> Tensor:
    """½ N(−.9, .19) + ½ N(.9, .19) in the first coordinate, N(0, 1) in the others: covariance I."""
    y = normal(rows, dim, seed=seed)
    side = normal(rows, seed=seed + 1000).sign()
    y[:, 0] = 0.9 * side + math.sqrt(0.19) * y[:, 0]
    return y


def bimodal_kl() -> float:
    """Its KL to N(0, I) by quadrature."""
    x = np.linspace(-8, 8, 20001)

    def density(mean: float, variance: float) -> np.ndarray:
        return np.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)

    p = (density(-0.9, 0.19) + density(0.9, 0.19)) / 2
    return float(np.trapezoid(p * np.log(np.maximum(p, 1e-300) / density(0, 1)), x))


@pytest.mark.parametrize(("rows", "dim"), [(1, 2), (7, 1), (40, 3)])
def test_the_statistic_is_the_double_sum(rows: int, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    y, z = 0.7 * normal(rows, dim, seed=0) + 0.5, normal(rows, dim, seed=1)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: z)
    assert energy_test(y).statistic == pytest.approx(energy_distance(y, z), abs=1e-6)


@pytest.mark.parametrize("shift", [0.6, 5.0])
def test_p_is_the_share_of_all_relabellings(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """All 70 ways of splitting 8 rows, ties with the observed split included."""
    y, z = normal(4, 2, seed=2) + shift, normal(4, 2, seed=3)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: z)
    pooled, observed = torch.cat([y, z]), energy_distance(y, z)
    values = np.array(
        [
            energy_distance(pooled[list(ours)], pooled[[i for i in range(8) if i not in ours]])
            for ours in combinations(range(8), 4)
        ]
    )
    exact = float((values >= observed - 1e-9).mean())
    found = energy_test(y, permutations=9999)
    assert found.p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 9999) + 1e-4)
    assert found.null_quantile == pytest.approx(np.quantile(values, 0.95), abs=0.25 * values.std())


def test_the_statistic_of_a_shifted_normal_is_near_its_closed_form() -> None:
    """E|N(m, 2)| by the folded normal; the pairs of equal rows add (E|y − y'| + E|z − z'|)/n."""
    m, rows = 1.0, 800
    folded = 2 / math.sqrt(math.pi) * math.exp(-(m**2) / 4) + m * math.erf(m / 2)
    exact = 2 * folded - 4 / math.sqrt(math.pi) + 2 * (2 / math.sqrt(math.pi)) / rows
    found = [energy_test(m + normal(rows, 1, seed=seed), seed=seed, permutations=1) for seed in range(10)]
    values = np.array([each.statistic for each in found])
    assert abs(values.mean() - exact) < 4 * values.std(ddof=1) / math.sqrt(10) < 0.2 * exact


def test_under_the_null_p_is_nearly_uniform() -> None:
    found = [energy_test(normal(50, 2, seed=seed), seed=seed, permutations=199) for seed in range(200)]
    p = np.array([each.p for each in found])
    assert 0.04 < (p < 0.1).mean() < 0.18
    assert 0.4 < p.mean() < 0.6
    assert 0.4 < (p < 0.5).mean() < 0.6
    above = np.mean([each.statistic > each.null_quantile for each in found])
    assert 0.01 < above < 0.11


@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1.0), (0.0, 1.6), (0.0, 0.5)])
def test_a_shifted_or_scaled_law_is_told_from_the_reference(shift: float, scale: float) -> None:
    found = energy_test(shift + scale * normal(300, 2, seed=4), permutations=499)
    assert found.p == pytest.approx(1 / 500)
    assert found.statistic > 2 * found.null_quantile > 0


def test_a_law_with_the_moments_of_the_reference_is_told_from_it() -> None:
    assert energy_test(bimodal(1000, 1, seed=5)).p < 0.01


def test_p_is_never_zero_and_one_for_a_single_row() -> None:
    assert energy_test(100 + normal(50, 2, seed=6), permutations=9).p == pytest.approx(0.1)
    assert energy_test(normal(1, 2, seed=7), permutations=99).p == 1


def test_a_sample_of_the_rows_is_used_also_of_sorted_ones() -> None:
    y = normal(3000, 1, seed=8).sort(dim=0).values
    found = energy_test(y, rows=300)
    assert found.rows == 300
    assert found.p > 0.01 > energy_test(y[:300]).p
    assert energy_test(y, rows=4000).rows == 3000


def test_the_seed_decides_the_test() -> None:
    y = normal(60, 2, seed=9)
    assert energy_test(y, seed=1) == energy_test(y, seed=1)
    assert energy_test(y, seed=1).statistic != energy_test(y, seed=2).statistic


def test_float32_rows_are_tested_in_float64() -> None:
    y = normal(60, 2, seed=10, dtype=torch.float32)
    assert energy_test(y) == energy_test(y.double())


LAWS = {
    "shift": (1, 1.5, 1.0),
    "wide": (1, 0.0, 1.6),
    "narrow in two": (2, 0.3, 0.6),
    "shift in five": (5, 0.7, 1.0),
}


@pytest.mark.parametrize(("dim", "mean", "std"), LAWS.values(), ids=LAWS)
def test_the_bound_lies_below_the_true_kl_and_near_it(dim: int, mean: float, std: float) -> None:
    true = kl(Gaussian.of([mean] * dim, std))
    found = [kl_lower_bound(mean + std * normal(1500, dim, seed=seed), seed=seed) for seed in range(3)]
    assert all(each.value < true + 3 * each.se for each in found)
    assert all(0 < each.se < 0.2 * true for each in found)
    assert np.mean([each.value for each in found]) > 0.7 * true


@pytest.mark.parametrize("constant", [0.0, 0.5])
def test_the_bound_for_a_known_function_in_closed_form(
    constant: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """f = a x + c at N(m, 1): E_p f − log E_q e^f = a m − a²/2, whatever c; errors by the delta method."""
    slope, mean, rows = 1.2, 0.8, 2000
    monkeypatch.setattr(two_sample, "_classifier", lambda *_: lambda x: slope * x[:, 0] + constant)
    found = kl_lower_bound(mean + normal(rows, 1, seed=14))
    error = math.sqrt(slope**2 / (rows / 2) + math.expm1(slope**2) / two_sample.REFERENCE_ROWS)
    assert found.se == pytest.approx(error, rel=0.05)
    assert abs(found.value - (slope * mean - slope**2 / 2)) < 3 * found.se


def test_the_classifier_never_sees_the_rows_it_is_averaged_over(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[float]] = []

    def remember(p: np.ndarray, q: np.ndarray, draw: np.random.Generator, dim: int) -> Callable:
        def constant(x: np.ndarray) -> np.ndarray:
            seen.append(set(x[:, 0]))
            return np.zeros(len(x))

        seen.extend([set(p[:, 0]), set(q[:, 0])])
        return constant

    monkeypatch.setattr(two_sample, "_classifier", remember)
    y = normal(200, 1, seed=15)
    kl_lower_bound(y)
    fitted, reference, held_out, fresh = seen
    assert fitted | held_out == set(y[:, 0].tolist())
    assert not fitted & held_out
    assert not reference & fresh


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_bound_of_the_reference_itself_is_about_zero_or_negative(dim: int) -> None:
    found = [kl_lower_bound(normal(1000, dim, seed=seed), seed=seed) for seed in range(3)]
    assert all(-0.3 < each.value < 3 * each.se for each in found)


@pytest.mark.parametrize("dim", [1, 2])
def test_the_bound_sees_what_the_affine_critic_cannot(dim: int) -> None:
    """The guard of theory.md: covariance I, so the affine Fisher information is 0, and yet KL = .189."""
    y = bimodal(2000, dim, seed=11)
    true, bound, fisher = bimodal_kl(), kl_lower_bound(y), linear_critic(y, y)
    assert true == pytest.approx(0.189, abs=5e-4)
    assert bound.value - 2 * bound.se > 0.1
    assert bound.value < true + 3 * bound.se
    assert abs(fisher.value) < 0.02
    assert (fisher.value + 2 * fisher.se) / 2 < bound.value - 2 * bound.se  # (C) would be withdrawn


def test_the_standard_error_is_that_of_repetitions() -> None:
    """25 independent samples of 400 rows: their spread, within a factor (the classifier varies, too)."""
    found = [kl_lower_bound(1 + normal(400, 1, seed=seed), seed=seed) for seed in range(25)]
    spread = np.std([each.value for each in found], ddof=1)
    assert 0.6 < np.mean([each.se for each in found]) / spread < 1.6


def test_twenty_rows_are_enough_for_a_number() -> None:
    found = kl_lower_bound(3 + normal(20, 2, seed=12))
    assert math.isfinite(found.value)
    assert found.se > 0
    assert found.value < kl(Gaussian.of([3.0, 3.0], 1.0)) + 3 * found.se


def test_the_seed_decides_the_bound() -> None:
    y = normal(100, 2, seed=13) + 0.5
    assert kl_lower_bound(y, seed=1) == kl_lower_bound(y, seed=1)
    assert kl_lower_bound(y, seed=1) != kl_lower_bound(y, seed=2)


def test_two_tables_of_one_law_are_told_apart_in_5_percent_of_repetitions() -> None:
    rng = np.random.default_rng(20)
    found = [
        energy_between(rng.normal(size=(60, 2)), rng.normal(size=(300, 2)), seed=i, permutations=99).p
        for i in range(200)
    ]
    assert 0.01 < np.mean(np.array(found) <= 0.05) < 0.1


def test_a_fault_in_a_column_of_small_units_is_found() -> None:
    rng = np.random.default_rng(21)
    rows, samples = (rng.normal(size=(n, 3)) * [1e6, 1.0, 1e-6] for n in (500, 3000))
    assert energy_between(rows, samples).p > 0.01
    assert energy_between(rows, samples + np.array([0, 0, 5e-7])).p <= 0.001
    # a single sample far out hides nothing
    samples[0] = 1e9
    assert energy_between(rows, samples + np.array([0, 0, 5e-7])).p <= 0.001


def test_tables_are_cut_to_equally_many_rows_drawn_by_the_seed() -> None:
    rng = np.random.default_rng(22)
    rows, samples = rng.normal(size=(OF_TABLES + 50, 1)), rng.normal(size=(90, 1))
    assert energy_between(rows, samples).rows == 90
    found = energy_between(rows, rng.normal(size=(5000, 1)), permutations=9)
    assert found.rows == OF_TABLES
    assert energy_between(rows, samples, seed=1) == energy_between(rows, samples, seed=1)
    assert energy_between(rows, samples, seed=1) != energy_between(rows, samples, seed=2)


def test_constant_columns_and_two_rows_are_no_error() -> None:
    rows = np.array([[1.0, 2.0], [1.0, 3.0]])
    assert energy_between(rows, rows + np.array([0, 0.5])).p > 0.3
    assert energy_between(np.ones((9, 2)), np.ones((9, 2))).p == 1
