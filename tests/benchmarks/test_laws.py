"""The laws of the plane: their mass, entropy and score, against grids and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.laws import PLANE
from jko.laws.densities import entropy

NEW = ("checkerboard", "pinwheel", "swiss_roll")


def grid(side: float, points: int) -> tuple[np.ndarray, float]:
    """Midpoints of a square grid on [−side, side]², shape (points², 2), and the area of a cell."""
    axis = (np.arange(points) + 0.5) / points * 2 * side - side
    x, y = np.meshgrid(axis, axis)
    return np.stack([x.ravel(), y.ravel()], axis=1), (2 * side / points) ** 2


@pytest.mark.parametrize("name", NEW)
def test_mass_is_one_and_entropy_is_that_of_the_draws(name: str) -> None:
    law = PLANE[name]()
    x, area = grid(6.0, 120)
    log_p = law.log_prob(x)
    p = np.exp(log_p)
    assert p.sum() * area == pytest.approx(1, abs=1e-3)
    on_grid = -(p[p > 0] * log_p[p > 0]).sum() * area
    drawn = entropy(law, rows=5_000, seed=3)
    assert abs(drawn.value - on_grid) < 4 * drawn.se + 1e-3


@pytest.mark.parametrize("name", NEW)
def test_draws_fill_the_cells_that_the_density_says(name: str) -> None:
    law = PLANE[name]()
    x, area = grid(6.0, 120)
    mass = np.exp(law.log_prob(x)).reshape(12, 10, 12, 10).sum(axis=(1, 3)) * area
    draws = law.sample(50_000, np.random.default_rng(5))
    edges = np.linspace(-6, 6, 13)
    share = np.histogram2d(draws[:, 1], draws[:, 0], bins=(edges, edges))[0] / len(draws)
    assert np.all(np.abs(share - mass) < 5 * np.sqrt(mass / len(draws)) + 1e-4)


def test_the_score_of_the_pinwheel_is_the_gradient() -> None:
    law = PLANE["pinwheel"]()
    x, h = law.sample(200, np.random.default_rng(1)), 1e-5
    slopes = [(law.log_prob(x + step) - law.log_prob(x - step)) / (2 * h) for step in h * np.eye(2)]
    assert law.score(x) == pytest.approx(np.stack(slopes, axis=1), rel=1e-5, abs=1e-5)


def test_the_checkerboard_has_its_entropy_in_closed_form() -> None:
    assert entropy(PLANE["checkerboard"](), rows=1000).value == pytest.approx(np.log(32))


def test_the_points_of_the_swiss_roll_are_closer_than_half_their_width() -> None:
    law = PLANE["swiss_roll"]()
    assert np.linalg.norm(np.diff(law.centres, axis=0), axis=1).max() < law.std / 2
