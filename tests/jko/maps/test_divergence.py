"""Divergence: exact by tangents, Hutchinson's estimate in mean, fixed probes."""

import pytest
import torch
from torch import Tensor

from jko.maps.divergence import exact_divergence, hutchinson_divergence, rademacher
from jko.maps.ode_block import Block, Solver
from tests.oracles import FIELD_KINDS, AffineField, jacobian, normal, random_field, stream

T = torch.tensor(0.4, dtype=torch.float64)


def swirl(x: Tensor, t: Tensor) -> Tensor:
    """A field with known divergence cos x₁ + x₁ + 3 t x₃²."""
    return torch.stack([torch.sin(x[:, 0]) + x[:, 2], x[:, 0] * x[:, 1], t * x[:, 2] ** 3 - x[:, 0]], dim=-1)


def swirl_divergence(x: Tensor, t: Tensor) -> Tensor:
    return torch.cos(x[:, 0]) + x[:, 0] + 3 * t * x[:, 2] ** 2


def test_exact_divergence_of_a_generic_function() -> None:
    x = normal(20, 3, seed=0)
    velocity, div = exact_divergence(swirl)(x, T)
    torch.testing.assert_close(div, swirl_divergence(x, T), rtol=1e-12, atol=1e-12)
    assert torch.equal(velocity, swirl(x, T))


def test_exact_divergence_keeps_the_graph_to_the_parameters() -> None:
    """d(tr A)/dA = I."""
    field = AffineField(normal(3, 3, seed=1))
    exact_divergence(field)(normal(4, 3, seed=2), T)[1].mean().backward()
    torch.testing.assert_close(field.matrix.grad, torch.eye(3, dtype=torch.float64))


def test_a_field_with_its_own_exact_divergence_agrees_with_the_generic_one() -> None:
    field, x = random_field("two_layers", 4), normal(7, 4, seed=3)
    generic = exact_divergence(lambda y, t: field(y, t))
    torch.testing.assert_close(exact_divergence(field)(x, T)[1], generic(x, T)[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["generic", "three_layers"])
@torch.no_grad()
def test_hutchinson_mean_is_the_exact_trace_within_four_standard_errors(name: str) -> None:
    """4 points, each repeated 2000 times so that one call makes 2000 independent estimates."""
    field = swirl if name == "generic" else random_field(name, 3, size=0.8)
    x = normal(4, 3, seed=4)
    with torch.enable_grad():
        exact = jacobian(lambda rows: field(rows, T), x).diagonal(dim1=1, dim2=2).sum(-1)
    rows = x.repeat_interleave(2000, dim=0)
    estimates = hutchinson_divergence(field, rademacher(1, rows, stream(5)))(rows, T)[1].reshape(4, 2000)
    se = estimates.std(-1) / 2000**0.5
    assert (se > 1e-4).all()  # there is something to average
    assert ((estimates.mean(-1) - exact).abs() < 4 * se).all()


def test_each_probe_gives_its_own_quadratic_form() -> None:
    matrix, x = normal(3, 3, seed=6), normal(6, 3, seed=7)
    probes = rademacher(4, x, stream(8))
    velocity, estimates = hutchinson_divergence(AffineField(matrix), probes)(x, T)
    torch.testing.assert_close(estimates, torch.einsum("pbi,ij,pbj->bp", probes, matrix, probes))
    torch.testing.assert_close(velocity, x @ matrix.T)


def test_probes_stay_fixed_over_a_solve() -> None:
    """For v = Ax every stage then gives the same eᵀAe, so the integral is that number exactly."""
    matrix, x = normal(3, 3, seed=9), normal(6, 3, seed=10)
    block = Block(AffineField(matrix), 0.5, Solver(steps=5, probes=3))
    probes = rademacher(3, x, stream(11))
    expected = torch.einsum("pbi,ij,pbj->bp", probes, matrix, probes)
    pushed = block(x, stream(11))
    torch.testing.assert_close(pushed.log_det, expected.mean(-1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(pushed.log_det_se, expected.std(-1) / 3**0.5, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rademacher_probes_are_signs_with_unit_covariance(dtype: torch.dtype) -> None:
    probes = rademacher(2000, torch.zeros(2, 3, dtype=dtype), stream(12))
    assert probes.dtype == dtype
    assert probes.shape == (2000, 2, 3)
    assert set(probes.unique().tolist()) == {-1.0, 1.0}
    rows = probes.reshape(-1, 3)
    assert (rows.mean(0).abs() < 4 / len(rows) ** 0.5).all()
    assert ((rows.T @ rows / len(rows) - torch.eye(3)).abs() < 4 / len(rows) ** 0.5).all()


def test_probes_are_a_function_of_the_generator() -> None:
    x = torch.zeros(8, 3)
    assert torch.equal(rademacher(2, x, stream(1)), rademacher(2, x, stream(1)))
    assert not torch.equal(rademacher(2, x, stream(1)), rademacher(2, x, stream(2)))


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_tangents_of_probes_within_a_field_agree_with_the_generic_ones(kind: str) -> None:
    field, x = random_field(kind, 3), normal(7, 3, seed=11)
    probes = rademacher(3, x, stream(12))
    gradients = []
    for divergence in (
        hutchinson_divergence(field, probes),
        hutchinson_divergence(lambda y, t: field(y, t), probes),
    ):
        field.zero_grad()
        velocity, estimates = divergence(x, T)
        (estimates.square().sum() + velocity.sum()).backward()
        grads = [torch.zeros(1) if p.grad is None else p.grad.flatten().clone() for p in field.parameters()]
        gradients.append((velocity, estimates, torch.cat(grads)))
    for own, generic in zip(*gradients, strict=True):
        torch.testing.assert_close(own, generic, rtol=1e-10, atol=1e-11)
