"""ε² by the linear critic, against closed forms, the objective's gradient and its own error bars."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jko import gaussian
from jko.residual import linear_critic, residual_data

GAMMA = 0.7


def step(rows: int, stretch: list[float], seed: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Samples x, their images y under an affine step of N(1, diag(1, 2, .5)²), and the true ε²."""
    before = gaussian.Gaussian.of([1.0, 1.0, 1.0], [1.0, 2.0, 0.5])
    best = gaussian.jko_step(before, GAMMA)
    after = gaussian.Gaussian.of(best.mean, best.std * np.array(stretch))
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, 3, generator=draw, dtype=torch.float64)
    x = torch.tensor(before.mean) + z * torch.tensor(before.std)
    y = torch.tensor(after.mean) + z * torch.tensor(after.std)
    return x, y, gaussian.epsilon_squared(before, after, GAMMA)


@pytest.mark.parametrize("centres", [0, 30])
@pytest.mark.parametrize("stretch", [[1.0, 1.0, 1.0], [1.1, 0.95, 1.0], [1.5, 0.7, 1.2]])
def test_the_estimate_covers_the_closed_form(centres: int, stretch: list[float]) -> None:
    """Over 40 samples the error in standard errors has mean near 0 and spread near 1."""
    scores = []
    for seed in range(40):
        x, y, true = step(1500, stretch, seed)
        estimate = linear_critic(y, residual_data(x, y, GAMMA), centres=centres)
        scores.append((estimate.value - true) / estimate.se)
    assert abs(np.mean(scores)) < 0.8
    assert 0.4 < np.std(scores) < 1.5


def test_an_exact_step_has_no_error_and_the_estimate_may_be_negative() -> None:
    values = [
        linear_critic(y, residual_data(x, y, GAMMA), centres=30).value
        for x, y, _ in (step(2000, [1, 1, 1], seed) for seed in range(30))
    ]
    assert min(values) < 0
    assert abs(np.mean(values)) < 0.01


def test_training_rows_would_be_optimistic() -> None:
    """Particles whose own moments were matched exactly look as if ε were smaller than it is."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(60, 10, generator=draw, dtype=torch.float64) * 2
    fresh = torch.randn(4000, 10, generator=draw, dtype=torch.float64) * 2
    best = float(gaussian.jko_step(gaussian.Gaussian.of(0.0, 2.0), GAMMA).std[0])
    centred = x - x.mean(0)
    whiten = torch.linalg.inv(torch.linalg.cholesky(torch.cov(centred.T, correction=0))).T
    fitted = [(rows - x.mean(0)) @ whiten * best for rows in (x, fresh)]
    own = linear_critic(fitted[0], residual_data(x, fitted[0], GAMMA)).value
    held_out = linear_critic(fitted[1], residual_data(fresh, fitted[1], GAMMA)).value
    assert own < 0.5 * held_out


def test_a_richer_class_lies_above() -> None:
    """A bimodal law with identity covariance: the affine class sees nothing, bumps see the modes."""
    draw = torch.Generator().manual_seed(1)
    signs = torch.sign(torch.randn(4000, 1, generator=draw, dtype=torch.float64))
    y = 0.9 * signs + (1 - 0.81) ** 0.5 * torch.randn(4000, 1, generator=draw, dtype=torch.float64)
    affine, rich = linear_critic(y, y), linear_critic(y, y, centres=40)
    assert abs(affine.value) < 0.05
    assert rich.value > affine.value + 5 * rich.se


@pytest.mark.parametrize("coefficient", [-0.3, 0.2])
def test_the_residual_is_the_gradient_of_the_training_objective(coefficient: float) -> None:
    """d/dh L((Id + hφ)∘T) at h = 0 is E⟨ξ, φ⟩ for φ = c·(y − m): signs and factors (theory §2)."""
    x, y, _ = step(200_000, [1.2, 0.9, 1.1], 0)
    field = coefficient * (y - y.mean(0))

    def objective(h: float) -> float:
        moved = y + h * field
        log_det = 3 * np.log1p(h * coefficient)
        return float(((moved**2).sum(1) / 2 + ((moved - x) ** 2).sum(1) / (2 * GAMMA)).mean()) - log_det

    slope = (objective(1e-5) - objective(-1e-5)) / 2e-5
    known = residual_data(x, y, GAMMA)
    inner = float((known * field).sum(1).mean()) - 3 * coefficient
    assert slope == pytest.approx(inner, rel=1e-6)
