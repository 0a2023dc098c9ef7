"""log Z between two ends: closed forms of Gaussians, and a regression against a long run."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.evidence import annealed
from jko.certify.certificates import Guarantee
from jko.certify.evidence_interval import EvidenceInterval, evidence_interval
from jko.certify.guarantee import certify_functional
from jko.chain.importance import importance_report
from jko.energies.functional import Entropy, PotentialEnergy
from jko.energies.ground import ground_of
from jko.laws.densities import Estimate
from jko.laws.regression import synthetic_regression
from jko.measure.measures import standard_error
from tests.functional_chains import evidence_of as evidence_of_step
from tests.functional_chains import random_chain


def interval(weights: torch.Tensor, slope: Estimate, lam: float) -> EvidenceInterval:
    """Of log-weights of draws and an estimate of I."""
    whole = Guarantee(
        certificate_c=(max(slope.value, 0) + 2 * slope.se) / (2 * lam),
        certificate_c_estimate=slope.value / (2 * lam), certificate_c_se=slope.se / (2 * lam),
        statuses={"certificate_c": "measured"},
    )  # fmt: skip
    elbo = Estimate(float(weights.mean()), standard_error(weights))
    return evidence_interval(elbo, whole, log_z=importance_report(weights).log_normaliser, draws=len(weights))


@pytest.mark.parametrize("seed", range(10))
def test_of_gaussians_it_holds_log_z_and_its_width_is_that_of_the_log_sobolev_inequality(seed: int) -> None:
    """q = exp(−x'Ax/2), log Z = ½ log det(2π A⁻¹), p Gaussian: KL and I are closed, and so both ends."""
    rng = np.random.default_rng(seed)
    dim = int(rng.integers(1, 6))
    axes = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    precision = (axes * rng.uniform(0.5, 2, dim)) @ axes.T
    lam = float(np.linalg.eigvalsh(precision)[0])
    log_z = 0.5 * (dim * math.log(2 * math.pi) - np.linalg.slogdet(precision)[1])
    mean, factor = 0.5 * rng.standard_normal(dim), np.eye(dim) + 0.2 * rng.standard_normal((dim, dim))
    cov = factor @ factor.T
    law = torch.distributions.MultivariateNormal(torch.from_numpy(mean), torch.from_numpy(cov))
    torch.manual_seed(seed)
    x, matrix = law.sample((20_000,)), torch.from_numpy(precision)
    weights = -0.5 * ((x @ matrix) * x).sum(-1) - law.log_prob(x)
    score = x @ matrix - (x - law.mean) @ torch.from_numpy(np.linalg.inv(cov))
    squares = score.square().sum(-1)
    found = interval(weights, Estimate(float(squares.mean()), standard_error(squares)), lam)
    assert found.lower_end < log_z < found.upper_end
    kl = 0.5 * (
        mean @ precision @ mean + np.trace(precision @ cov) - dim - np.linalg.slogdet(precision @ cov)[1]
    )
    slope = precision - np.linalg.inv(cov)
    fisher = mean @ precision @ precision @ mean + np.trace(slope @ cov @ slope)
    assert found.elbo == pytest.approx(log_z - kl, abs=4 * found.elbo_se)
    assert found.gap == pytest.approx(fisher / (2 * lam), abs=4 * found.gap_se)
    assert found.upper_se == pytest.approx(math.hypot(found.elbo_se, found.gap_se))


def test_of_a_regression_it_holds_the_value_of_a_long_run() -> None:
    """p is the Gaussian by Laplace's method; the reference anneals from the prior in 300 steps."""
    target = synthetic_regression(4, observations=40, precision=2.0, seed=1)
    ground = ground_of(PotentialEnergy(target.potential, target.convexity) + Entropy(), 4)
    hessian = torch.autograd.functional.hessian(lambda x: target.potential(x[None])[0], ground.lowest)
    law = torch.distributions.MultivariateNormal(ground.lowest, precision_matrix=hessian)
    torch.manual_seed(0)
    x = law.sample((20_000,)).requires_grad_()
    (slope,) = torch.autograd.grad(target.potential(x).sum(), x)
    x = x.detach()
    squares = (slope - (x - law.mean) @ hessian).square().sum(-1)
    found = interval(
        -target.potential(x) - law.log_prob(x), Estimate(float(squares.mean()), standard_error(squares)), 2.0
    )
    reference = annealed(target, walkers=400, temperatures=300)
    assert reference.share > 0.5
    assert reference.log_z_se < 0.06
    assert (
        found.lower_end - 3 * reference.log_z_se < reference.log_z < found.upper_end + 3 * reference.log_z_se
    )
    assert found.log_z == pytest.approx(reference.log_z, abs=4 * reference.log_z_se)
    assert found.upper_end - found.lower_end < 0.5


def test_without_c_there_is_a_lower_end_and_the_reason() -> None:
    whole = Guarantee(reasons={"certificate_c": "no λ is known"}, causes={"certificate_c": "condition"})
    found = evidence_interval(Estimate(-1.0, 0.1), whole, log_z=Estimate(-0.9, 0.1), draws=10, known=0.0)
    assert (found.lower_end, found.upper, found.upper_end, found.status) == (-1.2, None, None, "fails")
    assert found.reason == "no λ is known"
    assert "at least -1.200 nats" in found.says


def test_c_of_a_functional_chain_is_its_gap() -> None:
    system, law, steps = random_chain(0)
    functional = system.functional
    _, own = evidence_of_step(system, law, steps[0])
    whole = certify_functional([own], functional, ground_of(functional, system.dim))
    found = evidence_interval(Estimate(0.0, 0.0), whole, log_z=Estimate(0.0, 0.0), draws=2)
    assert found.gap == found.upper == found.upper_end == whole.certificate_c_estimate
