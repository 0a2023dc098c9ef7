"""Pairings, affine maps and moment bounds against brute force and Gaussian closed forms."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from jko.laws.gaussian import Gaussian, w2_squared
from jko.statistics import transport
from jko.statistics.transport import (
    affine_transport,
    gelbrich_lower,
    gelbrich_squared,
    optimal_back,
    optimal_pairing,
)
from tests.oracles import normal, rows_with_exact_moments


def spd(dim: int, seed: int) -> Tensor:
    """A symmetric positive matrix that commutes with no other seed's."""
    root = normal(dim, dim, seed=seed)
    return root @ root.T / dim + 0.3 * torch.eye(dim, dtype=torch.float64)


def skewed(rows: int, dim: int, seed: int) -> Tensor:
    """Correlated rows that are not Gaussian."""
    z = normal(rows, dim, seed=seed)
    return (z + 0.3 * z**2) @ spd(dim, seed).T + seed


def cost(x: Tensor, y: Tensor) -> float:
    """Mean squared distance of the rows."""
    return float(((x - y) ** 2).sum(-1).mean())


@pytest.mark.parametrize("seed", range(4))
def test_the_pairing_is_the_best_of_all_permutations(seed: int) -> None:
    y, x = normal(6, 2, seed=seed), normal(6, 2, seed=seed + 10)
    best = min(permutations(range(6)), key=lambda order: cost(x[list(order)], y))
    assert optimal_pairing(y, x).tolist() == list(best)


def test_the_pairing_costs_what_the_hungarian_algorithm_finds() -> None:
    y, x = skewed(150, 3, 1), skewed(150, 3, 2)
    found = optimal_pairing(y, x)
    squared = ((y[:, None] - x[None]) ** 2).sum(-1).numpy()
    assert sorted(found.tolist()) == list(range(150))
    assert cost(x[found], y) == pytest.approx(squared[linear_sum_assignment(squared)].mean(), rel=1e-10)


def test_equal_rows_are_still_paired_one_to_one() -> None:
    x = torch.tensor([[0.0], [0.0], [0.0], [1.0], [1.0]], dtype=torch.float64)
    found = optimal_pairing(x, x.flip(0))
    assert sorted(found.tolist()) == list(range(5))
    assert torch.equal(x.flip(0)[found], x)


def test_an_increasing_map_in_one_dimension_is_its_own_pairing() -> None:
    x = normal(200, 1, seed=3)
    assert torch.equal(optimal_pairing(x.exp() + x**3, x), torch.arange(200))
    assert not torch.equal(optimal_pairing(-x, x), torch.arange(200))


def test_a_symmetric_positive_affine_map_is_its_own_pairing() -> None:
    x = skewed(200, 3, 4)
    y = x @ spd(3, 5) + torch.tensor([1.0, -2.0, 3.0])
    assert torch.equal(optimal_pairing(y, x), torch.arange(200))


@pytest.mark.parametrize("how", ["emd", "affine"])
def test_the_way_back_of_an_optimal_map_is_its_inverse(how: str) -> None:
    """Both pairings are exact there, so they return the rows the block came from."""
    x = skewed(150, 3, 6)
    y = x @ spd(3, 7) - 1
    end, back = optimal_back(x, y, how)
    torch.testing.assert_close(end, y)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-9)


@pytest.mark.parametrize("turn", [math.pi / 2, math.pi])
@pytest.mark.parametrize("how", ["emd", "affine"])
def test_a_rotating_block_moves_further_than_the_optimal_map(how: str, turn: float) -> None:
    """Its rows stay the images of its own rows, so neither pairing is worse than the block's."""
    x = normal(300, 2, seed=8)
    rotation = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]).double()
    y = 0.5 * x @ rotation.T
    end, back = optimal_back(x, y, how)
    assert cost(back, end) < 0.4 * cost(x, y)
    assert cost(back, end) == pytest.approx(0.5, abs=0.2)  # W2² of N(0, I) and N(0, I/4)


