"""Gaussian closed forms against routes that do not use them: integrals, minimisation, conditions."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, optimize, stats
from scipy.integrate import quad

from jko.laws import gaussian
from jko.laws.gaussian import Gaussian

LAW = Gaussian.of([1.5, -0.7, 0.0], [0.4, 1.0, 2.3])
GAMMAS = [0.05, 0.5, 3.0]
STDS = st.floats(0.05, 20)
STEPS = st.floats(0.01, 10)
quickly = settings(max_examples=60, derandomize=True, deadline=None)


def expect(law: Gaussian, i: int, f: Callable[[float], float]) -> float:
    """E f(x_i) by numerical integration."""
    m, s = law.mean[i], law.std[i]
    return quad(lambda x: stats.norm.pdf(x, m, s) * f(x), m - 12 * s, m + 12 * s, epsabs=1e-12, limit=200)[0]


def by_integration(law: Gaussian, f: Callable[[float, float, float], float]) -> float:
    """Σ_i E f(x_i, m_i, s_i)."""
    return sum(expect(law, i, lambda x, i=i: f(x, law.mean[i], law.std[i])) for i in range(len(law.mean)))


def test_kl_is_its_integral() -> None:
    exact = by_integration(LAW, lambda x, m, s: stats.norm.logpdf(x, m, s) - stats.norm.logpdf(x))
    assert gaussian.kl(LAW) == pytest.approx(exact, rel=1e-9)


def test_entropy_is_its_integral() -> None:
    exact = by_integration(LAW, lambda x, m, s: -stats.norm.logpdf(x, m, s))
    assert gaussian.entropy(LAW) == pytest.approx(exact, rel=1e-9)


def test_relative_fisher_information_is_its_integral() -> None:
    """E|x + ∇log p|² with ∇log p by finite differences of scipy's density."""

    def score(x: float, m: float, s: float) -> float:
        return (stats.norm.logpdf(x + 1e-5, m, s) - stats.norm.logpdf(x - 1e-5, m, s)) / 2e-5

    exact = by_integration(LAW, lambda x, m, s: (x + score(x, m, s)) ** 2)
    assert gaussian.relative_fisher_information(LAW) == pytest.approx(exact, rel=1e-6)


def test_w2_is_the_quantile_integral() -> None:
    """In one dimension W2² = ∫ (F⁻¹(u) − Φ⁻¹(u))² du; directions add up."""
    u = (np.arange(400_000) + 0.5) / 400_000
    exact = sum(
        np.mean((stats.norm.ppf(u, m, s) - stats.norm.ppf(u)) ** 2)
        for m, s in zip(LAW.mean, LAW.std, strict=True)
    )
    assert gaussian.w2_squared(LAW) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("f", [gaussian.kl, gaussian.w2_squared, gaussian.relative_fisher_information])
def test_distances_vanish_at_the_target_only(f: Callable[[Gaussian], float]) -> None:
    assert f(Gaussian.of([0, 0], [1, 1])) == 0
    assert f(Gaussian.of([0.1, 0], [1, 1])) > 0
    assert f(Gaussian.of([0, 0], [1, 0.9])) > 0


@quickly
@given(st.floats(-20, 20), STDS)
def test_talagrand_and_log_sobolev_hold(mean: float, std: float) -> None:
    """W2²/2 ≤ KL ≤ I/2 for every Gaussian."""
    law = Gaussian.of([mean], [std])
    kl = gaussian.kl(law)
    assert gaussian.w2_squared(law) / 2 <= kl * (1 + 1e-9) + 1e-12
    assert kl <= gaussian.relative_fisher_information(law) / 2 * (1 + 1e-9) + 1e-12


@quickly
@given(st.floats(-20, 20), STDS, STEPS)
def test_jko_step_solves_its_first_order_condition(mean: float, std: float, gamma: float) -> None:
    """m' + (m' − m)/γ = 0 and s' − 1/s' + (s' − s)/γ = 0."""
    after = gaussian.jko_step(Gaussian.of([mean], [std]), gamma)
    (m,), (s,) = after.mean, after.std
    assert s > 0
    assert gamma * m + m - mean == pytest.approx(0, abs=1e-9)
    assert gamma * (s - 1 / s) + s - std == pytest.approx(0, abs=1e-8)


def w2_squared_between(a: Gaussian, b: Gaussian) -> float:
    return float(np.sum((a.mean - b.mean) ** 2) + np.sum((a.std - b.std) ** 2))


