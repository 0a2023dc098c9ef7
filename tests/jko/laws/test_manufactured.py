"""Manufactured steps against SciPy, automatic differentiation, the closed forms and the critic."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from jko.laws.gaussian import Gaussian, epsilon_squared, jko_step, relative_fisher_information
from jko.laws.line import solve_step
from jko.laws.manufactured import GaussianMixture, InexactStep, ManufacturedStep, inexact, manufactured_step
from jko.measure.residual import linear_critic, residual_data
from tests.oracles import covariance, jacobian, normal, slogdet_of, standard_error, stream

DIMS = pytest.mark.parametrize("dim", [1, 2, 5])
STEP_SIZES = pytest.mark.parametrize("step_size", [0.1, 0.5, 2.0])
ROWS = 3000


def mixture(dim: int, *, components: int = 3, seed: int = 0, least: float = 0.8) -> GaussianMixture:
    """A mixture with unequal weights and rotated covariances, whose eigenvalues are least or more."""
    means = 1.5 * normal(components, dim, seed=100 * seed + dim)
    roots = 0.4 * normal(components, dim, dim, seed=100 * seed + dim + 50)
    weights = torch.arange(1, components + 1, dtype=torch.float64)
    return GaussianMixture.of(
        weights / weights.sum(), means, roots @ roots.mT + least * torch.eye(dim, dtype=torch.float64)
    )


def step_of(dim: int, step_size: float = 0.5, *, components: int = 3, seed: int = 0) -> ManufacturedStep:
    law = mixture(dim, components=components, seed=seed)
    return manufactured_step(law, step_size, ROWS, stream(1000 + seed))


def back(step: ManufacturedStep) -> Callable[[Tensor], Tensor]:
    """The map y ↦ x, its score by automatic differentiation of the log-density."""

    def function(y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y if y.requires_grad else y.clone().requires_grad_()
            score = torch.autograd.grad(step.mixture.log_prob(y).sum(), y, create_graph=True)[0]
        return y + step.step_size * (y + score)

    return function


def distortion(dim: int, seed: int = 7) -> tuple[Tensor, Tensor]:
    """An affine map that neither is symmetric nor commutes with anything."""
    matrix = torch.eye(dim, dtype=torch.float64) + 0.25 * normal(dim, dim, seed=seed)
    return matrix, 0.3 * normal(dim, seed=seed + 1)


# --- the mixture ---------------------------------------------------------------------------------


@DIMS
def test_log_density_is_scipy_s(dim: int) -> None:
    law, x = mixture(dim), 2 * normal(40, dim, seed=3)
    parts = [
        float(w) * stats.multivariate_normal(m.numpy(), c.numpy()).pdf(x.numpy()).reshape(-1)
        for w, m, c in zip(law.weights, law.means, law.covariances, strict=True)
    ]
    np.testing.assert_allclose(law.log_prob(x).exp().numpy(), sum(parts), rtol=1e-10)


@DIMS
def test_score_and_hessian_are_the_derivatives_of_the_log_density(dim: int) -> None:
    law, x = mixture(dim), 2 * normal(20, dim, seed=4)
    torch.testing.assert_close(
        law.score(x), jacobian(law.log_prob, x).reshape(20, dim), rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(law.hessian(x), jacobian(law.score, x), rtol=1e-10, atol=1e-10)


def test_far_from_all_components_the_derivatives_stay_finite() -> None:
    law, x = mixture(2), torch.full((1, 2), 200.0, dtype=torch.float64)
    assert law.log_prob(x).isfinite().all()
    assert law.score(x).isfinite().all()
    assert law.hessian(x).isfinite().all()


@DIMS
def test_samples_have_the_moments_of_the_mixture(dim: int) -> None:
    """Mean, and second moments in every pair of directions, within 4.5 SE."""
    law = mixture(dim)
    x = law.sample(20_000, stream(5))
    mean = law.weights @ law.means
    second = torch.einsum(
        "c,cde->de", law.weights, law.covariances + law.means[:, :, None] * law.means[:, None, :]
    )
    for values, exact in ((x, mean), ((x[:, :, None] * x[:, None, :]).flatten(1), second.flatten())):
        assert ((values.mean(0) - exact).abs() < 4.5 * values.std(0) / 20_000**0.5).all()


def test_samples_are_a_function_of_the_generator() -> None:
    law = mixture(2)
    assert torch.equal(law.sample(50, stream(6)), law.sample(50, stream(6)))
    assert not torch.equal(law.sample(50, stream(6)), law.sample(50, stream(7)))


@DIMS
def test_pushed_law_is_the_change_of_variables(dim: int) -> None:
    """log p'(Ax + b) = log p(x) − log|det A|."""
    law, (matrix, offset), x = mixture(dim), distortion(dim), normal(30, dim, seed=8)
    moved = law.pushed(matrix, offset).log_prob(x @ matrix.T + offset)
    torch.testing.assert_close(moved, law.log_prob(x) - torch.linalg.slogdet(matrix)[1], rtol=0, atol=1e-10)


