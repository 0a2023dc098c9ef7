"""Targets: their potentials against SciPy, their normalisers, samplers and convexity."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from torch import Tensor

from jko.chain.importance import importance_report
from jko.config.sections import Target as Settings
from jko.core.errors import InputError
from jko.laws.densities import IsotropicMixture
from jko.laws.manufactured import GaussianMixture
from jko.laws.targets import (
    TARGETS,
    Banana,
    Funnel,
    LogisticRegression,
    MixtureTarget,
    StandardGaussian,
    Target,
    gaussian,
    isotropic_mixture,
    sphere_mixture,
    synthetic_regression,
    uniform_mixture,
)
from tests.oracles import grid, jacobian, normal, standard_error

COVARIANCE = np.array([[1.0, 0.6], [0.6, 0.8]])
UNEVEN = GaussianMixture.of([0.7, 0.3], [[0.0, 1.0], [2.0, -1.0]], [COVARIANCE, 0.25 * np.eye(2)])
#: narrow enough for a grid
PLANE: dict[str, Target] = {
    "standard": StandardGaussian(2),
    "gaussian": gaussian([0.5, -1.0], COVARIANCE),
    "uneven": MixtureTarget(UNEVEN),
    "sphere": sphere_mixture(2, radius=4.0, std=0.5),
    "uniform": uniform_mixture(2, components=5, half_width=4.0),
    "banana": Banana(2, width=1.0, bend=0.3),
    "funnel": Funnel(2, width=0.4),
}
SAMPLED: dict[str, Target] = {
    **PLANE,
    "banana of the paper": Banana(5),
    "funnel of the paper": Funnel(5),
    **{name: make(4) for name, make in TARGETS.items() if not name.endswith("_regression")},
}
#: the regression on breast cancer has 31 dimensions, and a test of its own
every_target = pytest.mark.parametrize("name", sorted(TARGETS.keys() - {"breast_cancer_regression"}))


@pytest.mark.parametrize("name", sorted(TARGETS.keys() - {"breast_cancer_regression"}))
def test_the_settings_know_of_which_law_the_constant_is_known(name: str) -> None:
    settings = Settings.model_validate({"potential": name})
    assert settings.normalised == (made(name).log_normaliser is not None)
    others = settings.model_copy(update={"interaction": 0.5})
    assert not others.normalised
    assert Settings().normalised


@cache
def made(name: str, dim: int = 3) -> Target:
    return TARGETS[name](dim)


def hessians(target: Target, x: Tensor) -> Tensor:
    def gradient(rows: Tensor) -> Tensor:
        return torch.func.grad(lambda each: target.potential(each).sum())(rows)

    return jacobian(gradient, x)


def sampled(target: Target, rows: int, seed: int) -> Tensor:
    draws = target.sample(rows, np.random.default_rng(seed))
    assert draws is not None
    assert draws.shape == (rows, target.dim)
    assert draws.dtype == np.float64
    return torch.from_numpy(draws)


# normalisers


@pytest.mark.parametrize("name", PLANE)
def test_log_normalisers_by_quadrature(name: str) -> None:
    nodes, cell = grid(2, 12.0, 961)
    values = -PLANE[name].potential(torch.from_numpy(nodes)).numpy()
    exact = PLANE[name].log_normaliser
    assert exact is not None
    assert logsumexp(values) + math.log(cell) == pytest.approx(exact, abs=1e-7)


def log_densities(x: np.ndarray) -> dict[str, tuple[Target, np.ndarray]]:
    """Targets in 4 dimensions with log-densities of points by SciPy."""
    bent = x[:, 1] + 0.2 * (x[:, 0] ** 2 - 9)
    rest = stats.norm.logpdf(x[:, 2:]).sum(1)
    means = 3 * np.random.default_rng(1).standard_normal((3, 4))
    components = [stats.norm.logpdf(x, mean, 0.7).sum(1) for mean in means]
    matrix = np.diag([1.0, 2.0, 3.0, 0.5]) + 0.1
    return {
        "standard": (StandardGaussian(4), stats.norm.logpdf(x).sum(1)),
        "gaussian": (gaussian(means[0], matrix), stats.multivariate_normal(means[0], matrix).logpdf(x)),
        "mixture": (isotropic_mixture(means, 0.7), logsumexp(components, axis=0) - math.log(3)),
        "banana": (Banana(4, 3.0, 0.2), stats.norm.logpdf(x[:, 0], 0, 3) + stats.norm.logpdf(bent) + rest),
        "funnel": (
            Funnel(4),
            stats.norm.logpdf(x[:, 0], 0, 3) + stats.norm.logpdf(x[:, 1:], 0, np.exp(x[:, :1] / 2)).sum(1),
        ),
    }


@pytest.mark.parametrize("name", ["standard", "gaussian", "mixture", "banana", "funnel"])
def test_potentials_are_log_densities_up_to_the_normaliser(name: str) -> None:
    x = 2 * np.random.default_rng(0).standard_normal((20, 4))
    target, exact = log_densities(x)[name]
    assert target.log_normaliser is not None
    found = -target.potential(torch.from_numpy(x)).numpy() - target.log_normaliser
    np.testing.assert_allclose(found, exact, rtol=1e-10)


def test_isotropic_mixtures_are_those_of_the_densities() -> None:
    target = sphere_mixture(3, components=5)
    law = IsotropicMixture(target.law.means.numpy(), 1.0)
    x = 4 * normal(30, 3, seed=0)
    np.testing.assert_allclose(-target.potential(x).numpy(), law.log_prob(x.numpy()), rtol=1e-10)


# samplers


@pytest.mark.parametrize("name", SAMPLED)
def test_samplers_draw_from_the_potential(name: str) -> None:
    """Stein's identity E[⟨∇V, φ⟩ − div φ] = 0 for bounded φ with known derivatives, within 4 SE."""
    target = SAMPLED[name]
    x = sampled(target, 20_000, 1).requires_grad_()
    (slope,) = torch.autograd.grad(target.potential(x).sum(), x)
    y = x.detach()
    centre, scale = y.mean(0), y.std(0)
    for shift in (0.0, 0.7):
        wave = torch.tanh((y - centre) / scale + shift)
        values = slope * wave - (1 - wave**2) / scale
        error = values.std(0) / math.sqrt(len(values))
        assert (values.mean(0).abs() < 4 * error).all()


