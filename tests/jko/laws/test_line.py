"""The step on the line: closed forms, manufactured steps, identities of every exact step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from scipy.interpolate import CubicSpline

from jko.core.errors import NumericalError
from jko.laws.gaussian import Gaussian, jko_step, kl
from jko.laws.line import QUADRATIC, LineStep, Potential, solve_step

Array = np.ndarray
Law = Callable[[Array], Array]

WAVY = Potential(
    lambda x: 0.5 * x**2 + 0.5 * np.cos(x), lambda x: x - 0.5 * np.sin(x), lambda x: 1 - 0.5 * np.cos(x)
)
POTENTIALS = {"quadratic": QUADRATIC, "wavy": WAVY}


def gaussian_step(mean: float, std: float, step_size: float, *, points: int) -> LineStep:
    """The step of N(mean, std²) on a grid of 8 standard deviations either side."""
    x = np.linspace(mean - 8 * std, mean + 8 * std, points)
    return solve_step(x, stats.norm.pdf(x, mean, std), step_size)


def two_normals(y: Array) -> tuple[Array, Array, Array]:
    """.6 N(−1, .9²) + .4 N(1.5, .7²): log-density with two derivatives."""
    mean, std = np.array([-1.0, 1.5]), np.array([0.9, 0.7])
    parts = np.array([0.6, 0.4]) * stats.norm.pdf(y[:, None], mean, std)
    share, slopes = parts / parts.sum(1, keepdims=True), -(y[:, None] - mean) / std**2
    slope = (share * slopes).sum(1)
    return np.log(parts.sum(1)), slope, (share * (slopes**2 - 1 / std**2)).sum(1) - slope**2


def student(y: Array, nu: float = 6.0) -> tuple[Array, Array, Array]:
    """Student t: log-density with two derivatives."""
    slope = -(nu + 1) * y / (nu + y**2)
    return stats.t.logpdf(y, nu), slope, -(nu + 1) * (nu - y**2) / (nu + y**2) ** 2


#: law after the step, and n points that hold it: equally spaced, or wider and wider
AFTER = {
    "two normals": (two_normals, lambda n: np.linspace(-7, 7, n)),
    "student": (student, lambda n: np.sinh(np.linspace(-8, 8, n))),
}


def manufactured(law: str, potential: Potential, step_size: float, points: int) -> dict[str, Array]:
    """x = y + γ(V′ + (log p′)′) on a grid of y, with the law before the step, p = p′/(dx/dy)."""
    log_density, grid = AFTER[law]
    y = grid(points)
    value, slope, curvature = log_density(y)
    stretch = 1 + step_size * (potential.curvature(y) + curvature)
    assert (stretch > 0).all()
    x = y + step_size * (potential.slope(y) + slope)
    return {"y": y, "p_after": np.exp(value), "x": x, "p": np.exp(value) / stretch, "stretch": stretch}


@pytest.mark.parametrize("std", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("step_size", [0.05, 0.5, 8.0])
def test_gaussian_step_is_the_closed_form(std: float, step_size: float) -> None:
    law = Gaussian.of(1.0, std)
    after = jko_step(law, step_size)
    step = gaussian_step(1.0, std, step_size, points=801)
    assert step.kl_drop == pytest.approx(kl(law) - kl(after), abs=1e-6)
    exact = math.hypot(after.mean[0] - 1, after.std[0] - std)
    assert step.movement == pytest.approx(exact, rel=1e-4)
    near = np.abs(step.grid - 1) < 4 * std
    exact_map = after.mean + after.std / std * (step.grid - 1)
    np.testing.assert_allclose(step.map[near], exact_map[near], atol=5e-4)
    np.testing.assert_allclose(
        step.pushed[near], stats.norm.pdf(exact_map, after.mean, after.std)[near], rtol=2e-3
    )


@pytest.mark.parametrize("std", [0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("step_size", [0.05, 0.5, 8.0])
def test_newton_takes_5_to_11_iterations_on_gaussians(std: float, step_size: float) -> None:
    assert 5 <= gaussian_step(0.0, std, step_size, points=401).iterations <= 11


@pytest.mark.parametrize("step_size", [0.05, 0.5, 8.0])
def test_map_is_second_order_in_the_spacing_on_a_gaussian(step_size: float) -> None:
    """Root mean squared error against jko_step, 201 to 1601 points."""
    after, errors = jko_step(Gaussian.of(1.0, 0.5), step_size), []
    for points in (201, 401, 801, 1601):
        step = gaussian_step(1.0, 0.5, step_size, points=points)
        exact = after.mean + after.std / 0.5 * (step.grid - 1)
        weight = stats.norm.pdf(step.grid, 1, 0.5) * np.gradient(step.grid)
        errors.append(math.sqrt(weight @ (step.map - exact) ** 2))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 2, atol=0.1)


@pytest.mark.parametrize("potential", POTENTIALS)
@pytest.mark.parametrize("law", AFTER)
@pytest.mark.parametrize("step_size", [0.05, 0.5])
def test_map_and_kl_drop_are_second_order_on_manufactured_steps(
    law: str, potential: str, step_size: float
) -> None:
    """The law after the step chosen, so that T(x) = y exactly; KL drop and movement by fine quadrature."""
    v = POTENTIALS[potential]
    fine = manufactured(law, v, step_size, 100_001)
    mass = fine["p_after"] * np.gradient(fine["y"])
    drop = mass @ (v.value(fine["x"]) - v.value(fine["y"]) - np.log(fine["stretch"]))
    movement = math.sqrt(mass @ (fine["x"] - fine["y"]) ** 2)
    errors = []
    for points in (201, 401, 801):
        exact = manufactured(law, v, step_size, points)
        step = solve_step(exact["x"], exact["p"], step_size, potential=v)
        weight = exact["p"] * np.gradient(exact["x"])
        error = math.sqrt(weight @ (step.map - exact["y"]) ** 2)
        errors.append([error, abs(step.kl_drop - drop), abs(step.movement - movement)])
    assert errors[-1][1] < 1e-3 * drop
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2, atol=0.2)


LAWS: dict[str, tuple[Law, Array]] = {
    "bimodal": (
        lambda z: 0.7 * stats.norm.pdf(z, -1, 0.2) + 0.3 * stats.norm.pdf(z, 3, 0.5),
        np.linspace(-4, 8, 3001),
    ),
    "student, 3 degrees": (lambda z: stats.t.pdf(z - 1, 3), np.sinh(np.linspace(-8, 8, 3001))),
    "skewed": (lambda z: stats.gumbel_r.pdf(z, 0, 0.4), np.linspace(-1.6, 10, 3001)),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("step_size", [0.1, 0.5, 4.0])
def test_exact_steps_of_any_law_satisfy_the_identities(law: str, step_size: float) -> None:
    """(1+γ) E y = E x and (1+γ) Var y − Cov(x, y) = γ, by quadrature of the spline through T."""
    density, x = LAWS[law]
    step = solve_step(x, density(x), step_size)
    fine = np.interp(np.linspace(0, 3000, 120_001), np.arange(3001), x)
    mass = density(fine) * np.gradient(fine)
    mass, y = mass / mass.sum(), CubicSpline(x, step.map)(fine)
    mean_x, mean_y = mass @ fine, mass @ y
    assert (1 + step_size) * mean_y == pytest.approx(mean_x, abs=1e-4)
    spread = (1 + step_size) * mass @ (y - mean_y) ** 2 - mass @ ((y - mean_y) * (fine - mean_x))
    assert spread == pytest.approx(step_size, rel=1e-3)


def test_kl_of_a_uniform_law_falls_by_the_objective() -> None:
    """G(p) − G(p′) = drop, and L(T) = E V(x) − drop + movement²/(2γ): the record adds up."""
    x = np.linspace(-1, 2, 2001)
    step = solve_step(x, np.full(2001, 7.0), 0.5)
    before = 0.5 * (1 / 4 + 9 / 12)
    assert step.objective == pytest.approx(before - step.kl_drop + step.movement**2 / (2 * 0.5), abs=1e-6)
    identity = before  # L(Id) = E V(x)
    assert step.objective < identity


def test_objective_is_least_at_the_solution() -> None:
    """Along maps (Id + hφ)∘T, by another quadrature, the slope in h is 0 and the curvature positive."""
    density, x = LAWS["bimodal"]
    step = solve_step(x, density(x), 0.5)
    p = density(x) * np.gradient(x)
    log_slope = np.log(np.gradient(step.map, x))

    def objective(h: float, bump: Array, slope: Array) -> float:
        t = step.map + h * bump
        return float(p @ (0.5 * t**2 - log_slope - np.log1p(h * slope) + (t - x) ** 2))

    y, one = step.map, np.ones_like(x)
    for bump, slope in (
        (np.sin(y), np.cos(y)),
        (y, one),
        (one, 0 * one),
        (np.tanh(3 * y), 3 / np.cosh(3 * y) ** 2),
    ):
        below, here, above = (objective(h, bump, slope) for h in (-1e-2, 0, 1e-2))
        curvature = (above - 2 * here + below) / 1e-4
        assert curvature > 0.5
        assert abs(above - below) / 2e-2 < 2e-3 * curvature


def test_steps_follow_each_other() -> None:
    """The law pushed by one step is the next one's: three steps of a Gaussian, KL drops within 0.1 %."""
    law, x = Gaussian.of(2.0, 0.3), np.linspace(-0.4, 4.4, 1001)
    p = stats.norm.pdf(x, 2, 0.3)
    for step_size in (0.3, 0.5, 0.8):
        after, step = jko_step(law, step_size), solve_step(x, p, step_size)
        assert step.kl_drop == pytest.approx(kl(law) - kl(after), rel=1e-3)
        law, x, p = after, step.map, step.pushed


