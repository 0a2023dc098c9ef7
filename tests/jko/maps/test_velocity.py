"""Velocity fields: identity start, exact divergence, gradients."""

import pytest
import torch

from jko.energies.objective import jko_objective
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import ACTIVATIONS, VelocityField
from tests.oracles import FIELD_KINDS, jacobian, normal, random_field, stream

SHAPES = {
    "one hidden layer": {"hidden": (7,)},
    "two hidden layers": {"hidden": (7, 4)},
    "three hidden layers": {"hidden": (7, 4, 5)},
    "fourier, one layer": {"hidden": (7,), "fourier": 3},
    "fourier, three layers": {"hidden": (5, 4, 6), "fourier": 2},
}


def nonzero_field(activation: str, dim: int, **shape: object) -> VelocityField:
    field = VelocityField(dim, activation=activation, generator=stream(1), **shape).double()
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.normal_(0, 0.6, generator=stream(parameter.numel()))
    return field


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_a_new_field_is_the_zero_map_at_every_time(kind: str) -> None:
    field = VelocityField(3, **FIELD_KINDS[kind], generator=stream(0)).double()
    x = normal(20, 3, seed=1)
    for t in (0.0, 0.3, 1.0):
        velocity, div = field.with_divergence(x, torch.tensor(t, dtype=x.dtype))
        assert torch.equal(velocity, torch.zeros_like(x))
        assert torch.equal(div, torch.zeros(20, dtype=x.dtype))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("dim", [1, 3])
def test_divergence_is_the_trace_of_the_autograd_jacobian(activation: str, shape: dict, dim: int) -> None:
    field = nonzero_field(activation, dim, **shape)
    x, t = normal(9, dim, seed=2), torch.tensor(0.37, dtype=torch.float64)
    velocity, div = field.with_divergence(x, t)
    trace = jacobian(lambda rows: field(rows, t), x).diagonal(dim1=1, dim2=2).sum(-1)
    torch.testing.assert_close(div, trace, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(velocity, field(x, t), rtol=1e-12, atol=1e-12)
    assert trace.abs().min() > 1e-3  # the comparison is not of zeros


def test_the_trace_formula_serves_up_to_two_layers_without_fourier_features() -> None:
    formula = {name: nonzero_field("silu", 3, **shape).has_trace_formula for name, shape in SHAPES.items()}
    assert [name for name, cheap in formula.items() if cheap] == ["one hidden layer", "two hidden layers"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slope_is_the_derivative_of_its_activation(activation: str) -> None:
    act, slope = ACTIVATIONS[activation]
    a = torch.linspace(-6, 6, 101, dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(act(a).sum(), a)
    torch.testing.assert_close(slope(a), derivative, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_times_given_per_row_equal_a_common_time(kind: str) -> None:
    field, x = random_field(kind, 3), normal(8, 3, seed=3)
    t = torch.linspace(0, 1, 8, dtype=x.dtype)
    alone = torch.cat([field(x[i : i + 1], t[i]) for i in range(8)])
    torch.testing.assert_close(field(x, t), alone, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(field.with_divergence(x, t)[0], alone, rtol=1e-12, atol=1e-12)
    divergences = torch.cat([field.with_divergence(x[i : i + 1], t[i])[1] for i in range(8)])
    torch.testing.assert_close(field.with_divergence(x, t)[1], divergences, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_velocity_depends_on_time(kind: str) -> None:
    field, x = random_field(kind, 2), normal(5, 2, seed=4)
    first, last = (field(x, torch.tensor(t, dtype=x.dtype)) for t in (0.0, 1.0))
    assert (first - last).abs().min() > 1e-6


@pytest.mark.parametrize("kind", FIELD_KINDS)
@pytest.mark.parametrize("probes", [0, 2])
def test_every_parameter_gets_a_gradient_from_the_objective(kind: str, probes: int) -> None:
    block = Block(random_field(kind, 3), 0.5, Solver(steps=2, probes=probes))
    jko_objective(block, normal(32, 3, seed=5), stream(6)).total.backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_a_new_field_can_learn_at_once(kind: str) -> None:
    """The zero start is no dead point: a gradient step lowers the objective."""
    block, x = (
        Block(VelocityField(3, **FIELD_KINDS[kind], generator=stream(0)).double(), 0.5),
        normal(32, 3, seed=5),
    )
    optimiser = torch.optim.SGD(block.parameters(), lr=0.01)
    before = jko_objective(block, x + 1).total
    before.backward()
    optimiser.step()
    assert jko_objective(block, x + 1).total < before - 1e-3


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_initial_weights_are_a_function_of_the_generator(kind: str) -> None:
    same, again, other = (
        VelocityField(2, **FIELD_KINDS[kind], generator=stream(seed)).state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(same[key], again[key]) for key in same)
    drawn = [key for key in same if same[key].any()]
    assert drawn
    assert all(not torch.equal(same[key], other[key]) for key in drawn)
