"""The Lipschitz bound, which no weights break and some attain, and the norms it comes from."""

from __future__ import annotations

import math
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jko.core.errors import InputError
from jko.maps.contraction import LIPSCHITZ, ContractionField, layers_bound, spectral_norm
from jko.maps.velocity import PAIRS
from tests import oracles
from tests.oracles import RESIDUAL_KINDS, normal, random_contraction, stream

#: relative rounding of a norm and of a Jacobian
ROUNDING = 1e-9


def stretch(field: ContractionField, x: Tensor) -> float:
    """The largest singular value of ∇f over rows, by autograd."""
    return float(torch.linalg.svdvals(oracles.jacobian(field, x)).max().detach())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    activation=st.sampled_from(sorted(LIPSCHITZ)), dim=st.integers(1, 5), depth=st.integers(1, 3),
    size=st.floats(-2, 3), linear=st.floats(-2, 3), bound=st.floats(0.05, 0.99), seed=st.integers(0, 999),
)  # fmt: skip
def test_no_weights_of_any_size_break_the_bound(
    activation: str, dim: int, depth: int, size: float, linear: float, bound: float, seed: int
) -> None:
    field = ContractionField(dim, (7,) * depth, activation, lipschitz=bound).double()
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.normal_(0, 10**size, generator=stream(seed))
        field.linear.weight.normal_(0, 10**linear, generator=stream(seed + 1))
    x = 3 * normal(8, dim, seed=seed)
    promised = float(field.prepared().lipschitz)
    assert promised <= bound
    assert stretch(field, x) <= promised * (1 + ROUNDING)
    moved = (field(x[1:]) - field(x[:-1])).norm(dim=-1) / (x[1:] - x[:-1]).norm(dim=-1)
    assert float(moved.detach().max()) <= promised * (1 + ROUNDING)


@pytest.mark.parametrize("kind", RESIDUAL_KINDS)
@pytest.mark.parametrize("bound", [0.5, 0.9])
def test_weights_trained_to_break_the_bound_do_not(kind: str, bound: float) -> None:
    """Ascent on |f(x) − f(x')| / |x − x'| over weights and points, from random weights: it comes near."""
    field, pair = random_contraction(kind, 2, lipschitz=bound), normal(2, 2, seed=1).requires_grad_()
    optimiser = torch.optim.Adam([*field.parameters(), pair], lr=0.03, maximize=True)
    start = best = 0.0
    for _ in range(200):
        optimiser.zero_grad()
        values = field(pair)
        ratio = (values[0] - values[1]).norm() / (pair[0] - pair[1]).norm()
        ratio.backward()
        optimiser.step()
        start, best = start or float(ratio.detach()), max(best, float(ratio.detach()))
        assert float(ratio.detach()) <= bound * (1 + ROUNDING)
    assert best > 0.9 * bound > 1.2 * start
    assert stretch(field, pair.detach()) <= bound * (1 + ROUNDING)


@pytest.mark.parametrize(("activation", "steepest"), [("tanh", 0.0), ("softplus", 40.0), ("silu", 2.3993573)])
@pytest.mark.parametrize("depth", [1, 2])
def test_the_bound_is_attained_by_aligned_weights(activation: str, steepest: float, depth: int) -> None:
    """A rank-one network whose every activation is at its steepest: no smaller bound would hold."""
    field = ContractionField(3, (4,) * depth, activation, lipschitz=0.8).double()
    direction = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.zero_()
        field.layers[0].weight[0] = 5 * direction
        for layer in field.layers[1:-1]:
            layer.weight[0, 0] = 7.0
        field.layers[-1].weight[:, 0] = 11 * direction
        value, act = torch.tensor(steepest, dtype=torch.float64), PAIRS[activation]
        for layer in field.layers[:-1]:
            layer.bias[0] = steepest - (0 if layer is field.layers[0] else 7 * act(value)[0])
    assert stretch(field, torch.zeros(1, 3, dtype=torch.float64)) == pytest.approx(0.8, rel=1e-7)


@pytest.mark.parametrize("activation", LIPSCHITZ)
def test_the_constants_of_the_activations_are_the_largest_slopes(activation: str) -> None:
    a = torch.linspace(-60, 60, 1_200_001, dtype=torch.float64)
    slopes, largest = PAIRS[activation](a)[1], LIPSCHITZ[activation]
    assert slopes.max().item() <= largest
    assert slopes.max().item() == pytest.approx(largest, abs=1e-8)
    assert slopes.min().item() >= 1 - largest


