"""The paper's estimator: its score against differentiation, its statistic against closed forms, its floor."""

from __future__ import annotations

import math

import pytest
import torch

from jko.statistics.kernel_statistic import independent_rows, kernel_score, kernel_statistic, statistic_of
from tests.oracles import normal

GAMMA = 0.5


@pytest.mark.parametrize("bandwidth", [0.1, 0.7])
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_score_is_the_gradient_of_the_log_of_the_kernel_density(dim: int, bandwidth: float) -> None:
    """log Σ_j exp(−|x − y_j|²/(2h)) differentiated at x = y_i: a mixture around the rows."""
    y = normal(40, dim, seed=dim)
    at = y.clone().requires_grad_()
    log_density = torch.logsumexp(-((at[:, None] - y) ** 2).sum(-1) / (2 * bandwidth), dim=1)
    exact = torch.autograd.grad(log_density.sum(), at)[0]
    torch.testing.assert_close(kernel_score(y, bandwidth), exact, rtol=1e-9, atol=1e-9)


def test_the_score_of_a_gaussian_is_that_of_its_smoothed_law() -> None:
    """The kernel density of N(0, 1) tends to N(0, 1 + h), whose score is −y/(1 + h)."""
    y = normal(4000, 1, seed=0)
    error = kernel_score(y, 0.1) + y / 1.1
    assert float((error**2).mean().sqrt()) < 0.15
    assert float(error[y.abs() < 1].abs().max()) < 0.2


def test_a_row_far_from_all_others_has_score_zero() -> None:
    y = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.1, 0.0]])
    assert kernel_score(y)[1].tolist() == [0.0, 0.0]


def test_both_figures_by_hand() -> None:
    found = statistic_of(torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
    assert found.paper_kde == pytest.approx((math.sqrt(81 + 256) + 4) / 2)
    assert found.paper_kde_l2 == pytest.approx((25 + 4) / 2)


def test_where_nothing_has_moved_it_is_the_gradient_at_the_start() -> None:
    """N((3, 3), I) under the identity: ξ = (3, 3), so the figures are √(81 + 81) and 18, ± noise."""
    mean = torch.tensor([3.0, 3.0])
    found = kernel_statistic(mean + normal(2000, 2, seed=1), mean + normal(2000, 2, seed=2), GAMMA)
    assert found.paper_kde == pytest.approx(math.sqrt(162), rel=0.08)
    assert found.paper_kde_l2 == pytest.approx(18, rel=0.08)


def test_the_floor_at_an_exact_step_is_noise() -> None:
    """ε = 0, yet a third of a unit is measured; half of it comes from pairing with another draw."""
    x, y = 3 + normal(2000, 2, seed=3), 2 + normal(2000, 2, seed=4)
    other, own = kernel_statistic(x, y, GAMMA), kernel_statistic(y + 1, y, GAMMA)
    assert 0.2 < other.paper_kde < 0.45
    assert other.paper_kde < other.paper_kde_l2 < math.sqrt(2) * other.paper_kde
    assert 0.08 < own.paper_kde < 0.2


@pytest.mark.parametrize(("rows", "used"), [(10_000, 2000), (5000, 2000), (4000, 2000), (999, 499), (2, 1)])
def test_independent_rows_share_no_particle(rows: int, used: int) -> None:
    numbers = torch.arange(rows)
    x, y = independent_rows(numbers, numbers)
    assert len(x) == len(y) == used
    assert not set(x.tolist()) & set(y.tolist())
