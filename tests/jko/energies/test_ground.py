"""Where λ-convex functionals are least: closed forms, and bounds that hold wherever the search stops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from jko.core.errors import InputError
from jko.energies.functional import (
    Entropy,
    Functional,
    InteractionEnergy,
    PotentialEnergy,
    PowerEnergy,
    QuadraticInteraction,
    half_square,
)
from jko.energies.ground import ground_of
from jko.laws.targets import TARGETS

AT = torch.tensor([1.0, -2.0], dtype=torch.float64)


def well(lam: float) -> PotentialEnergy:
    return PotentialEnergy(lambda x: lam * half_square(x - AT.to(x)) + 0.7, lam)


@pytest.mark.parametrize("lam", [0.25, 1.0, 4.0])
def test_of_a_normal_law_floor_and_lowest_point_are_exact(lam: float) -> None:
    """G is least at N(x*, I/λ), where it is .7 − log(2π/λ) in the plane; W2 of that to x* is √(2/λ)."""
    found = ground_of(well(lam) + Entropy(), 2)
    assert torch.allclose(found.lowest, AT, atol=1e-6)
    assert found.slack < 1e-6
    assert found.floor == pytest.approx(0.7 - math.log(2 * math.pi / lam), abs=1e-9)
    assert found.spread == pytest.approx(math.sqrt(2 / lam))


def test_without_internal_energy_the_least_law_is_a_point() -> None:
    found = ground_of(well(1.0) + QuadraticInteraction(3.0), 2)
    assert (found.spread, found.floor) == (0.0, pytest.approx(0.7, abs=1e-9))


def test_a_kernel_that_is_not_zero_at_zero_lifts_the_floor() -> None:
    kernel = InteractionEnergy(lambda z: 2 + (z**2).sum(-1), convex=True)
    assert ground_of(well(1.0) + kernel, 2).floor == pytest.approx(1.7, abs=1e-9)


def test_a_power_energy_leaves_the_spread_open_and_the_floor_below_barenblatt() -> None:
    """Min of E x²/2 + ∫ρ² on the line is .590 at Barenblatt's profile; nothing but V ≥ 0 is used of it."""
    found = ground_of(PotentialEnergy(half_square, 1.0) + PowerEnergy(2.0), 1)
    assert found.spread is None
    assert found.floor == pytest.approx(0, abs=1e-12)


def test_two_entropies_are_least_at_twice_the_variance() -> None:
    found = ground_of(well(1.0) + Entropy() + Entropy(), 2)
    law = -2 * math.log(4 * math.pi) - 2 + 0.7 + 2  # 2 E log ρ of N(x*, 2I), and V
    assert (found.floor, found.spread) == (pytest.approx(law, abs=1e-9), pytest.approx(2.0))


def test_of_a_regression_no_law_is_below_the_floor_nor_beyond_the_spread() -> None:
    """Against draws by Langevin steps corrected by acceptance, from the lowest point."""
    target = TARGETS["logistic_regression"](3, observations=60, precision=2.0)
    functional = PotentialEnergy(target.potential, target.convexity) + Entropy()
    found = ground_of(functional, 3)
    assert found.slack < 1e-6
    draw = torch.Generator().manual_seed(0)
    x = found.lowest.repeat(4000, 1)
    for _ in range(300):
        there = x + 0.3 * torch.randn(x.shape, generator=draw, dtype=x.dtype)
        kept = (target.potential(x) - target.potential(there)).exp() > torch.rand(len(x), generator=draw)
        x = torch.where(kept[:, None], there, x)
    away = (x - found.lowest).square().sum(-1)
    assert 0.05 * found.spread**2 < float(away.mean()) < found.spread**2
    # G of the normal law with the draws' moments is above min G, and that above the floor
    spread = np.linalg.slogdet(np.cov(x.T.numpy()))[1]
    least = float(target.potential(x).mean()) - 0.5 * (3 * math.log(2 * math.pi * math.e) + spread)
    assert least > found.floor


def test_no_convexity_no_ground() -> None:
    flat = Functional((PotentialEnergy(half_square, 0.0, "plain"), Entropy()))
    with pytest.raises(InputError, match="no λ > 0"):
        ground_of(flat, 2)