def test_the_scale_of_the_density_does_not_matter() -> None:
    density, x = LAWS["bimodal"]
    one, other = (solve_step(x, scale * density(x), 0.5) for scale in (1.0, 300.0))
    np.testing.assert_allclose(one.map, other.map, atol=1e-9)
    np.testing.assert_allclose(one.pushed, other.pushed, rtol=1e-6)
    assert one.kl_drop == pytest.approx(other.kl_drop, abs=1e-12)


@pytest.mark.parametrize("step_size", [0.01, 0.5, 8.0])
def test_empty_valleys_are_crossed(step_size: float) -> None:
    """Nine spikes with 1e-34 of their height between: converges, and the grid does not matter much."""
    drops = []
    for points in (2001, 8001):
        x = np.linspace(-2.2, 2.2, points)
        p = np.exp(-0.5 * ((x[:, None] - np.linspace(-2, 2, 9)) / 0.02) ** 2).sum(1)
        step = solve_step(x, p, step_size)
        assert (np.diff(step.map) > 0).all()
        drops.append(step.kl_drop)
    assert drops[0] == pytest.approx(drops[1], rel=1e-3)


def test_a_density_of_exactly_zero_inside_is_crossed() -> None:
    """Two boxes: the law is even, so is the map; the identity holds to first order, as jumps allow."""
    x = np.linspace(-1.5, 1.5, 2001)
    p = np.where(np.abs(x) > 0.5, 1.0, 0.0)
    step = solve_step(x, p, 0.5)
    np.testing.assert_allclose(step.map, -step.map[::-1], atol=1e-7)
    mass = p / p.sum()
    assert 1.5 * mass @ step.map**2 - mass @ (step.map * x) == pytest.approx(0.5, abs=1e-2)


