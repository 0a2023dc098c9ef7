"""ε² by the linear critic, against closed forms, the objective's gradient and its own error bars."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from jko.core.errors import InputError
from jko.energies.functional import (
    Entropy,
    Functional,
    PotentialEnergy,
    PowerEnergy,
    QuadraticInteraction,
    half_square,
)
from jko.laws import gaussian
from jko.measure.residual import LinearCritic, linear_critic, residual_data
from tests.oracles import normal, stream

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


def test_no_weight_is_the_weight_one_and_no_drift_that_of_the_reference() -> None:
    x, y, _ = step(500, [1.5, 0.7, 1.2], 0)
    u = residual_data(x, y, GAMMA)
    assert torch.equal(u, y - (x - y) / GAMMA)
    assert torch.equal(u, residual_data(x, y, GAMMA, y))
    assert not torch.equal(u, residual_data(x, y, GAMMA, 2 * y))
    critic = LinearCritic(y, centres=20)
    assert critic.estimate(u) == critic.estimate(u, torch.ones(500))
    assert critic.estimate(u) != critic.estimate(u, 2 * torch.ones(500))
    with pytest.raises(InputError, match="500 rows need as many weights"):
        critic.estimate(u, torch.ones(500, 1))


class Barenblatt:
    """ρ ∝ (1 − |y|²/R²)^{1/(m − 1)} in a ball of radius R: ∇U'(ρ) = −slope · y for the power energy."""

    def __init__(self, exponent: float, radius: float, dim: int) -> None:
        self.power, self.exponent, self.radius, self.dim = 1 / (exponent - 1), exponent, radius, dim
        self.log_top = (
            math.lgamma(self.power + 1 + dim / 2)
            - math.lgamma(self.power + 1)
            - dim * math.log(radius * math.sqrt(math.pi))
        )
        self.slope = 2 * exponent * self.power * math.exp((exponent - 1) * self.log_top) / radius**2
        self.second_moment = radius**2 * dim / (dim + 2 * self.power + 2)

    def sample(self, rows: int, seed: int) -> torch.Tensor:
        direction = torch.nn.functional.normalize(normal(rows, self.dim, seed=seed), dim=1)
        share = np.random.default_rng(seed).beta(self.dim / 2, self.power + 1, size=(rows, 1))
        return self.radius * torch.from_numpy(share).sqrt() * direction

    def log_density(self, y: torch.Tensor) -> torch.Tensor:
        return self.log_top + self.power * torch.log1p(-(y**2).sum(1) / self.radius**2)


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("exponent", [1.5, 2.0, 3.0])
def test_the_profile_of_the_power_energy(exponent: float, dim: int) -> None:
    """Its ∇U'(ρ) = m/(m − 1) ∇ρ^{m−1} is linear, and its mass is 1."""
    law = Barenblatt(exponent, 1.7, dim)
    y = law.sample(50, 0).requires_grad_()
    pressure = exponent / (exponent - 1) * ((exponent - 1) * law.log_density(y)).exp()
    torch.testing.assert_close(torch.autograd.grad(pressure.sum(), y)[0], -law.slope * y)
    radii = torch.linspace(0, 1.7, 200_001, dtype=torch.float64)[:-1]
    surface = 2 * math.pi ** (dim / 2) / math.gamma(dim / 2) * radii ** (dim - 1)
    line = torch.zeros(len(radii), dim, dtype=torch.float64)
    line[:, 0] = radii
    mass = torch.trapezoid(surface * law.log_density(line).exp(), radii)
    assert float(mass) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("centres", [0, 20])
@pytest.mark.parametrize(("exponent", "stiffness"), [(1.5, 0.4), (2.0, 3.0), (2.0, None), (3.0, 1.0)])
def test_the_weighted_critic_on_a_barenblatt_profile(
    exponent: float, stiffness: float | None, centres: int
) -> None:
    """V = a|y|²/2 and the power energy: ξ = (a − slope) y, 0 at the stationary law (a = slope)."""
    law = Barenblatt(exponent, 1.7, 2)
    a = law.slope if stiffness is None else stiffness
    functional = PotentialEnergy(lambda y: a * half_square(y), a) + PowerEnergy(exponent)
    true, found = (a - law.slope) ** 2 * law.second_moment, []
    for seed in range(40):
        y = law.sample(1500, seed)
        weight = functional.pressure_ratio(law.log_density(y))
        found.append(LinearCritic(y, centres=centres).estimate(functional.drift(y), weight))
    values, errors = (np.array([getattr(each, name) for each in found]) for name in ("value", "se"))
    shrinkage = 0.04 * true if centres else 0.0  # the ridge of the bumps takes a share of ε²
    assert abs(values.mean() - true) < 4 * values.std() / math.sqrt(40) + shrinkage
    assert 0.4 < values.std() / errors.mean() < 1.5


def test_an_exact_step_of_the_porous_medium() -> None:
    """x = y + γ∇δG/δρ(y) is the map back of an exact step; without the weight ε looks large."""
    law = Barenblatt(2.0, 1.7, 2)
    functional, gamma = Functional((PowerEnergy(2.0),)), 0.5
    y = law.sample(4000, 1)
    x = y - gamma * law.slope * y
    critic = LinearCritic(y, centres=20)
    u = residual_data(x, y, gamma, functional.drift(y))
    found = critic.estimate(u, functional.pressure_ratio(law.log_density(y)))
    assert abs(found.value) < 4 * found.se
    assert found.se < 0.01
    assert critic.estimate(u).value > 0.5


def test_interaction_and_entropy() -> None:
    """Strength a in place of a potential: ξ = a(y − m) − (y − m)/s² on N(m, s² I)."""
    functional = QuadraticInteraction(1.5) + Entropy()
    scores = []
    for seed in range(40):
        y = 3 + 0.6 * torch.randn(1500, 2, generator=stream(seed), dtype=torch.float64)
        found = LinearCritic(y).estimate(functional.drift(y), functional.pressure_ratio(y[:, 0]))
        scores.append((found.value - 2 * (1.5 - 1 / 0.36) ** 2 * 0.36) / found.se)
    assert abs(np.mean(scores)) < 0.8
    assert 0.4 < np.std(scores) < 1.5
