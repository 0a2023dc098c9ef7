"""Planned step sizes against laws whose scales, spectra and steps are known in closed form."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from jko.config.sections import SMALLEST_STEP, Steps
from jko.laws.gaussian import Gaussian, jko_step, kl, ornstein_uhlenbeck
from jko.statistics.neighbours import nearest_neighbours
from jko.training.step_plan import (
    fitted,
    gaussian_form,
    holders,
    refined,
    remainder,
    reparametrised,
)

Array = np.ndarray


def normal_rows(count: int, dim: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, dim))


def time_of(sizes: tuple[float, ...]) -> float:
    return float(np.sum(np.log1p(sizes)))


def median_of_nearest(count: int, dim: int) -> float:
    """Of N(0, I): P(R > r) = E (1 − mass of the ball of radius r at X)^(N−1), where the mass is by radius."""
    radius = np.linspace(1e-6, 7, 4000)
    weight = stats.chi.pdf(radius, dim)
    weight /= weight.sum()

    def beyond(r: float) -> float:
        return float(weight @ (1 - stats.ncx2.cdf(r**2, dim, radius**2)) ** (count - 1)) - 0.5

    return brentq(beyond, 1e-7, 5)


@pytest.mark.parametrize(("count", "dim"), [(4000, 1), (2000, 2), (1500, 3)])
def test_the_nearest_neighbour_of_gaussian_rows_is_where_its_law_says(count: int, dim: int) -> None:
    found = nearest_neighbours(normal_rows(count, dim))
    assert found.distance == pytest.approx(median_of_nearest(count, dim), rel=0.06)
    assert found.dimension == pytest.approx(dim, rel=0.1)


def test_some_of_the_rows_tell_the_distance_of_all() -> None:
    """A sixteenth of the rows are √16 = 4 times as far apart in the plane."""
    rows = normal_rows(16_000, 2)
    some = nearest_neighbours(rows, sample=1000)
    assert some.distance == pytest.approx(nearest_neighbours(rows, sample=16_000).distance, rel=0.08)
    assert nearest_neighbours(rows[:1000]).distance == pytest.approx(4 * some.distance, rel=0.1)


def test_a_curve_in_space_has_dimension_one() -> None:
    angle = np.random.default_rng(0).uniform(0, 2 * math.pi, 3000)
    rows = np.stack([np.cos(angle), np.sin(angle), np.sin(2 * angle)], axis=1)
    assert nearest_neighbours(rows).dimension == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("fine", [0.04, 0.015])
def test_of_two_scales_the_first_step_blurs_the_finer(fine: float) -> None:
    """Spots of width 1 around N(0, 1) far apart: the distance within a spot, not between spots, decides."""
    draw = np.random.default_rng(1)
    rows = draw.standard_normal((40, 1, 2)) + fine * draw.standard_normal((40, 100, 2))
    plan = fitted(rows.reshape(-1, 2))
    within = fine * median_of_nearest(100, 2)
    blurred = math.sqrt(-math.expm1(-2 * math.log1p(plan.sizes[0])))
    assert blurred == pytest.approx(within / math.sqrt(2), rel=0.15)


def test_no_step_is_smaller_than_a_chain_may_have() -> None:
    draw = np.random.default_rng(1)
    rows = draw.standard_normal((40, 1, 2)) + 1e-4 * draw.standard_normal((40, 100, 2))
    plan = fitted(rows.reshape(-1, 2))
    assert SMALLEST_STEP < plan.sizes[0] < 1.1 * SMALLEST_STEP
    assert Steps(sizes=plan.sizes).resolve() == plan.sizes


def test_the_plan_is_geometric_from_the_first_scale_to_the_tolerance() -> None:
    rows = normal_rows(3000, 2)
    plan = fitted(rows, count=6)
    ratios = [b / a for a, b in pairwise(plan.sizes)]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)
    assert 1 - 1 / (1 + plan.sizes[0]) ** 2 == pytest.approx(plan.neighbours.distance**2 / 2, rel=0.05)
    assert time_of(plan.sizes) == pytest.approx(plan.time, rel=1e-9)
    assert plan.remainder == pytest.approx(1e-3, rel=1e-6)


def test_the_count_chosen_is_the_smallest_within_the_ratio() -> None:
    rows = normal_rows(3000, 2)
    plan = fitted(rows, ratio=2.5)
    assert 1 < plan.sizes[1] / plan.sizes[0] <= 2.5
    shorter = fitted(rows, count=len(plan.sizes) - 1)
    assert shorter.sizes[1] / shorter.sizes[0] > 2.5


def test_no_step_chosen_is_above_the_maximum() -> None:
    """Few rows in high dimension are as far apart as N(0, I) is wide, so no noise only blurs them."""
    rows = normal_rows(300, 40)
    plan = fitted(rows, maximum=2.0)
    assert plan.neighbours.width > 1
    assert plan.sizes == (pytest.approx(math.expm1(plan.time / len(plan.sizes))),) * len(plan.sizes)
    assert max(plan.sizes) <= 2 < math.expm1(plan.time / (len(plan.sizes) - 1))
    fine = fitted(normal_rows(3000, 2), maximum=1.0)
    assert fine.sizes[-1] <= 1 < fitted(normal_rows(3000, 2), count=len(fine.sizes) - 1).sizes[-1]


def test_a_mean_alone_takes_the_time_of_its_closed_form() -> None:
    """½ e^{−2t} |m|² = tolerance, and the JKO chain's mean is there exactly."""
    law = Gaussian.of([3.0, 4.0], 1.0)
    time = 0.5 * math.log(25 / (2 * 1e-3))
    assert remainder(law, time, "gaussian") == pytest.approx(1e-3)
    rows = normal_rows(5000, 2)
    root = np.linalg.cholesky(np.cov(rows, rowvar=False))
    rows = (rows - rows.mean(0)) @ np.linalg.inv(root).T + [3, 4]
    plan = fitted(rows, shape="gaussian", count=5)
    assert plan.time == pytest.approx(time, rel=1e-3)
    for size in plan.sizes:
        law = jko_step(law, size)
    assert 0.5 * float(law.mean @ law.mean) == pytest.approx(1e-3, rel=1e-3)