X = np.linspace(-5, 5, 101)
P = stats.norm.pdf(X)


@pytest.mark.parametrize(
    ("x", "p", "sentence"),
    [
        (X[::-1], P, "increases"),
        (X, P[1:], "two lists"),
        (X[:2], P[:2], "two lists"),
        (np.append(X[:-1], np.inf), P, "two lists"),
        (X, np.append(P[:-1], 0), "positive at both ends"),
        (X, -P, "nowhere negative"),
        (X, np.append(P[:-1], np.nan), "finite"),
    ],
)
def test_grids_and_densities_that_are_none_are_refused(x: Array, p: Array, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        solve_step(x, p, 0.5)


@pytest.mark.parametrize(
    "settings", [{"step_size": 0.0}, {"step_size": math.inf}, {"tolerance": 0.0}], ids=str
)
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        solve_step(X, P, **{"step_size": 0.5, **settings})


def test_too_few_iterations_are_a_numerical_failure() -> None:
    with pytest.raises(NumericalError, match=r"did not converge in 3 iterations .*bound 1e-09") as caught:
        solve_step(X, P, 0.5, iterations=3)
    assert caught.value.value > caught.value.bound


def test_a_step_without_a_unique_minimum_is_a_numerical_failure() -> None:
    """A double well and γ beyond 1/|V″|; a smaller γ is fine."""
    well = Potential(lambda x: (x**2 - 1) ** 2, lambda x: 4 * x * (x**2 - 1), lambda x: 12 * x**2 - 4)
    x = np.linspace(-0.5, 0.5, 101)
    with pytest.raises(NumericalError, match="not convex"):
        solve_step(x, np.ones(101), 5.0, potential=well)
    assert solve_step(x, np.ones(101), 0.2, potential=well).kl_drop > 0


def test_arguments_are_left_alone() -> None:
    x, p = X.copy(), P.copy()
    solve_step(x, p, 0.5)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(p, P)