@pytest.mark.parametrize("name", ["banana", "funnel"])
def test_samples_of_twisted_laws_have_the_moments_of_their_construction(name: str) -> None:
    """The banana has means 0 and Var x_2 = 1 + 2b²s⁴; the funnel has E x_2² = E e^{x_1} = e^{s²/2}."""
    x = sampled(PLANE[name], 20_000, 2)
    second = 1 + 2 * 0.3**2 if name == "banana" else math.exp(0.4**2 / 2)
    for values, exact in ((x[:, 0], 0.0), (x[:, 1], 0.0), (x[:, 1] ** 2, second)):
        assert abs(float(values.mean()) - exact) < 4 * standard_error(values)


def test_mixture_weights_are_met() -> None:
    x = sampled(PLANE["uneven"], 20_000, 3)
    near = ((x - torch.tensor([2.0, -1.0])) ** 2).sum(1) < ((x - torch.tensor([0.0, 1.0])) ** 2).sum(1)
    exact = 0.7 * stats.norm.cdf(-math.sqrt(2) / math.sqrt(0.3)) + 0.3 * stats.norm.cdf(math.sqrt(2) / 0.5)
    assert abs(float(near.double().mean()) - exact) < 4 * standard_error(near.double())


# convexity


@every_target
def test_convexity_is_a_lower_bound_of_the_hessian(name: str) -> None:
    target = made(name)
    least = float(torch.linalg.eigvalsh(hessians(target, 3 * normal(60, 3, seed=4))).min())
    if target.convexity is None:
        far = torch.cat([3 * normal(60, 3, seed=4), sampled(target, 200, 5)])
        assert float(torch.linalg.eigvalsh(hessians(target, far)).min()) < -1e-3
    else:
        assert target.convexity > 0
        assert least > target.convexity * (1 - 1e-9)


def test_convexity_is_attained() -> None:
    """By Gaussians everywhere, by a logistic posterior far away; a straight banana is a Gaussian."""
    x = normal(5, 2, seed=0)
    for target in (StandardGaussian(2), gaussian([0.0, 1.0], COVARIANCE), Banana(2, 3.0, 0.0)):
        least = torch.linalg.eigvalsh(hessians(target, x)).min()
        assert float(least) == pytest.approx(target.convexity, rel=1e-9)
    regression = synthetic_regression(2, precision=0.3)
    far = torch.linalg.eigvalsh(hessians(regression, torch.tensor([[1e5, 1e5]]).double()))
    assert float(far.min()) == pytest.approx(0.3, rel=1e-9)


def test_a_mixture_has_a_valley() -> None:
    target = isotropic_mixture([[2.0, 0.0], [-2.0, 0.0]], 0.5)
    middle = hessians(target, torch.zeros(1, 2, dtype=torch.float64))
    # 1/s² − |m|²/s⁴ along the line of the means
    assert float(torch.linalg.eigvalsh(middle).min()) == pytest.approx(4 - 64)
    assert target.convexity is None


# logistic regression


def test_the_logistic_posterior_by_its_formula() -> None:
    target = synthetic_regression(3, observations=50, precision=2.0)
    x = normal(10, 3, seed=1).numpy()
    chance = 1 / (1 + np.exp(-x @ target.features.T))
    likelihood = np.where(target.labels == 1, np.log(chance), np.log1p(-chance)).sum(1)
    prior = stats.norm.logpdf(x, scale=1 / math.sqrt(2)).sum(1)
    np.testing.assert_allclose(target.potential(torch.from_numpy(x)).numpy(), -likelihood - prior, rtol=1e-12)
    assert target.log_normaliser is None
    assert target.sample(5, np.random.default_rng(0)) is None
    assert 0.2 < target.labels.mean() < 0.8