def test_the_exact_way_back_is_a_permutation_of_the_block_s_own_rows() -> None:
    x = skewed(60, 2, 9)
    _, back = optimal_back(x, -x, "emd")
    assert sorted(map(tuple, back.tolist())) == sorted(map(tuple, x.tolist()))


def test_the_exact_pairing_takes_the_first_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_PAIRED_ROWS", 40)
    x, y = skewed(50, 2, 1), skewed(50, 2, 2)
    end, back = optimal_back(x, y, "emd")
    assert torch.equal(end, y[:40])
    assert torch.equal(back, x[:40][optimal_pairing(y[:40], x[:40])])
    assert optimal_back(x, y, "affine")[1].shape == (50, 2)


@pytest.mark.parametrize("how", ["emd", "affine"])
def test_the_way_back_is_in_float64(how: str) -> None:
    x = normal(30, 2, seed=0, dtype=torch.float32)
    assert {part.dtype for part in optimal_back(x, 2 * x, how)} == {torch.float64}


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_affine_map_takes_moments_onto_moments(dim: int) -> None:
    """Samples of different sizes, neither Gaussian."""
    y, x = skewed(80, dim, 1), skewed(120, dim, 2)
    mapped = affine_transport(y, x)
    assert mapped.shape == y.shape
    torch.testing.assert_close(mapped.mean(0), x.mean(0), rtol=0, atol=1e-10)
    torch.testing.assert_close(torch.cov(mapped.T), torch.cov(x.T), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_affine_map_is_the_gradient_of_a_convex_function(dim: int) -> None:
    y, x = skewed(80, dim, 3), skewed(80, dim, 4)
    centred = y - y.mean(0)
    matrix = torch.linalg.lstsq(centred, affine_transport(y, x) - x.mean(0)).solution
    torch.testing.assert_close(centred @ matrix + x.mean(0), affine_transport(y, x), rtol=0, atol=1e-9)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-9)
    assert torch.linalg.eigvalsh(matrix).min() > 0


def test_between_commuting_covariances_the_affine_map_scales_each_coordinate() -> None:
    """The factor s_x/s_y of theory.md, section 6."""
    y = rows_with_exact_moments([1.0, -2.0], [0.5, 2.0], rows=50, seed=5)
    x = rows_with_exact_moments([3.0, 0.0], [1.5, 0.5], rows=50, seed=6)
    exact = torch.tensor([3.0, 0.0]) + (y - torch.tensor([1.0, -2.0])) * torch.tensor([3.0, 0.25])
    torch.testing.assert_close(affine_transport(y, x), exact, rtol=0, atol=1e-10)


def test_no_affine_map_with_these_moments_moves_less() -> None:
    """It costs the Gelbrich distance (weights 1/(n−1)); through another square root it costs more."""
    y, x = skewed(100, 3, 7), skewed(100, 3, 8)

    def moved(mapped: Tensor) -> float:
        return float(((mapped - y).mean(0) ** 2).sum() + torch.cov((mapped - y).T).trace())

    other = torch.linalg.cholesky(torch.cov(x.T)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(y.T)))
    least = float(gelbrich_squared(y, x))
    assert moved(affine_transport(y, x)) == pytest.approx(least, rel=1e-10)
    assert moved(x.mean(0) + (y - y.mean(0)) @ other.T) > 1.001 * least


def test_gelbrich_is_the_closed_form_w2_for_exact_moments() -> None:
    """The rows' moments are exact with weight 1/n, the covariance is the unbiased one."""
    mean, std, rows = [1.0, 2.0, -0.5], [0.5, 1.5, 1.0], 400
    unbiased = math.sqrt(rows / (rows - 1))
    x = rows_with_exact_moments(mean, std, rows=rows, seed=9)
    law = Gaussian.of(mean, np.asarray(std) * unbiased)
    assert float(gelbrich_squared(x)) == pytest.approx(w2_squared(law), rel=1e-9)
    y = rows_with_exact_moments([0.0, 1.0, 0.0], [2.0, 0.5, 0.75], rows=rows, seed=10)
    exact = (1 + 1 + 0.25) + (1.5**2 + 1 + 0.25**2) * unbiased**2
    assert float(gelbrich_squared(x, y)) == pytest.approx(exact, rel=1e-9)