def test_the_slowest_direction_sets_the_time() -> None:
    """Of standard deviations 5 and 1 the first: (s_t² − 1)²/4 = tolerance with s_t² − 1 = 24 e^{−2t}."""
    plan = fitted(normal_rows(4000, 2) * [5, 1], shape="gaussian", tolerance=1e-4)
    assert plan.time == pytest.approx(0.25 * math.log(24**2 / 4e-4), rel=0.03)


@pytest.mark.parametrize("time", [0.1, 0.5, 2.0])
def test_the_bound_for_any_law_holds_and_is_attained_by_a_point(time: float) -> None:
    """Two points ±1 of unit variance, whose Gaussian form is blind; and one point."""
    x = np.linspace(-9, 9, 20_001)
    spread = math.sqrt(-math.expm1(-2 * time))
    p = 0.5 * sum(stats.norm.pdf(x, sign * math.exp(-time), spread) for sign in (-1, 1))
    true = float(np.sum(p * (np.log(np.maximum(p, 1e-300)) - stats.norm.logpdf(x))) * (x[1] - x[0]))
    law = Gaussian.of(0.0, 1.0)
    assert remainder(law, time, "gaussian") == 0 < true < remainder(law, time)
    point = Gaussian.of(2.0, 0.0)
    exact = kl(Gaussian.of(2 * math.exp(-time), spread))
    assert remainder(point, time) == pytest.approx(exact)
    wide = Gaussian.of([1.0, 0.0], [2.0, 0.3])
    assert remainder(wide, time) > kl(ornstein_uhlenbeck(wide, time))


def test_the_spectrum_of_rows_does_not_depend_on_their_axes() -> None:
    rows = normal_rows(500, 3) * [3, 1, 0.2] + [1, 2, 3]
    turn = stats.ortho_group.rvs(3, random_state=0)
    one, other = gaussian_form(rows), gaussian_form(rows @ turn)
    np.testing.assert_allclose(one.std, other.std, rtol=1e-9)
    np.testing.assert_allclose(np.abs(one.mean), np.abs(other.mean), rtol=1e-9)


def test_a_law_that_is_there_already_gets_equal_tiny_steps() -> None:
    plan = fitted(normal_rows(500, 40), tolerance=1e3, count=3)
    assert plan.sizes == (pytest.approx(math.expm1(plan.time / 3)),) * 3
    assert min(plan.sizes) > 1e-6


