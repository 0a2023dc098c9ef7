"""The Ornstein-Uhlenbeck law of rows and its distance to theirs, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jko.laws import gaussian
from jko.laws.gaussian import Gaussian
from jko.laws.smoothing import ornstein_uhlenbeck, smoothing_w2_bound

GAUSSIANS = {
    "off centre": Gaussian.of([3.0, -1.0], [0.5, 2.0]),
    "standard": Gaussian.of([0.0, 0.0, 0.0], 1.0),
    "nearly on a line": Gaussian.of([1.0, 0.0], [1.5, 1e-6]),
    "wide": Gaussian.of([0.2], [4.0]),
}
TIMES = (0.0, 1e-6, 0.01, 0.3, 5.0)


def w2(a: Gaussian, b: Gaussian) -> float:
    """W2 of Gaussians with common eigen-directions: that of their means and deviations."""
    return float(np.hypot(np.linalg.norm(a.mean - b.mean), np.linalg.norm(a.std - b.std)))


def second_moment(law: Gaussian) -> float:
    return float(np.sum(law.mean**2 + law.std**2))


@pytest.mark.parametrize("time", [0.01, 0.3, 2.0])
def test_the_law_of_smoothed_rows_is_that_of_the_process(time: float) -> None:
    law = GAUSSIANS["off centre"]
    rng = np.random.default_rng(0)
    rows = law.mean + law.std * rng.standard_normal((40_000, 2))
    smoothed = ornstein_uhlenbeck(rows, time, rng)
    exact = gaussian.ornstein_uhlenbeck(law, time)
    error = 4 / math.sqrt(len(rows))  # four standard errors, relative to the deviation
    assert np.all(np.abs(smoothed.mean(0) - exact.mean) < error * exact.std)
    np.testing.assert_allclose(smoothed.std(0), exact.std, rtol=error)
    assert abs(np.corrcoef(smoothed.T)[0, 1]) < error


def test_the_noise_of_a_row_has_the_process_s_deviation_and_does_not_see_the_row() -> None:
    rows = np.random.default_rng(1).uniform(-1, 1, (40_000, 2))
    noise = ornstein_uhlenbeck(rows, 0.02, np.random.default_rng(2)) - math.exp(-0.02) * rows
    np.testing.assert_allclose(noise.std(0), math.sqrt(1 - math.exp(-0.04)), rtol=0.02)
    assert np.abs(np.corrcoef(rows.T, noise.T)[:2, 2:]).max() < 0.02


def test_no_time_leaves_every_byte_and_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = np.array([[-0.0, 1e-300], [3.0, -7.5]])
    state = rng.bit_generator.state
    assert ornstein_uhlenbeck(rows, 0.0, rng).tobytes() == rows.tobytes()
    assert rng.bit_generator.state == state


def test_the_rows_given_are_not_changed() -> None:
    rows = np.ones((5, 2))
    for time in (0.0, 0.1):
        ornstein_uhlenbeck(rows, time, np.random.default_rng(0))[:] = 9
    assert (rows == 1).all()


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("law", GAUSSIANS.values(), ids=list(GAUSSIANS))
def test_the_bound_lies_above_the_distance_of_a_gaussian_to_its_smoothed_law(
    law: Gaussian, time: float
) -> None:
    exact = w2(law, gaussian.ornstein_uhlenbeck(law, time))
    rounding = 1e-10  # of the oracle's √(1 + e^{-2t}(s² − 1)) where s is near 0
    assert exact <= smoothing_w2_bound(second_moment(law), len(law.mean), time) + rounding


@pytest.mark.parametrize("time", TIMES)
def test_the_bound_is_the_distance_of_a_single_point_to_its_smoothed_law(time: float) -> None:
    """From one point there is one coupling only, the paired one: the bound cannot be lower."""
    point = Gaussian.of([1.0, -2.0, 0.5], 0.0)
    exact = w2(point, gaussian.ornstein_uhlenbeck(point, time))
    bound = smoothing_w2_bound(second_moment(point), 3, time)
    # the oracle's deviation √(1 − e^{-2t}) is rounded, and at small times that shows
    assert bound == pytest.approx(exact, rel=1e-9)


def test_the_bound_of_standardised_data_and_its_ends() -> None:
    assert smoothing_w2_bound(7.0, 7, 0.02) == pytest.approx(math.sqrt(14 * (1 - math.exp(-0.02))))
    assert smoothing_w2_bound(2.5, 2, 0.0) == 0.0
    assert smoothing_w2_bound(2.5, 2, 50.0) == pytest.approx(math.sqrt(2.5 + 2))  # independent N(0, I)
