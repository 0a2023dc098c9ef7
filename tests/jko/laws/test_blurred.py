"""KL at a resolution by quadrature, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jko.core.errors import InputError
from jko.laws.blurred import Grid, truth_at
from jko.laws.densities import Array, DiagonalGaussian, moons


def gaussians(mean: Array, std: Array, s: float) -> float:
    """KL of N(mean, diag(std²)) and N(0, I), both blurred: the second one stays as it is."""
    a2 = 1 - s * s
    variance = a2 * std**2 + s * s
    return float((a2 * mean**2 + variance - 1 - np.log(variance)).sum() / 2)


@pytest.mark.parametrize("s", [0.05, 0.2, 0.7])
@pytest.mark.parametrize(("mean", "std"), [([0.4], [0.3]), ([2.0, -1.0], [0.5, 1.5])])
def test_two_normal_laws_in_closed_form(mean: list[float], std: list[float], s: float) -> None:
    law = DiagonalGaussian(np.array(mean), np.array(std))
    other = DiagonalGaussian(np.zeros(len(mean)), np.ones(len(mean)))
    grid = Grid.over([(-9.0, 7.0)] * len(mean), 0.05)
    found = truth_at(grid, law.log_prob(grid.points), other.log_prob(grid.points), s)
    assert found.value == pytest.approx(gaussians(law.mean, law.std, s), abs=1e-4)
    assert abs(found.value - gaussians(law.mean, law.std, s)) <= found.error + 1e-5


def test_a_mixture_is_what_its_blurred_components_are() -> None:
    """The mean of log ρ_s − log q_s over rows of ρ_s, which has components of its own width."""
    law, s = moons(0.2, points=16), 0.3
    a = math.sqrt(1 - s * s)
    blurred = type(law)(a * law.centres, math.hypot(a * law.std, s))
    other = DiagonalGaussian(np.array([0.5, 0.25]), np.array([0.9, 0.5]))
    wide = DiagonalGaussian(a * other.mean, np.hypot(a * other.std, s))
    grid = Grid.over([(-4.0, 5.0), (-3.0, 4.0)], 0.08)
    found = truth_at(grid, law.log_prob(grid.points), other.log_prob(grid.points), s)
    rows = blurred.sample(40_000, np.random.default_rng(0))
    gap = blurred.log_prob(rows) - wide.log_prob(rows)
    assert found.value == pytest.approx(gap.mean(), abs=4 * gap.std() / 200)


def test_a_grid_that_misses_the_law_is_refused() -> None:
    law = DiagonalGaussian(np.zeros(1), np.ones(1))
    grid = Grid.over([(-1.0, 1.0)], 0.05)
    with pytest.raises(InputError, match="wider or finer"):
        truth_at(grid, law.log_prob(grid.points), law.log_prob(grid.points), 0.2)
