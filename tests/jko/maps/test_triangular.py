"""The triangular map of a mixture: exact both ways, with the mixture's own density."""

import numpy as np
import pytest
import torch
from scipy.special import log_ndtr
from sklearn.mixture import GaussianMixture

from jko.maps.start_fit import fit_mixture
from jko.maps.triangular import MixtureMap, normal_quantile

ROWS = 500


def rows(seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    centres = np.array([[-3.0, 0.0, 1.0], [2.0, 2.0, -1.0]])[draw.integers(2, size=ROWS)]
    return centres + draw.normal(size=(ROWS, 3)) @ np.array([[1, 0.8, 0], [0, 0.3, 0.2], [0, 0, 0.5]])


def of(mixture: GaussianMixture) -> MixtureMap:
    factors = torch.linalg.cholesky(torch.from_numpy(mixture.covariances_))
    return MixtureMap(torch.from_numpy(np.log(mixture.weights_)), torch.from_numpy(mixture.means_), factors)


def test_density_and_inverse_are_the_mixtures() -> None:
    mixture = GaussianMixture(3, random_state=0).fit(rows())
    start = of(mixture)
    u = np.concatenate([rows(1), [[40.0, -30.0, 10.0], [0.0, 0.0, 200.0]]])
    z, log_det = start(torch.from_numpy(u))
    own = -0.5 * (z**2).sum(1) - 1.5 * np.log(2 * np.pi) + log_det
    np.testing.assert_allclose(own, mixture.score_samples(u), rtol=1e-9)
    assert z.isfinite().all()
    np.testing.assert_allclose(start.inverse(z[:ROWS]), u[:ROWS], atol=1e-6)
    np.testing.assert_allclose(start.inverse(z[ROWS:]), u[ROWS:], rtol=1e-3, atol=1e-6)


def test_the_log_determinant_is_that_of_the_map() -> None:
    start = fit_mixture(rows())
    u = torch.from_numpy(rows(2)[:6])
    jacobian = torch.stack([torch.func.jacrev(lambda row: start(row[None])[0][0])(row) for row in u])
    torch.testing.assert_close(start(u)[1], torch.linalg.slogdet(jacobian)[1])
    assert (jacobian.triu(1).abs() < 1e-9).all()


def test_its_samples_are_the_mixtures() -> None:
    start = fit_mixture(rows())
    drawn = start.inverse(torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(drawn.mean(0), rows().mean(0), atol=0.25)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(rows().T), atol=0.4)


@pytest.mark.parametrize("z", [0.0, -1.0, -5.0, -20.0, -37.0, -300.0])
def test_the_quantile_is_right_far_into_the_tail(z: float) -> None:
    log_p = torch.tensor([float(log_ndtr(z))], dtype=torch.float64, requires_grad=True)
    found = normal_quantile(log_p)
    assert found.item() == pytest.approx(z, abs=1e-9, rel=1e-9)
    found.sum().backward()
    assert log_p.grad is not None
    assert log_p.grad.isfinite().all()