def test_gelbrich_of_covariances_that_do_not_commute() -> None:
    """Against scipy's matrix square roots; symmetric in its arguments."""
    x, y = skewed(90, 4, 1), skewed(70, 4, 2)
    one, two = np.cov(x.numpy().T), np.cov(y.numpy().T)
    root = sqrtm(one)
    exact = float(((x.mean(0) - y.mean(0)) ** 2).sum()) + np.trace(
        one + two - 2 * sqrtm(root @ two @ root).real
    )
    assert float(gelbrich_squared(x, y)) == pytest.approx(exact, rel=1e-8)
    assert float(gelbrich_squared(y, x)) == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize("dim", [1, 3])
def test_gelbrich_of_a_sample_with_itself_is_zero(dim: int) -> None:
    x = skewed(50, dim, 3)
    assert float(gelbrich_squared(x, x)) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_gelbrich_is_never_above_the_optimal_cost_of_the_samples(seed: int) -> None:
    """With weights 1/n it is a lower bound of that cost; the unbiased covariance adds n/(n−1)."""
    x, y = skewed(60, 2, seed), normal(60, 2, seed=seed + 20)
    assert float(gelbrich_squared(x, y)) <= cost(x[optimal_pairing(y, x)], y) * 60 / 59


@pytest.mark.parametrize(("dim", "mean", "std"), [(1, 0.0, 0.5), (2, 0.3, 1.0), (5, 0.5, 1.3)])
def test_the_lower_bound_lies_below_the_true_distance_and_near_it(dim: int, mean: float, std: float) -> None:
    true = math.sqrt(w2_squared(Gaussian.of([mean] * dim, std)))
    found = np.array([gelbrich_lower(mean + std * normal(200, dim, seed=seed)) for seed in range(100)])
    assert (found <= true).mean() >= 0.95
    assert found.mean() > 0.45 * true
    assert (found <= true).sum() < 100 or found.max() > 0.9 * true  # two standard errors, not twenty


def test_the_lower_bound_of_a_step_lies_below_the_true_distance_and_near_it() -> None:
    """Row i of y belongs to row i of x, so the common noise of both samples drops out."""
    true = math.sqrt(2 * (0.3**2 + 0.2**2))
    found = []
    for seed in range(100):
        x = normal(200, 2, seed=seed)
        found.append(gelbrich_lower(x, 0.7 * x + 0.2))
    assert (np.array(found) <= true).mean() >= 0.95
    assert np.mean(found) > 0.85 * true
    assert np.std(found) < 0.1 * true


def test_the_lower_bound_is_zero_for_equal_laws_most_of_the_time() -> None:
    found = np.array([gelbrich_lower(normal(200, 2, seed=seed)) for seed in range(50)])
    assert (found == 0).mean() >= 0.9
    x = skewed(200, 2, 1)
    assert gelbrich_lower(x, x) == pytest.approx(0, abs=1e-6)


def test_the_lower_bound_tightens_with_the_rows() -> None:
    few, many = (gelbrich_lower(2 + normal(rows, 2, seed=11)) for rows in (100, 2000))
    assert 0 < few < math.sqrt(8)
    assert 0.97 * math.sqrt(8) < many < math.sqrt(8)


def test_the_lower_bound_is_a_float64_figure_of_float32_rows() -> None:
    x = 1 + normal(100, 2, seed=12, dtype=torch.float32)
    assert gelbrich_lower(x) == gelbrich_lower(x.double())