EYE = np.eye(2)


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "sentence"),
    [
        ([0.5, 0.5], np.zeros((3, 2)), [EYE, EYE], "covariances"),
        ([0.5, 0.5], np.zeros((2, 2)), [EYE], "covariances"),
        ([0.5, 0.6], np.zeros((2, 2)), [EYE, EYE], "sum to 1"),
        ([1.5, -0.5], np.zeros((2, 2)), [EYE, EYE], "positive and sum"),
        ([1.0], np.zeros((1, 2)), [np.diag([1.0, 0.0])], "positive definite"),
        ([1.0], np.zeros((1, 2)), [np.diag([1.0, -1.0])], "positive definite"),
    ],
)
def test_what_is_no_mixture_is_refused(weights: list, means: list, covariances: list, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        GaussianMixture.of(weights, means, np.array(covariances))


def test_single_precision_and_skew_covariances_are_refused() -> None:
    eye = torch.eye(2, dtype=torch.float64)
    with pytest.raises(ValueError, match="float64"):
        GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])
    skew = eye + torch.tensor([[0.0, 0.1], [0.0, 0.0]])
    with pytest.raises(ValueError, match="symmetric"):
        GaussianMixture(torch.ones(1).double(), torch.zeros(1, 2).double(), skew[None])


# --- exact steps ---------------------------------------------------------------------------------


