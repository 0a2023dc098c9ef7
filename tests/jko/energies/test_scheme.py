"""Every scheme and functional with a closed form reaches it: the objective's minimiser, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from jko.config.sections import Training
from jko.energies.functional import (
    Entropy,
    Functional,
    PotentialEnergy,
    PowerEnergy,
    QuadraticInteraction,
    gaussian_reference,
    half_square,
)
from jko.energies.objective import jko_objective
from jko.energies.scheme import Scheme, Step, ornstein_uhlenbeck_pair
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField
from jko.training.block_trainer import fit_block
from tests.oracles import normal, random_block, stream

GAMMA = 0.4
MEAN, STD = 1.5, 0.8
V = PotentialEnergy(half_square, 1.0)
W = QuadraticInteraction(1.0)


class Affine(nn.Module):
    """The map a x + c by the field (log a)(x + c/(a − 1)), integrated exactly enough by many steps."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(-0.1, dtype=torch.float64))
        self.push = nn.Parameter(torch.tensor(0.0, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.rate * x + self.push

    def with_divergence(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return self(x, t), self.rate.expand(len(x)) * x.shape[1]


def rows(mean: float, std: float) -> Tensor:
    """Rows on the line whose mean and standard deviation (with n − 1) are exactly these."""
    x = torch.randn(400, 1, generator=stream(0), dtype=torch.float64)
    return mean + std * (x - x.mean()) / x.std()


def minimised(step: Step, x: Tensor, gamma: float = GAMMA) -> tuple[float, float]:
    """Mean and standard deviation after the affine map that minimises the objective."""
    block = Block(Affine(), gamma, Solver(steps=16))  # type: ignore[arg-type]
    optimiser = torch.optim.LBFGS(
        block.parameters(),
        max_iter=200,
        tolerance_grad=1e-12,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = step.objective(block, x).total
        loss.backward()
        return loss

    optimiser.step(closure)
    y = block.push_forward(x).detach()
    return float(y.mean()), float(y.std())


def proximal(stiffness: float, entropy: float, std: float) -> float:
    """The s' of (1 + γ stiffness) s' − γ entropy / s' = s."""
    a = 1 + GAMMA * stiffness
    return (std + math.sqrt(std**2 + 4 * GAMMA * entropy * a)) / (2 * a)


#: functional -> (stiffness of the mean, stiffness of the spread, entropy) of G on Gaussians
FUNCTIONALS: dict[str, tuple[Functional, float, float, float]] = {
    "KL": (gaussian_reference(), 1, 1, 1),
    "potential": (Functional((V,)), 1, 1, 0),
    "interaction": (Functional((W,)), 0, 1, 0),
    "entropy": (Functional((Entropy(),)), 0, 0, 1),
    "interaction + entropy": (W + Entropy(), 0, 1, 1),
    "all": (V + W + Entropy(), 1, 2, 1),
}


def closed_form(
    scheme: Scheme, mean_stiffness: float, stiffness: float, entropy: float
) -> tuple[float, float]:
    """Mean and standard deviation after one step from N(MEAN, STD²)."""
    if scheme == "backward_euler":
        return MEAN / (1 + GAMMA * mean_stiffness), proximal(stiffness, entropy, STD)
    moved = (1 - GAMMA * mean_stiffness) * MEAN
    if scheme == "forward_euler":
        return moved, STD - GAMMA * (stiffness * STD - entropy / STD)
    return moved, proximal(0, entropy, (1 - GAMMA * stiffness) * STD)


@pytest.mark.parametrize("scheme", ["backward_euler", "forward_euler", "forward_backward"])
@pytest.mark.parametrize("name", FUNCTIONALS)
def test_every_scheme_follows_its_closed_form_on_gaussians(name: str, scheme: Scheme) -> None:
    """The entropy of 400 rows is that of the map alone, so only the moments' n − 1 matters: exact here.

    The mean square of n rows is (n − 1)/n of the variance taken here; moments agree to 2/n.
    """
    functional, *numbers = FUNCTIONALS[name]
    mean, std = minimised(Step(functional, scheme), rows(MEAN, STD))
    wanted = closed_form(scheme, *numbers)
    assert mean == pytest.approx(wanted[0], abs=1e-5)
    assert std == pytest.approx(wanted[1], abs=2e-3)
    assert (mean, std) != pytest.approx((MEAN, STD), abs=5e-2)


def test_a_power_energy_step_keeps_barenblatts_profile() -> None:
    """m = 2 on the line: ρ = 3(R² − y²)/(4R³), whose exact JKO step has R = R' − 3γ/R'²; derived."""
    after, gamma = 1.6, 0.3
    before = after - 3 * gamma / after**2
    grid = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    angle = torch.acos(1 - 2 * grid)  # quantiles of the profile: 3u − u³ = 4q − 2 at u = x/R
    for _ in range(60):
        u = -torch.cos(angle)
        angle = angle - ((3 * u - u**3) / 4 + 0.5 - grid) / (0.75 * (1 - u**2) * torch.sin(angle))
    x = (before * -torch.cos(angle))[:, None]

    def log_density(points: Tensor) -> Tensor:
        return torch.log(3 * (before**2 - points[:, 0] ** 2) / (4 * before**3))

    step = Step(Functional((PowerEnergy(2.0),)), log_density=log_density)
    _, std = minimised(step, x, gamma)
    assert std / float(x.std()) == pytest.approx(after / before, rel=1e-3)


def test_the_default_is_the_objective_of_the_jko_step_bit_for_bit() -> None:
    block, x = random_block("two_layers", 3), normal(40, 3, seed=1)
    own, old = Step().objective(block, x), jko_objective(block, x)
    assert torch.equal(own.total, old.total)
    general = Step(gaussian_reference()).objective(block, x)
    torch.testing.assert_close(general.total, old.total, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(general.potential, old.potential, rtol=1e-12, atol=1e-12)


def test_random_signs_estimate_the_forward_objective() -> None:
    """d = 9 has no exact divergence; the mean over draws is that of the exact trace within 4 SE."""
    block, x = random_block("one_layer", 9), normal(24, 9, seed=2)
    step = Step(gaussian_reference(), "forward_euler")
    draws = torch.stack([step.objective(block, x, stream(i)).total.detach() for i in range(50)])
    work, moved = x, block.push_forward(x)
    jacobians = torch.func.vmap(torch.func.jacrev(lambda row: block.push_forward(row[None])[0]))(x)
    exact = (work * (moved - x)).sum(-1).mean() - (jacobians.diagonal(dim1=1, dim2=2).sum(-1) - 9).mean()
    exact = exact + ((moved - x) ** 2).sum(-1).mean() / (2 * block.step_size)
    assert abs(draws.mean() - exact) < 4 * draws.std() / 50**0.5
    assert draws.std() > 1e-4


def test_the_simulated_copy_of_another_target_has_its_law_in_the_end() -> None:
    """V = 2|x|²: for a long time N(0, 1/4); steps of .045 make the variance 1/(1 − .09) times that."""
    target = PotentialEnergy(lambda x: 4 * half_square(x), 4.0) + Entropy()
    y = Step(target).pair(2 + normal(4000, 1, seed=3), 5.0, stream(4))
    assert abs(float(y.mean())) < 0.05
    assert float(y.var()) == pytest.approx(0.25 / 0.91, abs=4 * 0.27 * math.sqrt(2 / 4000))
    cold = Step(Functional((V,))).pair(normal(50, 2, seed=5), 0.5, stream(6))
    assert torch.equal(cold, Step(Functional((V,))).pair(normal(50, 2, seed=5), 0.5, stream(7)))
    standard = Step().pair(normal(50, 2, seed=5), 0.5, stream(6))
    assert torch.equal(standard, ornstein_uhlenbeck_pair(normal(50, 2, seed=5), 0.5, stream(6)))


def test_a_trained_block_descends_another_target() -> None:
    """From N(0, 1) towards N(2, .5²): one long JKO step by a network ends near the closed form."""
    target = PotentialEnergy(lambda x: 4 * half_square(x - 2), 4.0) + Entropy()
    x = torch.randn(3000, 1, generator=stream(8))
    block = Block(VelocityField(1, (16, 16), generator=stream(9)), 1.0, Solver(steps=4))
    settings = Training(
        flow_matching_iterations=150, iterations=60, batch_size=256, learning_rate=3e-3,
        flow_matching_learning_rate=1e-2, validate_every=50, validation_rows=500,
    )  # fmt: skip
    fit_block(block, x[:2500], x[2500:], settings, seed=0, index=1, step=Step(target))
    y = block.push_forward(x).detach()
    std = (1 + math.sqrt(1 + 4 * 5)) / 10  # (1 + γλ) s' − γ/s' = s
    assert float(y.mean()) == pytest.approx(8 / 5, abs=0.08)
    assert float(y.std()) == pytest.approx(std, abs=0.05)
