"""Runge–Kutta methods: observed order on problems with exact answers."""

import math

import pytest
import torch
from torch import Tensor

from jko.maps.integrators import TABLEAUS, integrate
from tests.oracles import normal

A = torch.tensor([[-0.6, 1.1, 0.0], [-0.9, 0.3, 0.4], [0.2, -0.5, 0.7]], dtype=torch.float64)
X = normal(6, 3, seed=0)
TRACE = float(A.trace())


def autonomous(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """v = Ax: x(1) = expm(A) x(0); the integrand |x|² rides along."""
    return x @ A.T, (x * x).sum(-1)


def timed(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """v = 2 cos(2t) A x: x(t) = expm(A sin 2t) x(0)."""
    return 2 * torch.cos(2 * t) * (x @ A.T), 2 * torch.cos(2 * t) * TRACE * torch.ones_like(x[:, 0])


def flow_of(s: float) -> Tensor:
    return X @ torch.matrix_exp(s * A).T


def observed_order(error_of_steps: list[float]) -> float:
    """log₂ of the last ratio of errors under step halving."""
    return math.log2(error_of_steps[-2] / error_of_steps[-1])


@pytest.mark.parametrize("method", TABLEAUS)
@pytest.mark.parametrize(
    ("right_side", "exact"),
    [(autonomous, flow_of(1.0)), (timed, flow_of(math.sin(2.0)))],
    ids=["autonomous", "timed"],
)
def test_observed_order_is_the_tableau_s_order(method: str, right_side: object, exact: Tensor) -> None:
    errors = [
        float((integrate(right_side, X, steps=n, method=method)[0] - exact).abs().max()) for n in (32, 64)
    ]
    assert observed_order(errors) == pytest.approx(TABLEAUS[method].order, abs=0.15)


@pytest.mark.parametrize("method", TABLEAUS)
def test_carried_integral_has_the_same_order(method: str) -> None:
    """dx/dt = a x with integrand x²: ∫ x² = x₀² (e^{2a} − 1)/(2a)."""
    a, x = 0.8, X[:, :1]
    exact = (x**2 * math.expm1(2 * a) / (2 * a))[:, 0]
    errors = []
    for n in (32, 64):
        _, integral = integrate(lambda y, t: (a * y, (y**2)[:, 0]), x, steps=n, method=method)
        errors.append(float((integral - exact).abs().max()))
    assert observed_order(errors) == pytest.approx(TABLEAUS[method].order, abs=0.15)


@pytest.mark.parametrize("method", TABLEAUS)
def test_integral_of_a_constant_divergence_is_exact(method: str) -> None:
    """∫ tr A dt = tr A, whatever the step."""
    _, integral = integrate(
        lambda x, t: (x @ A.T, TRACE * torch.ones_like(x[:, 0])), X, steps=3, method=method
    )
    torch.testing.assert_close(integral, torch.full((6,), TRACE, dtype=torch.float64), rtol=1e-13, atol=0)


@pytest.mark.parametrize("method", TABLEAUS)
def test_integral_of_a_time_dependent_divergence(method: str) -> None:
    """∫ 2 cos(2t) tr A dt = sin(2) tr A, to the method's order."""
    exact = math.sin(2.0) * TRACE
    errors = [float((integrate(timed, X, steps=n, method=method)[1] - exact).abs().max()) for n in (32, 64)]
    assert observed_order(errors) == pytest.approx(TABLEAUS[method].order, abs=0.15)


@pytest.mark.parametrize("method", TABLEAUS)
def test_backwards_undoes_forwards_to_the_order(method: str) -> None:
    errors = []
    for n in (16, 32):
        there, gained = integrate(timed, X, steps=n, method=method)
        back, lost = integrate(timed, there, start=1.0, end=0.0, steps=n, method=method)
        errors.append(float((back - X).abs().max()))
    assert observed_order(errors) > TABLEAUS[method].order - 0.15
    assert (gained + lost).abs().max() < 10 * (1 / 32) ** TABLEAUS[method].order


def test_two_halves_equal_the_whole() -> None:
    """Times are absolute: [0, ½] then [½, 1] takes the same steps as [0, 1]."""
    whole, integral = integrate(timed, X, steps=8)
    middle, first = integrate(timed, X, end=0.5, steps=4)
    end, second = integrate(timed, middle, start=0.5, steps=4)
    torch.testing.assert_close(end, whole, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(first + second, integral, rtol=1e-13, atol=1e-13)


def test_no_integrand_gives_no_integral_and_the_same_positions() -> None:
    plain, none = integrate(lambda x, t: (autonomous(x, t)[0], None), X)
    assert none is None
    assert torch.equal(plain, integrate(autonomous, X)[0])


def test_the_initial_positions_are_not_changed() -> None:
    x = X.clone()
    integrate(autonomous, x)
    assert torch.equal(x, X)


@pytest.mark.parametrize("tableau", TABLEAUS.values(), ids=TABLEAUS)
def test_tableaus_are_consistent_and_explicit(tableau: object) -> None:
    """Σb = 1, c_i = Σ_j a_ij, a strictly lower triangular."""
    assert sum(tableau.weights) == pytest.approx(1)
    for i, (c, row) in enumerate(zip(tableau.nodes, tableau.matrix, strict=True)):
        assert len(row) <= i
        assert sum(row) == pytest.approx(c)