@STEP_SIZES
def test_one_component_is_the_gaussian_closed_form(step_size: float) -> None:
    """x is affine in y with the slope s/s' of jko_step; log-det exactly, W2 within 4 SE."""
    before = Gaussian.of([1.0, -2.0], [0.5, 2.0])
    after = jko_step(before, step_size)
    law = GaussianMixture.of([1.0], after.mean[None], np.diag(after.std**2)[None])
    step = manufactured_step(law, step_size, ROWS, stream(9))
    ratio = torch.from_numpy(before.std / after.std)
    exact = torch.from_numpy(before.mean) + ratio * (step.y - torch.from_numpy(after.mean))
    torch.testing.assert_close(step.x, exact, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(step.log_det, -ratio.log().sum().expand(ROWS), rtol=1e-12, atol=1e-12)
    w2 = math.hypot(*(before.mean - after.mean), *(before.std - after.std))
    assert w2 == pytest.approx(step_size * math.sqrt(relative_fisher_information(after)), rel=1e-12)
    assert 0 < step.w2.se < 0.05 * w2
    assert abs(step.w2.value - w2) < 4 * step.w2.se


def test_w2_has_the_spread_it_says() -> None:
    """Standard deviation over 200 repetitions against the standard error, within 20 %."""
    runs = [manufactured_step(mixture(2), 0.5, 200, stream(seed)).w2 for seed in range(200)]
    spread = np.std([run.value for run in runs], ddof=1)
    assert spread == pytest.approx(np.mean([run.se for run in runs]), rel=0.2)


@DIMS
@STEP_SIZES
def test_x_and_log_det_are_those_of_the_map_by_automatic_differentiation(dim: int, step_size: float) -> None:
    step = step_of(dim, step_size)
    few = step.y[:20]
    torch.testing.assert_close(step.x[:20], back(step)(few).detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(step.log_det[:20], -slogdet_of(back(step), few), rtol=1e-10, atol=1e-10)


@DIMS
@STEP_SIZES
def test_the_map_back_is_the_gradient_of_a_convex_function(dim: int, step_size: float) -> None:
    """Symmetric positive definite Jacobian at every sample: so it is optimal."""
    step = step_of(dim, step_size)
    eye = torch.eye(dim, dtype=torch.float64)
    slopes = eye + step_size * (eye + step.mixture.hessian(step.y))
    torch.testing.assert_close(slopes, slopes.mT, rtol=0, atol=1e-12)
    assert (torch.linalg.eigvalsh(slopes) > 0).all()


@DIMS
@STEP_SIZES
def test_exact_steps_satisfy_the_identities(dim: int, step_size: float) -> None:
    """(1+γ) E y = E x and (1+γ) Cov(y) − Cov(x, y) = γ I, every entry within 4.5 SE."""
    step = step_of(dim, step_size)
    rest = (1 + step_size) * step.y - step.x
    assert (rest.mean(0).abs() < 4.5 * rest.std(0) / ROWS**0.5).all()
    centred = step.y - step.y.mean(0)
    products = (rest - rest.mean(0))[:, :, None] * centred[:, None, :]
    exact = step_size * torch.eye(dim, dtype=torch.float64)
    both = (1 + step_size) * covariance(step.y, step.y) - covariance(step.x, step.y)
    torch.testing.assert_close(products.mean(0), both, rtol=1e-10, atol=1e-10)
    assert ((both - exact).abs() < 4.5 * products.std(0) / ROWS**0.5).all()


@DIMS
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("step_size", [0.1, 0.5])
def test_the_critic_finds_no_error_in_an_exact_step(dim: int, seed: int, step_size: float) -> None:
    step = step_of(dim, step_size, seed=seed)
    found = linear_critic(step.y, residual_data(step.x, step.y, step_size), centres=30)
    assert abs(found.value) < 3 * found.se
    assert found.se < 0.2


@pytest.mark.parametrize("step_size", [0.2, 1.0])
def test_on_the_line_it_agrees_with_the_solver(step_size: float) -> None:
    """KL drop and W2 of samples against the grid, which knows the law of x only by its density."""
    law = mixture(1)
    step = manufactured_step(law, step_size, 20_000, stream(10))
    y = torch.linspace(-14, 14, 4001, dtype=torch.float64)[:, None]
    x = y + step_size * (y + law.score(y))
    slope = 1 + step_size * (1 + law.hessian(y)[:, 0, 0])
    solved = solve_step(x[:, 0].numpy(), (law.log_prob(y).exp() / slope).numpy(), step_size)
    assert abs(step.w2.value - solved.movement) < 4 * step.w2.se
    drop = 0.5 * (step.x**2 - step.y**2)[:, 0] + step.log_det
    assert abs(float(drop.mean()) - solved.kl_drop) < 4 * standard_error(drop)


@pytest.mark.parametrize("step_size", [0.1, 0.5, 2.0])
def test_components_must_be_wide_enough(step_size: float) -> None:
    """s² just above γ/(1+γ) is taken, just below refused with both numbers."""
    bound = step_size / (1 + step_size)
    for factor, fine in ((1.01, True), (0.99, False)):
        law = GaussianMixture.of([0.5, 0.5], [[0.0, 0.0], [2.0, 0.0]], [EYE, np.diag([1.0, factor * bound])])
        if fine:
            assert manufactured_step(law, step_size, 10, stream(11)).x.isfinite().all()
        else:
            with pytest.raises(ValueError, match=rf"exceed {bound:.4g}, not {0.99 * bound:.4g}"):
                manufactured_step(law, step_size, 10, stream(11))


@pytest.mark.parametrize("step_size", [0.0, -0.5, math.nan])
def test_a_step_size_is_positive(step_size: float) -> None:
    with pytest.raises(ValueError, match="step of size"):
        manufactured_step(mixture(2), step_size, 10, stream(12))


# --- inexact steps -------------------------------------------------------------------------------


def affine_step(dim: int, *, components: int, seed: int = 0) -> InexactStep:
    return inexact(step_of(dim, components=components, seed=seed), *distortion(dim, seed=20 + seed))


def test_without_a_change_the_step_stays_exact() -> None:
    step = step_of(2)
    same = inexact(step, torch.eye(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(same.xi, torch.zeros_like(same.xi), rtol=0, atol=1e-10)
    torch.testing.assert_close(same.log_det, step.log_det)


def test_xi_of_a_gaussian_step_is_the_closed_form() -> None:
    """Diagonal affine map of N(m', s'²): E|ξ|² is jko.laws.gaussian.epsilon_squared, within 4 SE."""
    before, step_size = Gaussian.of([1.0, -2.0], [0.5, 2.0]), 0.5
    exact = jko_step(before, step_size)
    scale, shift = np.array([1.2, 0.7]), np.array([0.3, -0.1])
    law = GaussianMixture.of([1.0], exact.mean[None], np.diag(exact.std**2)[None])
    step = manufactured_step(law, step_size, ROWS, stream(13))
    moved = inexact(step, torch.from_numpy(np.diag(scale)), torch.from_numpy(shift))
    known = epsilon_squared(before, Gaussian(scale * exact.mean + shift, scale * exact.std), step_size)
    squared = (moved.xi**2).sum(1)
    assert abs(float(squared.mean()) - known) < 4 * standard_error(squared)


@DIMS
def test_inexact_rows_and_log_det_belong_together(dim: int) -> None:
    """y' is the image of the same row's x: log-det by differentiating y' ↦ y ↦ x."""
    step, (matrix, offset) = step_of(dim), distortion(dim)
    moved = inexact(step, matrix, offset)
    assert torch.equal(moved.x, step.x)

    def way_back(y: Tensor) -> Tensor:
        return back(step)((y - offset) @ torch.linalg.inv(matrix).T)

    torch.testing.assert_close(way_back(moved.y[:20]).detach(), moved.x[:20], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        moved.log_det[:20], -slogdet_of(way_back, moved.y[:20]), rtol=1e-10, atol=1e-10
    )


@DIMS
@pytest.mark.parametrize("seed", [0, 1])
def test_the_critic_finds_all_of_a_gaussian_s_error(dim: int, seed: int) -> None:
    """One component: ξ is affine, inside the affine class, so the estimate is E|ξ|² within 3 SE."""
    step = affine_step(dim, components=1, seed=seed)
    found = linear_critic(step.y, residual_data(step.x, step.y, 0.5))
    truth = (step.xi**2).sum(1)
    assert float(truth.mean()) > 10 * found.se
    assert abs(found.value - float(truth.mean())) < 3 * math.hypot(found.se, standard_error(truth))


@DIMS
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("centres", [0, 30])
def test_the_critic_never_finds_more_than_there_is(dim: int, seed: int, centres: int) -> None:
    """ξ of a mixture lies outside the class: the estimate is E|ξ|² less what the class misses."""
    step = affine_step(dim, components=3, seed=seed)
    found = linear_critic(step.y, residual_data(step.x, step.y, 0.5), centres=centres)
    truth = (step.xi**2).sum(1)
    assert found.value > 5 * found.se
    assert found.value < float(truth.mean()) + 3 * math.hypot(found.se, standard_error(truth))


# --- ξ is the gradient of the objective ----------------------------------------------------------


def field(y: Tensor) -> Tensor:
    """A smooth test field that is no gradient."""
    return 1 + torch.sin(y.roll(1, dims=-1)) + 0.2 * y * torch.cos(y.sum(-1, keepdim=True))


slopes_of_field = torch.func.vmap(torch.func.jacrev(field))


def objective(step: InexactStep, step_size: float, h: float) -> Tensor:
    """The JKO objective of (Id + hφ)∘T, a value a row."""
    y = step.y + h * field(step.y)
    eye = torch.eye(y.shape[1], dtype=torch.float64)
    log_det = step.log_det + torch.linalg.slogdet(eye + h * slopes_of_field(step.y))[1]
    return 0.5 * (y**2).sum(1) - log_det + ((y - step.x) ** 2).sum(1) / (2 * step_size)


@DIMS
def test_xi_is_the_gradient_of_the_objective(dim: int) -> None:
    """⟨u, φ⟩ − div φ is its derivative along φ, row by row; ⟨ξ, φ⟩ is so in the mean, within 4 SE."""
    step_size, h = 0.5, 1e-3
    moved = inexact(manufactured_step(mixture(dim), step_size, ROWS, stream(14)), *distortion(dim))
    shares = ((-2, 1), (-1, -8), (1, 8), (2, -1))
    slope = sum(c * objective(moved, step_size, k * h) for k, c in shares) / (12 * h)
    u = residual_data(moved.x, moved.y, step_size)
    sample_form = (u * field(moved.y)).sum(1) - slopes_of_field(moved.y).diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(slope, sample_form, rtol=0, atol=1e-8)
    through_xi = (moved.xi * field(moved.y)).sum(1)
    assert abs(float((through_xi - slope).mean())) < 4 * standard_error(through_xi - slope)
    assert abs(float(slope.mean())) > 5 * standard_error(through_xi - slope), "the signs would not show"


@DIMS
def test_at_an_exact_step_the_objective_is_flat(dim: int) -> None:
    """The derivative along φ is 0 within 4 SE, and the second one positive."""
    exact = manufactured_step(mixture(dim), 0.5, ROWS, stream(15))
    eye, zero = torch.eye(dim, dtype=torch.float64), torch.zeros(dim, dtype=torch.float64)
    step, h = inexact(exact, eye, zero), 1e-3
    below, here, above = (objective(step, 0.5, k * h) for k in (-1, 0, 1))
    slope = (above - below) / (2 * h)
    assert abs(float(slope.mean())) < 4 * standard_error(slope)
    assert float((above - 2 * here + below).mean()) > 0