@pytest.mark.parametrize(
    ("rows", "words", "said"),
    [
        (np.zeros((10, 2)), {}, "twin"),
        (np.ones((2, 2)), {}, "three or more"),
        (np.full((5, 2), np.nan), {}, "finite"),
        (normal_rows(10, 2), {"count": 0}, "count ≥ 1"),
        (normal_rows(10, 2), {"ratio": 1.0}, "ratio > 1"),
        (normal_rows(10, 2), {"tolerance": 0.0}, "tolerance > 0"),
        (normal_rows(10, 2), {"maximum": 0.0}, "maximum > 0"),
        (normal_rows(500, 1), {"ratio": 1 + 1e-9}, "more than 1000 steps"),
    ],
)
def test_what_cannot_be_planned_is_refused(rows: Array, words: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fitted(rows, **words)


def movements_of(law: Gaussian, sizes: tuple[float, ...]) -> tuple[list[float], Gaussian]:
    """W2 movement of every exact step of a Gaussian, and where the chain ends."""
    moved = []
    for size in sizes:
        after = jko_step(law, size)
        moved.append(math.hypot(*(after.mean - law.mean), *(after.std - law.std)))
        law = after
    return moved, law


@pytest.mark.parametrize(("mean", "std"), [(4.0, 1.0), ([3.0, 0.0], [0.2, 2.0]), (0.0, 0.05)])
def test_reparametrised_steps_move_equally_and_end_at_the_same_place(mean: float, std: float) -> None:
    law, sizes = Gaussian.of(mean, std), (0.3,) * 8
    moved, end = movements_of(law, sizes)
    new = reparametrised(sizes, moved)
    again, new_end = movements_of(law, new)
    assert time_of(new) == pytest.approx(time_of(sizes), rel=1e-12)
    np.testing.assert_allclose(new_end.mean, end.mean, rtol=1e-9, atol=1e-12)
    assert max(moved) / min(moved) > 3
    assert max(again) / min(again) < 0.5 * max(moved) / min(moved)
    for _ in range(4):
        new = reparametrised(new, again)
        again, _ = movements_of(law, new)
    assert max(again) / min(again) < 1.1


def test_equal_movements_change_nothing() -> None:
    sizes = (0.1, 0.7, 3.0)
    assert reparametrised(sizes, [2.0, 2.0, 2.0]) == pytest.approx(sizes, rel=1e-9)
    assert reparametrised([0.4], [9.0]) == (0.4,)


@pytest.mark.parametrize("movements", [[1.0], [1.0, 0.0], [1.0, math.nan], [1.0, -1.0]])
def test_movements_that_are_none_are_refused(movements: list[float]) -> None:
    with pytest.raises(ValueError, match="2 positive movements"):
        reparametrised([0.5, 0.5], movements)


@pytest.mark.parametrize("size", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("std", [0.1, 0.7, 3.0])
def test_two_refined_steps_end_where_the_old_one_did(size: float, std: float) -> None:
    """The mean exactly; the width nearer than by two steps of γ/2, wherever the law is not narrow for γ."""
    law = Gaussian.of(2.0, std)
    old = jko_step(law, size)
    half, other = refined([size])
    assert half == other
    end = jko_step(jko_step(law, half), half)
    plain = jko_step(jko_step(law, size / 2), size / 2)
    assert end.mean[0] == pytest.approx(old.mean[0], rel=1e-12)
    assert abs(plain.mean[0] - old.mean[0]) > 1e-3
    assert abs(end.std[0] - old.std[0]) < abs(plain.std[0] - old.std[0])


def test_refining_comes_closer_to_the_gradient_flow() -> None:
    """The Ornstein–Uhlenbeck law at the same time: each halving halves the distance, first order."""
    law, sizes = Gaussian.of(0.0, 0.5), (0.5, 1.0)
    exact = ornstein_uhlenbeck(law, time_of(sizes)).std[0]
    errors = []
    for _ in range(5):
        _, end = movements_of(law, sizes)
        errors.append(abs(end.std[0] - exact))
        sizes = refined(sizes)
    ratios = np.array(errors[1:]) / errors[:-1]
    assert ratios[-1] == pytest.approx(0.5, abs=0.03)


def test_every_new_step_has_the_old_one_that_holds_it() -> None:
    assert holders((0.5, 2.0), refined((0.5, 2.0))) == [0, 0, 1, 1]
    assert holders((0.1, 0.1, 5.0), (5.0, 0.1, 0.1)) == [2, 2, 2]
    assert holders((1.0, 1.0), (1.0, 1.0)) == [0, 1]
