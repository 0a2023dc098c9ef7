"""The exact score against Gaussian closed forms and finite differences of the log-density."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from jko.laws import gaussian
from jko.laws.gaussian import Gaussian
from jko.laws.score import mean_square, score_after
from jko.maps.ode_block import Block, Solver
from jko.measure.residual import residual_data
from tests.oracles import AffineField, gaussian_affine_block, normal, random_block, slogdet_of, standard_error

LAWS = [([2.0, -1.0], [0.5, 1.5]), ([1.0, -0.3], [0.8, 1.2]), ([0.4, 0.1], [1.1, 0.9])]


def gaussian_score(law: tuple[list[float], list[float]], x: Tensor) -> Tensor:
    """∇log of N(mean, diag(std²))."""
    mean, std = (torch.tensor(part, dtype=torch.float64) for part in law)
    return -(x - mean) / std**2


def standard_score(x: Tensor) -> Tensor:
    """∇log of N(0, I)."""
    return -x


def bimodal_log_density(x: Tensor) -> Tensor:
    """log of ½ N(−1, I) + ½ N(1, I), up to a constant."""
    return torch.logaddexp(-((x - 1) ** 2).sum(-1) / 2, -((x + 1) ** 2).sum(-1) / 2)


def bimodal_score(x: Tensor) -> Tensor:
    """Its gradient by hand."""
    return torch.tanh(x.sum(-1, keepdim=True)) - x


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_score_of_an_affine_gaussian_chain_is_the_closed_form(blocks: int) -> None:
    chain = [gaussian_affine_block(LAWS[k], LAWS[k + 1], 0.5) for k in range(blocks)]
    y = 3 * normal(40, 2, seed=0)
    found = score_after(chain, y, lambda x: gaussian_score(LAWS[0], x))
    torch.testing.assert_close(found, gaussian_score(LAWS[blocks], y), rtol=0, atol=2e-6)


def test_the_score_after_linear_blocks_that_do_not_commute() -> None:
    """p_2 = N(0, BA(BA)ᵀ) for T_1 = A, T_2 = B; the other order is another law."""
    matrices = [0.4 * normal(3, 3, seed=seed) for seed in (1, 2)]
    blocks = [Block(AffineField(matrix), 0.5, Solver(steps=64)) for matrix in matrices]
    one, two = (torch.matrix_exp(matrix) for matrix in matrices)
    y = normal(20, 3, seed=3)
    exact = -torch.linalg.solve(two @ one @ (two @ one).T, y.T).T
    wrong = -torch.linalg.solve(one @ two @ (one @ two).T, y.T).T
    assert (exact - wrong).abs().max() > 0.1
    torch.testing.assert_close(score_after(blocks, y, standard_score), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["one_layer", "two_layers", "three_layers", "fourier"])
def test_the_score_is_the_finite_difference_of_the_log_density(kind: str) -> None:
    """log p_2(y) = log p_0(x) − log|det ∇F(x)|, x = F⁻¹(y), the determinant by autograd of F."""
    blocks = [random_block(kind, 2, seed=seed, steps=12) for seed in (4, 5)]

    def log_density(y: Tensor) -> Tensor:
        x = blocks[0].pull_back(blocks[1].pull_back(y)).detach()
        determinant = slogdet_of(lambda row: blocks[1].push_forward(blocks[0].push_forward(row)), x)
        return bimodal_log_density(x) - determinant

    y, h = normal(2, 2, seed=6), 1e-3
    step = h * torch.eye(2, dtype=torch.float64)
    slopes = [(log_density(y + each) - log_density(y - each)) / (2 * h) for each in step]
    found = score_after(blocks, y, bimodal_score)
    torch.testing.assert_close(found, torch.stack(slopes, -1), rtol=0, atol=2e-5)
    x = blocks[0].pull_back(blocks[1].pull_back(y)).detach()
    assert (found - bimodal_score(x)).abs().max() > 0.1  # the map matters


def test_the_score_has_mean_zero_and_gains_the_dimension_against_the_position() -> None:
    """E∇log p = 0 and E⟨∇log p, y⟩ = −d hold for every law: a check without any oracle."""
    block = random_block("two_layers", 2, steps=8)
    x = normal(2000, 2, seed=7)
    y = block.push_forward(x).detach()
    slope = score_after([block], y, standard_score)
    inner = (slope * y).sum(-1)
    assert (slope.mean(0).abs() < 4 * slope.std(0) / math.sqrt(2000)).all()
    assert standard_error(inner) < 0.1
    assert float(inner.mean()) == pytest.approx(-2, abs=4 * standard_error(inner))


def test_probes_are_replaced_by_the_exact_divergence() -> None:
    y = normal(6, 3, seed=8)
    exact, probed = (random_block("two_layers", 3, steps=4, probes=probes) for probes in (0, 2))
    torch.testing.assert_close(
        score_after([probed], y, standard_score), score_after([exact], y, standard_score), rtol=0, atol=1e-14
    )
    assert probed.solver.probes == 2


def test_a_float32_chain_is_taken_back_in_float64() -> None:
    single = random_block("two_layers", 2, steps=4, dtype=torch.float32)
    double = random_block("two_layers", 2, steps=4, dtype=torch.float32).double()
    y = normal(6, 2, seed=9, dtype=torch.float32)
    found = score_after([single], y, standard_score)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, score_after([double], y.double(), standard_score), rtol=0, atol=1e-14)
    assert next(single.parameters()).dtype == torch.float32
    assert all(parameter.requires_grad for parameter in single.parameters())


def test_before_the_first_block_the_score_is_that_of_p_0() -> None:
    y = normal(5, 2, seed=10)
    torch.testing.assert_close(score_after([], y, bimodal_score), bimodal_score(y), rtol=1e-14, atol=0)


def test_a_row_does_not_depend_on_the_other_rows() -> None:
    block, y = random_block("fourier", 2, steps=4), normal(5, 2, seed=11)
    alone = torch.cat([score_after([block], row[None], bimodal_score) for row in y])
    torch.testing.assert_close(score_after([block], y, bimodal_score), alone, rtol=1e-11, atol=1e-12)


def test_mean_square_by_hand() -> None:
    """Squares 25, 0, 1."""
    found = mean_square(torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 1.0]]))
    assert found.value == pytest.approx(26 / 3)
    assert found.se == pytest.approx(np.std([25, 0, 1], ddof=1) / math.sqrt(3))


def test_the_exact_jko_step_satisfies_its_first_order_condition() -> None:
    law, step_size = Gaussian.of([2.0, -1.0], [0.5, 1.5]), 0.5
    after = gaussian.jko_step(law, step_size)
    block = gaussian_affine_block((law.mean, law.std), (after.mean, after.std), step_size)
    x = torch.tensor(law.mean) + torch.tensor(law.std) * normal(300, 2, seed=12)
    y = block.push_forward(x).detach()
    slope = score_after([block], y, lambda rows: gaussian_score(LAWS[0], rows))
    found = mean_square(residual_data(x, y, step_size) + slope)
    assert 0 <= found.value < 1e-8


@pytest.mark.parametrize("step_size", [0.25, 1.0])
def test_epsilon_of_an_inexact_step_is_the_closed_form(step_size: float) -> None:
    block = gaussian_affine_block(LAWS[0], LAWS[1], step_size)
    x = torch.tensor(LAWS[0][0]) + torch.tensor(LAWS[0][1]) * normal(2000, 2, seed=13)
    y = block.push_forward(x).detach()
    slope = score_after([block], y, lambda rows: gaussian_score(LAWS[0], rows))
    found = mean_square(residual_data(x, y, step_size) + slope)
    exact = gaussian.epsilon_squared(Gaussian.of(*LAWS[0]), Gaussian.of(*LAWS[1]), step_size)
    assert exact > 0.15
    assert 0 < found.se < 0.1 * exact
    assert abs(found.value - exact) < 3 * found.se


def test_the_relative_fisher_information_is_the_closed_form() -> None:
    block = gaussian_affine_block(LAWS[0], LAWS[1], 0.5)
    x = torch.tensor(LAWS[0][0]) + torch.tensor(LAWS[0][1]) * normal(2000, 2, seed=14)
    y = block.push_forward(x).detach()
    found = mean_square(y + score_after([block], y, lambda rows: gaussian_score(LAWS[0], rows)))
    exact = gaussian.relative_fisher_information(Gaussian.of(*LAWS[1]))
    assert abs(found.value - exact) < 3 * found.se < 0.2 * exact
