"""The JKO objective: its terms, its closed form, its minimiser."""

import math

import numpy as np
import pytest
import torch

from jko.energies.objective import jko_objective, potential
from jko.laws import gaussian
from jko.maps.ode_block import Block, Solver
from tests.oracles import (
    AffineField,
    affine_block,
    gaussian_affine_block,
    normal,
    random_block,
    rows_with_exact_moments,
    slogdet_of,
    stream,
)

MEAN, STD, GAMMA = [3.0, -1.0, 0.5], [1.0, 0.4, 2.0], 0.5
LAW = gaussian.Gaussian.of(MEAN, STD)
STEP = gaussian.jko_step(LAW, GAMMA)
X = rows_with_exact_moments(MEAN, STD, rows=64, seed=0)


def closed_form(after: gaussian.Gaussian, step_size: float) -> float:
    """KL(T#p‖q) + E|Tx − x|²/(2γ) + H(p) − log Z for the optimal map between diagonal Gaussians."""
    moved = np.sum((after.mean - LAW.mean) ** 2) + np.sum((after.std - LAW.std) ** 2)
    log_z = 1.5 * math.log(2 * math.pi)
    return gaussian.kl(after) + moved / (2 * step_size) + gaussian.entropy(LAW) - log_z


def test_potential_is_minus_log_density_of_the_reference_without_its_constant() -> None:
    torch.testing.assert_close(potential(torch.tensor([[3.0, 4.0], [0.0, 0.0]])), torch.tensor([12.5, 0.0]))


def test_the_terms_are_what_their_names_say() -> None:
    """Direct computation: |Tx|²/2, slogdet of the autograd Jacobian, |Tx − x|²/(2γ)."""
    block, x = random_block("two_layers", 3, steps=24), normal(5, 3, seed=1)
    block.step_size = 0.3
    y, terms = block.push_forward(x), jko_objective(block, x)
    torch.testing.assert_close(terms.potential, (y**2).sum() / 5 / 2)
    torch.testing.assert_close(terms.transport, ((y - x) ** 2).sum() / 5 / (2 * 0.3))
    torch.testing.assert_close(terms.log_det, slogdet_of(block.push_forward, x).mean(), rtol=0, atol=1e-5)
    torch.testing.assert_close(terms.total, terms.potential - terms.log_det + terms.transport)


@pytest.mark.parametrize("step_size", [0.1, 0.5, 3.0])
def test_for_gaussians_and_an_affine_map_it_is_the_closed_form(step_size: float) -> None:
    """Rows with exact first two moments: no sampling error, only the solver's."""
    after = gaussian.Gaussian.of([1.0, 0.3, 0.2], [0.8, 0.9, 1.1])
    block = gaussian_affine_block((MEAN, STD), (after.mean, after.std), step_size)
    assert jko_objective(block, X).total.item() == pytest.approx(closed_form(after, step_size), abs=1e-4)


def test_the_identity_costs_the_mean_potential() -> None:
    terms = jko_objective(affine_block([1.0] * 3, [0.0] * 3), X)
    assert terms.total.item() == pytest.approx(potential(X).mean().item(), abs=1e-12)


def exact_step_block() -> Block:
    return gaussian_affine_block((MEAN, STD), (STEP.mean, STEP.std), GAMMA)


def test_the_exact_gaussian_step_is_a_stationary_point() -> None:
    """No derivative in any of the 12 parameters of an affine field; off the step there is one."""
    block = exact_step_block()
    jko_objective(block, X).total.backward()
    assert block.field.matrix.grad.abs().max() < 1e-5
    assert block.field.offset.grad.abs().max() < 1e-5
    off = affine_block([0.9] * 3, [0.1] * 3, GAMMA)
    jko_objective(off, X).total.backward()
    assert off.field.offset.grad.abs().max() > 0.1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [0.02, 0.3])
@torch.no_grad()
def test_any_perturbation_of_the_exact_step_is_worse(seed: int, size: float) -> None:
    """Affine perturbations in random directions, rotations included, and both their signs."""
    exact = exact_step_block()
    least = jko_objective(exact, X).total
    matrix, offset = size * normal(3, 3, seed=seed), size * normal(3, seed=seed + 100)
    for sign in (1, -1):
        field = AffineField(exact.field.matrix + sign * matrix, exact.field.offset + sign * offset)
        assert jko_objective(Block(field, GAMMA, Solver(steps=8)), X).total > least + 1e-2 * size**2


@torch.no_grad()
def test_a_larger_step_size_makes_movement_cheaper() -> None:
    """1/(2γ): doubling γ halves the transport term and changes nothing else."""
    block = random_block("one_layer", 3)
    block.step_size = 0.4
    first = jko_objective(block, X)
    block.step_size = 0.8
    second = jko_objective(block, X)
    torch.testing.assert_close(second.transport, first.transport / 2)
    assert torch.equal(second.potential, first.potential)
    assert torch.equal(second.log_det, first.log_det)


@torch.no_grad()
def test_hutchinson_s_objective_is_unbiased() -> None:
    """64 independent estimates of one batch, mean within 4 standard errors of the exact value."""
    exact = jko_objective(random_block("two_layers", 3, steps=2), X).total
    block = random_block("two_layers", 3, steps=2, probes=1)
    estimates = torch.stack([jko_objective(block, X, stream(i)).total for i in range(64)])
    assert estimates.std() > 0
    assert (estimates.mean() - exact).abs() < 4 * estimates.std() / 8
