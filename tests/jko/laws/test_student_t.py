"""The Student t: against scipy, its range, its gradient, its fit."""

import numpy as np
import pytest
import torch
from scipy import stats

from jko.laws.student_t import StudentT, fit_student_t

FACTOR = np.array([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [-1.0, 0.3, 2.0]])
LOCATION = np.array([1.0, 2.0, -3.0])


def law(degrees: float) -> StudentT:
    return StudentT(torch.from_numpy(LOCATION), torch.from_numpy(FACTOR), degrees)


def reference(degrees: float):
    return stats.multivariate_t(LOCATION, FACTOR @ FACTOR.T, df=degrees)


@pytest.mark.parametrize("degrees", [1.0, 3.0, 30.0])
def test_the_density_is_scipy_s(degrees: float) -> None:
    y = LOCATION + np.random.default_rng(0).standard_normal((50, 3)) * np.geomspace(1e-3, 1e6, 50)[:, None]
    found = law(degrees).log_prob(torch.from_numpy(y)).numpy()
    np.testing.assert_allclose(found, reference(degrees).logpdf(y), rtol=1e-11)


def test_every_finite_row_has_a_density_and_a_gradient() -> None:
    """Squares of 1e300 are no numbers; the density there is."""
    y = torch.tensor([[1.0, 2, -3], [1e6] * 3, [1e200] * 3, [-1.7e308, 0, 0]], dtype=torch.float64)
    y.requires_grad_()
    values = law(2.0).log_prob(y)
    values.sum().backward()
    assert values.isfinite().all()
    assert y.grad is not None
    assert y.grad.isfinite().all()
    assert (values.diff() < 0).all()
    exact = -(2 + 3) * (np.log(1e200) - np.log(1e6))
    assert float(values[2] - values[1]) == pytest.approx(exact, rel=1e-6)


def test_the_gradient_is_the_score() -> None:
    y = torch.from_numpy(LOCATION + np.random.default_rng(1).standard_normal((6, 3)) * 4)
    assert torch.autograd.gradcheck(law(3.0).log_prob, (y.requires_grad_(),))


@pytest.mark.parametrize("degrees", [2.0, 10.0])
def test_samples_follow_the_density(degrees: float) -> None:
    """|L⁻¹(y − m)|²/d is F(d, ν), and the first coordinate a t law: Kolmogorov and Smirnov."""
    y = law(degrees).sample(4000, np.random.default_rng(2)).numpy()
    assert stats.kstest((y[:, 0] - 1) / FACTOR[0, 0], stats.t(degrees).cdf).pvalue > 0.01
    distance = (np.linalg.solve(FACTOR, (y - LOCATION).T) ** 2).sum(0) / 3
    assert stats.kstest(distance, stats.f(3, degrees).cdf).pvalue > 0.01
    turned = np.linalg.solve(FACTOR, (y - LOCATION).T)
    assert abs(np.mean(np.sign(turned[0] * turned[1]))) < 4 / 4000**0.5


@pytest.mark.parametrize("degrees", [1.0, 3.0, 10.0])
def test_the_fit_finds_the_law_that_the_rows_are_of(degrees: float) -> None:
    rows = reference(degrees).rvs(5000, random_state=np.random.default_rng(3))
    found = fit_student_t(rows[:4000], rows[4000:])
    assert found.degrees == degrees
    np.testing.assert_allclose(found.location, LOCATION, atol=0.15)
    scale = (found.factor @ found.factor.mT).numpy()
    np.testing.assert_allclose(scale, FACTOR @ FACTOR.T, rtol=0.1, atol=0.15)


@pytest.mark.parametrize(("rows", "dim"), [(8, 3), (30, 60), (200, 40)])
def test_few_rows_in_many_dimensions_give_a_law(rows: int, dim: int) -> None:
    """Fewer rows than columns have no covariance of full rank; shrunk to its diagonal it has."""
    draw = np.random.default_rng(4)
    found = fit_student_t(draw.standard_normal((rows, dim)), draw.standard_normal((max(2, rows // 4), dim)))
    fresh = torch.from_numpy(draw.standard_normal((300, dim)))
    exact = -0.5 * dim * (np.log(2 * np.pi) + 1)
    assert exact - 0.6 * dim < float(found.log_prob(fresh).mean()) < exact + 0.3 * dim**0.5
    assert np.linalg.cond((found.factor @ found.factor.mT).numpy()) < 1e4


def test_a_column_of_one_value_among_the_rows_is_no_error() -> None:
    rows = np.random.default_rng(5).standard_normal((40, 2))
    rows[:, 1] = 3.0
    found = fit_student_t(rows, rows[:10])
    assert found.log_prob(torch.from_numpy(rows)).isfinite().all()
