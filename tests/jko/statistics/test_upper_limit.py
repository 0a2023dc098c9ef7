"""Upper limits of means that few rows carry: they cover, where mean + 2 SE does not."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from jko.statistics.tails import TOP, tail_of
from jko.statistics.upper_limit import FACTOR, POWER, margin_of, upper_limit

Array = NDArray[np.float64]
Law = Callable[[np.random.Generator, int], Array]
#: what two standard errors promise
LEVEL = float(norm.cdf(2))


def lognormal(sigma: float) -> Law:
    """With mean 1."""
    return lambda rng, n: np.exp(sigma * rng.standard_normal(n) - sigma**2 / 2)


def cracks(share: float, sigma: float) -> Law:
    """With mean 1: 2 % of the rows carry a share of it, and vary by themselves; the others are light."""

    def draw(rng: np.random.Generator, n: int) -> Array:
        light = rng.chisquare(2, n) / 2 * (1 - share) / 0.98
        return np.where(rng.random(n) < 0.02, lognormal(sigma)(rng, n) * share / 0.02, light)

    return draw


def limits(law: Law, n: int, repetitions: int, margin: float = 2.0) -> tuple[Array, Array, float]:
    """Mean + margin · SE and the limit in every repetition, and the share of the largest 2 % of rows."""
    rng, plain, found, shares = np.random.default_rng(11), [], [], []
    for _ in range(repetitions):
        rows = law(rng, n)
        value, se = float(rows.mean()), float(rows.std(ddof=1)) / math.sqrt(n)
        plain.append(value + margin * se)
        found.append(upper_limit(value, se, tail_of(torch.from_numpy(rows)), margin))
        shares.append(np.sort(rows)[-int(TOP * n) :].sum() / rows.sum())
    return np.array(plain), np.array(found), float(np.median(shares))


@pytest.mark.parametrize(
    ("law", "rows"),
    [(lognormal(2.5), 1000), (lognormal(2.76), 1000), (lognormal(2.5), 5000), (cracks(0.68, 1.0), 1000),
     (cracks(0.76, 1.0), 1000), (cracks(0.7, 1.5), 1000), (cracks(0.69, 2.0), 5000)],
)  # fmt: skip
def test_the_mean_of_rows_of_which_few_carry_most_is_covered(law: Law, rows: int) -> None:
    """2 % of the rows carry 62 to 76 % of the mean; two standard errors cover it in .6 to .9 of the cases."""
    plain, found, share = limits(law, rows, 500)
    assert 0.6 < share < 0.77
    assert (plain >= 1).mean() < 0.92
    assert (found >= 1).mean() >= LEVEL - 2 * math.sqrt(LEVEL * (1 - LEVEL) / 500)
    assert np.median(found) < 4  # and it says something


def test_where_two_standard_errors_are_not_enough_by_far() -> None:
    plain, found, _ = limits(lognormal(2.76), 1000, 500)
    assert (plain >= 1).mean() < 0.75
    assert (found >= 1).mean() > 0.97


@pytest.mark.parametrize("degrees", [1, 2, 10])
def test_light_tails_cost_nothing(degrees: int) -> None:
    plain, found, share = limits(lambda rng, n: rng.chisquare(degrees, n) / degrees, 1000, 500)
    assert share < 0.16
    np.testing.assert_allclose(found, plain, rtol=1e-3)
    assert (found >= 1).mean() > 0.95


def test_the_inequality_holds_with_the_ratio_of_the_law_at_every_level() -> None:
    """With the law's own E X^p in place of the rows' it is no approximation."""
    rng, n, sigma = np.random.default_rng(2), 200, 2.0
    rows = np.exp(sigma * rng.standard_normal((4000, n)) - sigma**2 / 2)
    ratio = math.exp(sigma**2 * (POWER - 1) / 2)  # of ‖X‖_p and E X
    constant = POWER * FACTOR ** (1 / POWER) * (POWER - 1) ** (1 / POWER - 1)
    for margin in (1.0, 2.0, 3.0):
        tail = constant * ratio / n ** (1 - 1 / POWER)
        held = [upper_limit(float(mean), 0.0, tail, margin) >= 1 for mean in rows.mean(1)]
        assert np.mean(held) >= norm.cdf(margin)


def test_the_constant_is_the_supremum() -> None:
    def minus(y: float) -> float:
        return -(math.exp(-y) - 1 + y) / y**POWER

    found = minimize_scalar(minus, bounds=(0.1, 50), method="bounded")
    assert pytest.approx(-found.fun, abs=1e-5) == FACTOR
    assert -found.fun <= FACTOR


def test_a_single_row_that_is_all_of_a_mean_leaves_no_limit() -> None:
    rows = torch.zeros(1000)
    rows[3] = 7.0
    assert tail_of(rows) == pytest.approx(1, abs=1e-3)
    assert upper_limit(0.007, 0.007, tail_of(rows), 2.0) == math.inf


def test_a_tail_has_no_unit_and_nothing_has_none() -> None:
    rows = torch.from_numpy(lognormal(2.5)(np.random.default_rng(0), 1000))
    assert tail_of(1e-200 * rows) == pytest.approx(tail_of(rows))
    assert 0 < tail_of(rows) < 1
    assert tail_of(torch.zeros(9)) == tail_of(torch.zeros(0)) == 0
    assert tail_of(torch.full((9,), math.nan)) == 0
    assert tail_of(torch.ones(5)) == 0, "few rows are not heavy rows"


def test_the_margin_of_several_limits_keeps_all_of_them() -> None:
    assert margin_of(1) == 2.0
    for count in (2, 7, 40):
        assert norm.sf(margin_of(count)) * count == pytest.approx(norm.sf(2), rel=1e-9)
