"""Rows given conditions, beside laws whose conditional laws are known.

Bounds of means are 4.5 standard errors of as many independent rows as the answer says it is worth.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest, norm, truncnorm

from jko.columns.circular import Circular
from jko.columns.conditions import Condition
from jko.columns.discrete import Gridded
from jko.columns.levels import Boolean, Categorical
from jko.columns.real import Continuous
from jko.conditional import sampling
from jko.conditional.asked import Asked, Bounds
from jko.conditional.found import Worth
from jko.conditional.law import Law
from jko.conditional.sampling import draw_given
from jko.core.errors import InputError
from tests.jko.conditional.laws import Mixture, asked, correlated

REAL = [Continuous(name=f"x{j}") for j in range(6)]


def drawn(law: Law, what: Asked, rows: int, **bounds: int) -> tuple[np.ndarray, Worth]:
    return draw_given(law, what, rows, seed=1, bounds=Bounds(**bounds))


def near(values: np.ndarray, mean: float, deviation: float, worth: Worth) -> None:
    assert abs(values.mean() - mean) < 4.5 * deviation / math.sqrt(worth.effective)


@pytest.mark.parametrize("rows", [300, 6000])
def test_a_gaussian_given_two_columns(rows: int) -> None:
    law = correlated(5)
    held = {0: law.mean[0] + 1.5 * law.covariance[0, 0] ** 0.5, 3: law.mean[3] - law.covariance[3, 3] ** 0.5}
    what = asked(REAL[:5], *(Condition(f"x{j}", "=", (value,)) for j, value in held.items()))
    y, worth = drawn(law.law, what, rows)
    assert worth.method == "importance"
    assert 0.7 * rows < worth.effective <= rows
    assert (y[:, [0, 3]] == list(held.values())).all()
    assert len(np.unique(y, axis=0)) > 0.98 * rows
    mean, covariance = law.given(held)
    for j, column in enumerate((1, 2, 4)):
        near(y[:, column], mean[j], covariance[j, j] ** 0.5, worth)
    error = np.sqrt((covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))) / worth.effective)
    assert (np.abs(np.cov(y[:, [1, 2, 4]].T) - covariance) < 4.5 * error).all()


def test_a_mixture_given_one_column_keeps_both_parts() -> None:
    law = Mixture()
    y, worth = drawn(law.law, asked(REAL[:2], Condition("x0", "=", (-0.7,))), 2000)
    weights, means, deviations = law.given(-0.7)
    assert 0.2 < weights[0] < 0.8  # both are there
    found = kstest(
        y[:, 1],
        lambda t: sum(w * norm.cdf(t, m, s) for w, m, s in zip(weights, means, deviations, strict=True)),
    )
    assert found.statistic < 1.95 / math.sqrt(worth.effective)  # one in a thousand


def test_markov_chains_alone_find_the_same_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """From weights that are taken for bad ones."""
    monkeypatch.setattr(sampling, "GOOD", math.inf)
    law = Mixture()
    y, worth = drawn(law.law, asked(REAL[:2], Condition("x0", "=", (-0.7,))), 2000, steps=400)
    assert worth.method == "markov chains"
    assert worth.r_hat is not None
    assert worth.r_hat < 1.1
    weights, means, deviations = law.given(-0.7)
    share = float((y[:, 1] > 0).mean())
    expected = float((weights * norm.sf(0, means, deviations)).sum())
    assert abs(share - expected) < 4.5 * math.sqrt(expected * (1 - expected) / worth.effective)


def test_a_half_line_of_some_mass_is_fulfilled_by_rejection() -> None:
    law = correlated(3)
    edge = law.mean[1] + law.covariance[1, 1] ** 0.5
    y, worth = drawn(law.law, asked(REAL[:3], Condition("x1", ">", (edge,))), 500)
    assert (worth.method, worth.effective) == ("rejection", 500)
    assert worth.share is not None
    assert worth.share_se is not None
    assert abs(worth.share - norm.sf(1)) < 4.5 * worth.share_se
    assert (y[:, 1] > edge).all()
    scores = (y[:, 1] - law.mean[1]) / law.covariance[1, 1] ** 0.5
    assert kstest(scores, truncnorm(1, np.inf).cdf).pvalue > 1e-3


@pytest.mark.parametrize("sides", [1, 2])
def test_of_a_small_mass_few_samples_become_many(sides: int) -> None:
    """Beyond 3 deviations .135 %; the other columns follow by regression."""
    law = correlated(3)
    deviation = law.covariance[1, 1] ** 0.5
    edge = law.mean[1] + 3 * deviation
    conditions = [Condition("x1", ">=", (edge,))]
    if sides == 2:
        conditions.append(Condition("x1", "<=", (edge + 0.2 * deviation,)))
    y, worth = drawn(law.law, asked(REAL[:3], *conditions), 400, tries=20_000)
    assert worth.method == "importance"
    assert worth.tries < 40_000
    scores = (y[:, 1] - law.mean[1]) / deviation
    cut = truncnorm(3, 3.2 if sides == 2 else np.inf)
    near(scores, cut.mean(), cut.std(), worth)
    assert kstest(scores, cut.cdf).statistic < 1.95 / math.sqrt(worth.effective)
    slope = law.covariance[0, 1] / law.covariance[1, 1]
    mean = law.mean[0] + slope * deviation * cut.mean()
    near(y[:, 0], mean, law.covariance[0, 0] ** 0.5, worth)


def test_chains_from_the_few_samples_keep_their_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """A region that no interval is: chains begin at the samples in it."""
    monkeypatch.setattr(sampling, "GOOD", math.inf)
    law = correlated(2)
    low, high = (law.mean[1] + s * 2.2 * law.covariance[1, 1] ** 0.5 for s in (-1, 1))
    what = asked(REAL[:2], Condition("x1", "!=", (0,)))
    what = Asked("x1 far out", lambda y: (y[:, 1] < low) | (y[:, 1] > high), what.held, False)
    y, worth = drawn(law.law, what, 700, tries=12_000)
    assert worth.method == "markov chains"
    assert what.inside(y).all()
    assert abs((y[:, 1] > high).mean() - 0.5) < 4.5 * 0.5 / math.sqrt(worth.effective)
    scores = np.abs(y[:, 1] - law.mean[1]) / law.covariance[1, 1] ** 0.5
    near(scores, truncnorm(2.2, np.inf).mean(), truncnorm(2.2, np.inf).std(), worth)


def test_a_real_number_beside_a_cell_a_range_and_a_half_line() -> None:
    """Given x0, x1 on a grid of .5, x2 in a range, x3 above an edge: the moments by brute force."""
    law = correlated(4, seed=3)
    held = law.mean[0] + law.covariance[0, 0] ** 0.5
    middle, own = law.given({0: held})
    cell = round(2 * middle[0]) / 2
    ends = middle[1] - 0.5 * own[1, 1] ** 0.5, middle[1] + own[1, 1] ** 0.5
    edge = middle[2] + 0.7 * own[2, 2] ** 0.5
    columns = [REAL[0], Gridded(name="x1", step=0.5), REAL[2], REAL[3]]
    what = asked(
        columns, Condition("x0", "=", (held,)), Condition("x1", "=", (cell,)),
        Condition("x2", ">", (ends[0],)), Condition("x2", "<", (ends[1],)), Condition("x3", ">", (edge,)),
    )  # fmt: skip
    y, worth = drawn(law.law, what, 1000)
    exact = np.random.default_rng(0).multivariate_normal(middle, own, size=1_000_000)
    exact = exact[
        (np.abs(exact[:, 0] - cell) < 0.25) & (exact[:, 1] > ends[0]) & (exact[:, 1] < ends[1])
        & (exact[:, 2] > edge)
    ]  # fmt: skip
    assert len(exact) > 2000
    assert (np.abs(y[:, 1] - cell) <= 0.25).all()
    for j in range(3):
        error = exact[:, j].std() * math.sqrt(1 / worth.effective + 1 / len(exact))
        assert abs(y[:, j + 1].mean() - exact[:, j].mean()) < 4.5 * error
        assert y[:, j + 1].std() == pytest.approx(exact[:, j].std(), rel=0.15)


def test_a_level_and_a_direction_are_held_by_their_noise() -> None:
    """Given cos and a level of a law with three parts: of (cos, sin) the ray, of the level its half-line."""
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(4, 4)) * 0.6 + np.eye(4)
    from tests.jko.conditional.laws import Gaussian

    law = Gaussian([0.4, -0.3, 0.2, 0.0], factor @ factor.T)
    columns = [Circular(name="wind", period=360), Boolean(name="rain"), REAL[3]]
    what = asked(columns, Condition("wind", "=", (30.0,)), Condition("rain", "=", ("yes",)))
    assert what.thin
    y, worth = drawn(law.law, what, 1500)
    angle = np.degrees(np.arctan2(y[:, 1], y[:, 0]))
    np.testing.assert_allclose(angle, 30, atol=1e-9)
    assert (columns[1].decode(y[:, [2]])).all()
    # the distance r from the origin has density q(r cos, r sin, rain) r, by quadrature over the half-line
    ray = np.array([math.cos(math.pi / 6), math.sin(math.pi / 6)])
    inverse = np.linalg.inv(law.covariance[:3, :3])

    def moment(power: int) -> float:
        def inner(r: float) -> float:
            def joint(z: float) -> float:
                away = np.array([*(r * ray), z]) - law.mean[:3]
                return math.exp(-0.5 * away @ inverse @ away)

            return r ** (1 + power) * quad(joint, *((0, 12) if inside_above else (-12, 0)))[0]

        return quad(inner, 0, 12)[0]

    inside_above = bool(y[0, 2] > 0)
    mass = moment(0)
    mean, second = moment(1) / mass, moment(2) / mass
    near(np.hypot(y[:, 0], y[:, 1]), mean, math.sqrt(second - mean**2), worth)


def test_a_level_by_a_region_of_the_simplex() -> None:
    law = correlated(3)
    column = Categorical(name="x", levels=("a", "b", "c"), spread="simplex")
    y, worth = drawn(law.law, asked([column, REAL[2]], Condition("x", "in", ("a", "c"))), 200)
    assert worth.method == "rejection"
    assert set(column.decode(y[:, :2])) <= {"a", "c"}


def test_all_columns_held_leave_nothing_to_draw() -> None:
    y, worth = drawn(correlated(1).law, asked(REAL[:1], Condition("x0", "=", (2.5,))), 7)
    assert worth.method == "held"
    assert (y == 2.5).all()


def test_no_mass_ends_with_a_sentence_and_within_the_tries() -> None:
    law, counted = correlated(2), []

    def draw(rows: int, seed: int) -> np.ndarray:
        counted.append(rows)
        return law.law.draw(rows, seed)

    what = asked(REAL[:2], Condition("x1", ">", (1e9,)))
    with pytest.raises(InputError, match=r"no sample of 5000 has x1 > 1000000000\.0: .* less than 0\.0006"):
        draw_given(Law(2, draw, law.law.density), what, 10, seed=0, bounds=Bounds(tries=5000))
    assert sum(counted) == 5000


def test_a_number_beyond_all_samples_is_told() -> None:
    law = correlated(3)
    far = law.mean[0] + 30 * law.covariance[0, 0] ** 0.5
    _, worth = drawn(law.law, asked(REAL[:3], Condition("x0", "=", (far,))), 50)
    assert any(note.startswith("x0: beyond all of") for note in worth.notes)


def test_the_same_seed_gives_the_same_rows() -> None:
    law, what = correlated(3), asked(REAL[:3], Condition("x0", "=", (1.0,)))
    one, two, other = (draw_given(law.law, what, 20, seed=s, bounds=Bounds())[0] for s in (5, 5, 6))
    assert (one == two).all()
    assert (one != other).any()


@pytest.mark.parametrize(("name", "value"), [("tries", 0), ("steps", 0), ("tries", True), ("steps", 2.5)])
def test_bounds_are_numbers_from_1_on(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{name} = .* is not allowed"):
        Bounds(**{name: value})  # type: ignore[arg-type]