@pytest.mark.parametrize("steepest", [1.0, 1.1])
@pytest.mark.parametrize("hidden", [(4,), (5, 3), (3, 4, 5)])
def test_the_bound_of_the_layers_is_the_sum_over_all_ways_to_cut(
    steepest: float, hidden: tuple[int, ...]
) -> None:
    """Every hidden layer is linear, slope ½, or cuts the product with at most Λ − ½: 2^L terms by hand."""
    widths = (2, *hidden, 2)
    weights = [normal(b, a, seed=i) for i, (a, b) in enumerate(pairwise(widths))]
    linear, total = normal(2, 2, seed=9), 0.0
    for cuts in product([False, True], repeat=len(hidden)):
        norms, segment = [], weights[0]
        for cut, weight in zip(cuts, weights[1:], strict=True):
            norms += [segment] if cut else []
            segment = weight if cut else weight @ segment / 2
        norms.append(segment if any(cuts) else segment + linear)
        sizes = [float(torch.linalg.matrix_norm(norm, 2)) for norm in norms]
        total += math.prod(sizes) * (steepest - 0.5) ** sum(cuts)
    found = float(layers_bound(weights, linear, steepest))
    assert found == pytest.approx(total, rel=1e-12)
    loose = steepest ** len(hidden) * math.prod(float(torch.linalg.matrix_norm(w, 2)) for w in weights)
    assert found < 0.95 * (loose + float(torch.linalg.matrix_norm(linear, 2)))


def test_a_linear_map_within_the_bound_is_itself_and_one_beyond_is_scaled() -> None:
    matrix, x = normal(3, 3, seed=2), normal(6, 3, seed=3)
    norm = float(torch.linalg.matrix_norm(matrix, 2))
    for size, scale in ((0.7, 1.0), (1.8, 0.5)):
        block = oracles.affine_residual(size / norm * matrix, torch.ones(3), lipschitz=0.9)
        torch.testing.assert_close(
            block.field(x), scale * size / norm * x @ matrix.T + 1, rtol=1e-12, atol=1e-12
        )


def test_the_shift_is_never_scaled() -> None:
    """A step that moves far needs no second block."""
    block = oracles.affine_residual(0 * torch.eye(2).double(), torch.tensor([1e3, -2e3]))
    x = normal(4, 2, seed=4)
    torch.testing.assert_close(
        block(x).x, x + torch.tensor([1e3, -2e3], dtype=torch.float64), rtol=1e-12, atol=0
    )
    assert float(block.field.prepared().lipschitz) == 0


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (1, 1), (64, 64)])
def test_the_spectral_norm_and_its_gradient_are_those_of_linear_algebra(shape: tuple[int, int]) -> None:
    weight = normal(*shape, seed=5).requires_grad_()
    found, exact = spectral_norm(weight), torch.linalg.matrix_norm(weight, 2)
    torch.testing.assert_close(found, exact, rtol=1e-13, atol=0)
    slopes = [torch.autograd.grad(norm, weight)[0] for norm in (found, exact)]
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-12)


def test_norms_at_zero_and_of_what_is_not_finite() -> None:
    zero = torch.zeros(3, 4, requires_grad=True)
    assert torch.equal(torch.autograd.grad(spectral_norm(zero), zero)[0], torch.zeros(3, 4))
    for wrong in (math.nan, math.inf):
        field = random_contraction("residual_one_layer", 2)
        with torch.no_grad():
            field.layers[0].weight[0, 0] = wrong
        assert math.isnan(float(field.unscaled_bound().detach()))
        assert field(normal(3, 2, seed=6)).isnan().all()


@pytest.mark.parametrize("bound", [0.0, 1.0, -0.1, math.nan])
def test_a_bound_that_is_none_is_refused(bound: float) -> None:
    with pytest.raises(InputError, match="0 < bound < 1"):
        ContractionField(2, lipschitz=bound)


@pytest.mark.parametrize("kind", RESIDUAL_KINDS)
def test_the_jacobian_carried_through_the_layers_is_that_of_autograd(kind: str) -> None:
    field, x = random_contraction(kind, 3), normal(5, 3, seed=7)
    value, found = field.prepared().with_jacobian(x)
    torch.testing.assert_close(value, field(x), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(found, oracles.jacobian(field, x), rtol=1e-11, atol=1e-13)


def test_float32_weights_prepared_in_float64_are_those_of_their_float64_copy() -> None:
    """Not scaled once in float32 and then widened: the bound must hold to float64's digits."""
    field, x = (
        random_contraction("residual_two_layers", 3, size=0.5, dtype=torch.float32),
        normal(4, 3, seed=8),
    )
    fine = field.prepared(torch.float64)(x)
    torch.testing.assert_close(fine, field.double()(x), rtol=1e-14, atol=1e-15)
