"""The importance correction against quadrature, its own rate and the laws that it samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from jko.chain.correction import Correction, fit_correction
from jko.core.errors import InputError
from tests.oracles import normal, standard_error

#: nodes of the line and their distance
X = torch.linspace(-14, 14, 40_001, dtype=torch.float64)
STEP = float(X[1] - X[0])


def log_normal(x: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    return -0.5 * ((x - mean) / std) ** 2 - math.log(std) - 0.5 * math.log(2 * math.pi)


def log_modes(x: torch.Tensor) -> torch.Tensor:
    """Two modes of unequal weight."""
    parts = torch.stack([log_normal(x, -3, 0.7) + math.log(0.3), log_normal(x, 2.5, 1.0) + math.log(0.7)])
    return parts.logsumexp(0)


#: log p and log q on the line
PAIRS = {
    "wider": (lambda x: log_normal(x, 0, 2), lambda x: log_normal(x, 0, 1)),
    "shifted": (lambda x: log_normal(x, 1, 1), lambda x: log_normal(x, 0, 1)),
    "narrower": (lambda x: log_normal(x, 0, 0.8), lambda x: log_normal(x, 0, 1)),
    "two modes": (lambda x: log_normal(x, -1, 2.5), log_modes),
}


def exact(log_p: torch.Tensor, log_w: torch.Tensor, log_level: float) -> Correction:
    """The correction at a level, with ᾱ by quadrature."""
    alpha = (log_w - log_level).clamp(max=0).exp()
    return Correction(log_level, float((log_p.exp() * alpha).sum() * STEP), 0.0)


def kl(log_p: torch.Tensor, log_q: torch.Tensor) -> float:
    return float((log_p.exp() * (log_p - log_q)).sum() * STEP)


# the rate


@pytest.mark.parametrize("rate", [0.001, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("rows", [10, 1001])
def test_the_level_draws_the_share_that_was_asked_for(rate: float, rows: int) -> None:
    log_weights = normal(rows, seed=rows) - 700.0
    found = fit_correction(log_weights, rate)
    alpha = (log_weights - found.log_level).exp().clamp(max=1)
    assert found.acceptance == pytest.approx(float(alpha.mean()), abs=1e-12)
    capped = found.log_level == float(log_weights.max())
    assert found.acceptance >= 1 - rate - 1e-9
    assert capped or found.acceptance == pytest.approx(1 - rate, abs=1e-9)
    assert found.acceptance_se == pytest.approx(standard_error(alpha), rel=1e-9)


def test_weights_by_hand() -> None:
    """w = 1, 2, 4, 8: with c between 4 and 8 the share is (3 − 7/c)/4, with c between 2 and 4 (2 − 3/c)/4."""
    log_weights = torch.tensor([8.0, 1.0, 4.0, 2.0]).log()
    assert math.exp(fit_correction(log_weights, 0.4).log_level) == pytest.approx(7 / 1.4)
    assert math.exp(fit_correction(log_weights, 0.25).log_level) == pytest.approx(3)
    # beyond the largest weight more rows would be drawn again for nothing
    capped = fit_correction(log_weights, 0.6)
    assert math.exp(capped.log_level) == pytest.approx(8)
    assert capped.acceptance == pytest.approx(15 / 32)


def test_equal_weights_leave_nothing_to_draw_again() -> None:
    found = fit_correction(torch.full((50,), -3.2), 0.3)
    assert found.acceptance == pytest.approx(1, abs=1e-12)
    assert float(found.log_factor(torch.tensor([-3.2])).abs()) < 1e-12


def test_weights_that_are_nothing_beside_the_others() -> None:
    """Half of the rows have no weight worth mentioning: a level below the others' smallest does for them."""
    log_weights = torch.tensor([-2000.0, -1900.0, 0.0, 1.0])
    found = fit_correction(log_weights, 0.5)
    assert found.log_level <= 0
    assert found.acceptance == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("weights", "rate", "message"),
    [
        ([0.0, math.nan], 0.2, "1 not finite"),
        ([0.0, -math.inf], 0.2, "1 not finite"),
        ([0.0], 0.2, "two or more"),
        ([[0.0, 1.0]], 0.2, "two or more"),
        ([0.0, 1.0], 0.0, "between 0 and 1"),
        ([0.0, 1.0], 1.0, "between 0 and 1"),
    ],
)
def test_what_cannot_be_corrected(weights: list, rate: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_correction(torch.tensor(weights), rate)


# the law


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("log_level", [-0.1, 0.0, 0.5])
def test_the_density_is_one_and_no_further_from_the_target(name: str, log_level: float) -> None:
    """By quadrature; the drop is that of the formula over rows of p."""
    log_p, log_q = (law(X) for law in PAIRS[name])
    found = exact(log_p, log_q - log_p, log_level)
    after = log_p + found.log_factor(log_q - log_p)
    assert float(after.exp().sum() * STEP) == pytest.approx(1, abs=1e-6)
    drop = kl(log_p, log_q) - kl(after, log_q)
    assert drop > 1e-4
    rows = {"wider": (0, 2), "shifted": (1, 1), "narrower": (0, 0.8), "two modes": (-1, 2.5)}[name]
    y = rows[0] + rows[1] * normal(100_000, seed=7)
    log_p, log_q = (law(y) for law in PAIRS[name])
    estimate = found.kl_drop(log_q - log_p)
    assert abs(estimate.value - drop) < 4 * estimate.se


def test_kl_never_rises_whatever_weights_and_level() -> None:
    """A random discrete law p, random weights, random levels: E f = 1 and the drop is not negative."""
    for seed in range(200):
        draw = np.random.default_rng(seed)
        p = torch.from_numpy(draw.dirichlet(np.full(12, 0.5)) + 1e-12)
        p = p / p.sum()
        log_w = torch.from_numpy(draw.standard_normal(12) * draw.uniform(0.01, 6))
        level = float(log_w.min() + draw.uniform(-0.1, 1.2) * (log_w.max() - log_w.min()))
        alpha = (log_w - level).clamp(max=0).exp()
        found = Correction(level, float((p * alpha).sum()), 0.0)
        f = found.log_factor(log_w).exp()
        assert float((p * f).sum()) == pytest.approx(1)
        drop = float((p * ((f - 1) * log_w - torch.special.xlogy(f, f))).sum())
        assert drop >= -1e-12


def test_a_level_at_the_largest_weight_mixes_in_the_target() -> None:
    """There α = w/c, so p' = (Z/c) q + (1 − Z/c) p."""
    log_p, log_q = log_normal(X, 0, 2), log_normal(X, 0, 1)
    level = math.log(2)  # the largest weight, at 0
    found = exact(log_p, log_q - log_p, level)
    assert found.acceptance == pytest.approx(0.5)
    mixture = 0.5 * log_q.exp() + 0.5 * log_p.exp()
    torch.testing.assert_close((log_p + found.log_factor(log_q - log_p)).exp(), mixture)


def test_rows_far_from_the_target_keep_a_finite_density() -> None:
    found = Correction(0.0, 0.8, 0.001)
    log_f = found.log_factor(torch.tensor([-5000.0, 0.0, 5000.0]))
    assert log_f.tolist() == pytest.approx([math.log(0.2), math.log(1.2), math.log(1.2)])
    assert log_f.dtype == torch.float64