@pytest.mark.parametrize("gamma", GAMMAS)
def test_jko_step_minimises_kl_plus_w2_over_2_gamma(gamma: float) -> None:
    def cost(v: np.ndarray) -> float:
        law = Gaussian(v[:3], np.exp(v[3:]))
        return gaussian.kl(law) + w2_squared_between(LAW, law) / (2 * gamma)

    found = optimize.minimize(cost, np.zeros(6), method="BFGS", options={"gtol": 1e-8}).x
    step = gaussian.jko_step(LAW, gamma)
    np.testing.assert_allclose(step.mean, found[:3], atol=1e-5)
    np.testing.assert_allclose(step.std, np.exp(found[3:]), atol=1e-5)
    assert cost(np.concatenate([step.mean, np.log(step.std)])) <= cost(found) + 1e-10


@pytest.mark.parametrize("gamma", GAMMAS)
def test_forward_euler_is_the_gradient_step(gamma: float) -> None:
    """x − γ(x + ∇log p(x)) is affine: its values at two points give mean and std."""

    def image(x: np.ndarray) -> np.ndarray:
        return x - gamma * (x - (x - LAW.mean) / LAW.std**2)

    step = gaussian.forward_euler_step(LAW, gamma)
    np.testing.assert_allclose(step.mean, image(LAW.mean), atol=1e-12)
    np.testing.assert_allclose(step.std, np.abs(image(LAW.mean + LAW.std) - image(LAW.mean)), atol=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_forward_backward_is_a_gradient_step_then_the_entropy_s_jko_step(gamma: float) -> None:
    """Second half by minimising −log s + (s − s̃)²/(2γ), with s̃ the std of (1 − γ)x."""
    step = gaussian.forward_backward_step(LAW, gamma)
    np.testing.assert_allclose(step.mean, (1 - gamma) * LAW.mean, atol=1e-12)
    for s, found in zip(LAW.std, step.std, strict=True):
        half = abs((1 - gamma) * s)
        least = optimize.minimize_scalar(
            lambda r, half=half: -math.log(r) + (r - half) ** 2 / (2 * gamma),
            bounds=(1e-3, 10),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert found == pytest.approx(least.x, abs=1e-6)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_ornstein_uhlenbeck_at_log_1_plus_gamma_has_the_step_s_mean(gamma: float) -> None:
    noised = gaussian.ornstein_uhlenbeck(LAW, math.log(1 + gamma))
    np.testing.assert_allclose(noised.mean, gaussian.jko_step(LAW, gamma).mean, rtol=1e-12)


@pytest.mark.parametrize("time", [0.01, 0.4, 5.0])
def test_ornstein_uhlenbeck_solves_the_fokker_planck_equation(time: float) -> None:
    """dm/dt = −m and d(s²)/dt = 2 − 2s², by finite differences in time."""
    before, now, after = (gaussian.ornstein_uhlenbeck(LAW, time + h) for h in (-1e-5, 0, 1e-5))
    np.testing.assert_allclose((after.mean - before.mean) / 2e-5, -now.mean, atol=1e-6)
    np.testing.assert_allclose((after.std**2 - before.std**2) / 2e-5, 2 - 2 * now.std**2, atol=1e-6)


def test_ornstein_uhlenbeck_starts_at_the_law_and_ends_at_the_target() -> None:
    start, end = gaussian.ornstein_uhlenbeck(LAW, 0.0), gaussian.ornstein_uhlenbeck(LAW, 40.0)
    np.testing.assert_allclose([start.mean, start.std], [LAW.mean, LAW.std])
    np.testing.assert_allclose([end.mean, end.std], [np.zeros(3), np.ones(3)], atol=1e-12)


@pytest.mark.parametrize("s", [0.6, 1.7])
def test_ornstein_uhlenbeck_s_width_differs_at_second_order_in_gamma(s: float) -> None:
    """std(OU) − std(JKO) = γ²(1 − s²)/(2s³) + O(γ³)."""
    law, gamma = Gaussian.of([0.0], [s]), 1e-3
    noised = gaussian.ornstein_uhlenbeck(law, math.log(1 + gamma)).std
    gap = (noised - gaussian.jko_step(law, gamma).std)[0]
    assert gap / gamma**2 == pytest.approx((1 - s**2) / (2 * s**3), rel=0.02)


@quickly
@given(st.floats(-5, 5), st.floats(0.1, 5), STEPS)
def test_epsilon_is_zero_at_the_exact_step(mean: float, std: float, gamma: float) -> None:
    law = Gaussian.of([mean, 1.0], [std, 0.5])
    exact = gaussian.jko_step(law, gamma)
    scale = (1 + 1 / gamma) ** 2 * (1 + mean**2 + std**2)
    assert gaussian.epsilon_squared(law, exact, gamma) <= 1e-20 * scale


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize(("mean", "std"), [(0.1, 1.0), (0.0, 1.1), (0.0, 0.9), (-0.2, 1.3)])
def test_epsilon_is_positive_off_the_exact_step(gamma: float, mean: float, std: float) -> None:
    exact = gaussian.jko_step(LAW, gamma)
    assert gaussian.epsilon_squared(LAW, Gaussian(exact.mean + mean, exact.std * std), gamma) > 1e-3


@pytest.mark.parametrize("gamma", GAMMAS)
def test_epsilon_is_the_integral_of_its_definition(gamma: float) -> None:
    """ξ = y + ∇log p'(y) − (back(y) − y)/γ with back the increasing map from p' to p, by quantiles."""
    after = Gaussian.of([0.8, -0.1, 0.3], [0.7, 1.1, 1.4])

    def xi_squared(y: float, i: int) -> float:
        m, s = after.mean[i], after.std[i]
        back = stats.norm.ppf(stats.norm.cdf(y, m, s), LAW.mean[i], LAW.std[i])
        return (y - (y - m) / s**2 - (back - y) / gamma) ** 2

    exact = 0.0
    for i in range(3):
        m, s = after.mean[i], after.std[i]
        exact += quad(
            lambda y, i=i, m=m, s=s: stats.norm.pdf(y, m, s) * xi_squared(y, i), m - 7 * s, m + 7 * s
        )[0]
    assert gaussian.epsilon_squared(LAW, after, gamma) == pytest.approx(exact, rel=1e-5)


def test_the_paper_s_experiment() -> None:
    """p₀ = N((3,3), I), γ = .5: means 2, 1.333, .889, .593 and KL 9, 4, 1.778, .790, .351."""
    laws = [Gaussian.of([3, 3], [1, 1])]
    for _ in range(4):
        laws.append(gaussian.jko_step(laws[-1], 0.5))
    means, kls = [law.mean[0] for law in laws], [gaussian.kl(law) for law in laws]
    assert means == pytest.approx([3, 2, 1.333, 0.889, 0.593], abs=6e-4)
    assert kls == pytest.approx([9, 4, 1.778, 0.790, 0.351], abs=6e-4)
    for law in laws:
        np.testing.assert_allclose(law.std, 1, rtol=1e-14)


@quickly
@given(st.floats(-5, 5), st.floats(0.1, 5), STEPS)
def test_a_step_lowers_kl_at_least_by_the_proximal_inequality(mean: float, std: float, gamma: float) -> None:
    """KL(p') + W2²(p, p')/(2γ) ≤ KL(p)."""
    law = Gaussian.of([mean], [std])
    after = gaussian.jko_step(law, gamma)
    moved = w2_squared_between(law, after)
    assert gaussian.kl(after) + moved / (2 * gamma) <= gaussian.kl(law) + 1e-9


def turned(law: Gaussian, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a law with its directions turned."""
    return turn @ law.mean, turn @ np.diag(law.std**2) @ turn.T


@pytest.mark.parametrize("gamma", GAMMAS)
def test_epsilon_of_moments_is_epsilon_where_covariances_commute(gamma: float) -> None:
    after = Gaussian.of([0.8, -0.1, 0.3], [0.7, 1.1, 1.4])
    turn = stats.ortho_group.rvs(3, random_state=np.random.default_rng(0))
    found = gaussian.epsilon_squared_of_moments(*turned(LAW, turn), *turned(after, turn), gamma)
    assert found == pytest.approx(gaussian.epsilon_squared(LAW, after, gamma), rel=1e-10)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_epsilon_of_moments_is_the_integral_where_covariances_do_not_commute(gamma: float) -> None:
    """E|ξ|² is exact over the points m ± √d·L e_i, since ξ is affine; A by its other formula."""
    rng = np.random.default_rng(1)
    m0, m1 = rng.normal(size=(2, 3))
    s0, s1 = (root @ root.T + 0.2 * np.eye(3) for root in rng.normal(size=(2, 3, 3)))
    half = linalg.sqrtm(s0).real
    back = half @ np.linalg.inv(linalg.sqrtm(half @ s1 @ half).real) @ half
    np.testing.assert_allclose(back @ s1 @ back, s0, atol=1e-9)
    offsets = np.sqrt(3) * np.linalg.cholesky(s1).T
    y = m1 + np.concatenate([offsets, -offsets])
    xi = y - (y - m1) @ np.linalg.inv(s1) - ((m0 + (y - m1) @ back) - y) / gamma
    exact = np.mean(np.sum(xi**2, axis=1))
    assert gaussian.epsilon_squared_of_moments(m0, s0, m1, s1, gamma) == pytest.approx(exact, rel=1e-9)