def test_the_evidence_of_a_logistic_regression() -> None:
    """By quadrature over the plane and by importance weights of draws of the prior, within 4 SE."""
    target = synthetic_regression(2, observations=20)
    nodes, cell = grid(2, 8.0, 641)
    exact = logsumexp(-target.potential(torch.from_numpy(nodes)).numpy()) + math.log(cell)
    assert exact < -0.1 * 20
    y = normal(20_000, 2, seed=2)
    found = importance_report(-target.potential(y) - torch.distributions.Normal(0.0, 1.0).log_prob(y).sum(1))
    assert abs(found.log_normaliser.value - exact) < 4 * found.log_normaliser.se
    assert found.log_normaliser.se < 0.05


def test_far_weights_are_finite() -> None:
    target = synthetic_regression(2)
    x = torch.tensor([[1e4, -1e4]], dtype=torch.float32, requires_grad=True)
    (slope,) = torch.autograd.grad(target.potential(x).sum(), x)
    assert slope.isfinite().all()


# the registry


@every_target
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_potentials_keep_precision_and_have_gradients(name: str, dtype: torch.dtype) -> None:
    target = made(name)
    x = normal(7, 3, seed=0).to(dtype).requires_grad_()
    values = target.potential(x)
    assert values.shape == (7,)
    assert values.dtype == dtype
    (slope,) = torch.autograd.grad(values.sum(), x)
    step = 1e-5 * torch.ones(3, dtype=torch.float64)
    wide = x.detach().double()
    difference = (target.potential(wide + step) - target.potential(wide - step)) / 2e-5
    torch.testing.assert_close(slope.sum(1).double(), difference, rtol=1e-3, atol=1e-3)


@every_target
def test_targets_are_functions_of_their_arguments(name: str) -> None:
    x = normal(4, 3, seed=0)
    assert torch.equal(TARGETS[name](3).potential(x), TARGETS[name](3).potential(x))
    assert made(name).dim == 3
    if name != "logistic_regression":
        assert torch.equal(sampled(made(name), 5, 7), sampled(made(name), 5, 7))


@pytest.mark.parametrize(
    "name", ["correlated_gaussian", "sphere_mixture", "uniform_mixture", "logistic_regression"]
)
def test_seeds_make_different_targets(name: str) -> None:
    x = normal(4, 3, seed=0)
    assert not torch.equal(TARGETS[name](3, seed=0).potential(x), TARGETS[name](3, seed=1).potential(x))


def test_the_literatures_mixtures() -> None:
    sphere = sphere_mixture(5, components=8, radius=8.0).law.means
    np.testing.assert_allclose(sphere.norm(dim=1), 8.0, rtol=1e-12)
    apart = torch.cdist(sphere, sphere) + 100 * torch.eye(8)
    assert float(apart.min()) > 8.0
    cube = uniform_mixture(2).law.means
    assert cube.shape == (40, 2)
    assert 30 < float(cube.abs().max()) <= 40
    eigenvalues = torch.linalg.eigvalsh(TARGETS["correlated_gaussian"](4).law.covariances[0])
    assert float(eigenvalues.max() / eigenvalues.min()) == pytest.approx(10)


def test_input_errors() -> None:
    for make in (Banana, Funnel, sphere_mixture):
        with pytest.raises(InputError, match="2 or more dimensions"):
            make(1)
    for make in (Banana, Funnel):
        with pytest.raises(InputError, match="width > 0"):
            make(2, width=0.0)
    features, labels = np.ones((3, 2)), np.array([0.0, 1.0, 1.0])
    with pytest.raises(InputError, match=r"not \(3, 2\) and \(2,\)"):
        LogisticRegression(features, labels[:2])
    with pytest.raises(InputError, match="labels 0 or 1"):
        LogisticRegression(features, 2 * labels - 1)
    with pytest.raises(InputError, match="positive and finite, not 0"):
        LogisticRegression(features, labels, 0.0)


def test_the_regression_on_breast_cancer_separates_its_classes() -> None:
    """At its mode nearly all labels are right, and ∇V is zero; λ is the prior's precision."""
    target = TARGETS["breast_cancer_regression"]()
    assert (target.dim, target.convexity, target.log_normaliser) == (31, 1.0, None)
    x = torch.zeros(1, 31, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([x], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = target.potential(x).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    assert float(x.grad.abs().max()) < 1e-4
    logits = torch.from_numpy(target.features) @ x.detach()[0]
    right = ((logits > 0) == torch.from_numpy(target.labels).bool()).double().mean()
    assert float(right) > 0.97
