"""Means that one row cannot decide: formulas against SciPy and simulation, and the rows that are named."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mstats, trim_mean

from jko.statistics.heavy import warning
from jko.statistics.robust import NOISE, heavy_rows, named, robust, trimmed_rows

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60)


def normal(n: int = 200, seed: int = 0) -> np.ndarray:
    return 9 + np.random.default_rng(seed).standard_normal(n)


@pytest.mark.parametrize("n", [5, 40, 200, 2600])
def test_the_trimmed_mean_is_that_of_scipy(n: int) -> None:
    values, left_out = normal(n), trimmed_rows(n)
    found = robust(values)
    assert left_out == max(1, n // 100)
    assert found.trimmed == pytest.approx(trim_mean(values, left_out / n + 1e-12), rel=1e-12)
    share = (left_out + 0.5) / n  # SciPy rounds down
    pulled = mstats.winsorize(values, (share, share)).std(ddof=1)
    kept = n - 2 * left_out
    assert found.trimmed_se == pytest.approx(
        float(pulled) * math.sqrt((n - 1) / kept / (kept - 1)), rel=1e-12
    )


@pytest.mark.parametrize("n", [50, 400])
@pytest.mark.parametrize("law", ["standard_normal", "standard_exponential", "standard_cauchy"])
def test_the_errors_are_the_spreads_of_repeated_experiments(n: int, law: str) -> None:
    """Also of a law whose mean has no standard error: then median and its error are all there is."""
    rng = np.random.default_rng(3)
    draw: Callable[..., np.ndarray] = getattr(rng, law)
    found = [robust(draw(n)) for _ in range(1500)]
    medians = np.array([one.median for one in found])
    assert np.median([one.median_se for one in found]) == pytest.approx(medians.std(), rel=0.15)
    if law != "standard_cauchy":
        trimmed = np.array([one.trimmed for one in found])
        assert np.mean([one.trimmed_se for one in found]) == pytest.approx(trimmed.std(), rel=0.08)


def test_one_row_far_out_moves_the_mean_alone() -> None:
    values = normal()
    before = robust(values)
    values[17] = 109_638.0
    after = robust(values)
    assert after.mean > 500
    assert after.median == pytest.approx(before.median, abs=0.05)
    assert after.trimmed == pytest.approx(before.trimmed, abs=0.05)
    assert after.trimmed_se < 1.1 * before.trimmed_se
    assert after.median_se < 1.1 * before.median_se
    assert (after.worst, after.worst_value) == (17, 109_638.0)
    assert after.worst_share > 0.99
    assert after.worst_adds == pytest.approx(after.mean - before.mean, abs=0.1)
    assert after.worst_part == pytest.approx(1, abs=0.05)
    assert after.heavy == after.dominating == (17,)
    assert before.heavy == before.dominating == ()


def test_every_row_that_weighs_too_much_is_named_also_beside_a_far_heavier_one() -> None:
    """Against the mean the second row would be a trifle."""
    values = normal()
    values[[3, 40]] = 11_697.0, 109_638.0
    found = robust(values)
    assert found.heavy == (40, 3)
    numbers = np.arange(1000, 1200)
    told = heavy_rows(values, found, numbers)
    assert [row.row for row in told] == [1040, 1003]
    said = warning(told, found.mean)
    assert said.startswith("warning: rows 1040 and 1003 of the source (counted from 0) add 607 nats")
    assert "\n" not in said
    assert named(found, numbers)["nll_worst_row"] == 1040
    assert warning([], found.mean) == ""


def test_a_row_of_a_tenth_of_the_mean_is_the_border() -> None:
    values = np.ones(100)
    for height, expected in ((10.0, ()), (12.0, (5,))):
        values[5] = height
        assert robust(values).heavy == expected


def test_several_rows_far_out_share_the_error_and_dominate_it_together() -> None:
    """None of three equal ones is half of the squared error, and the mean is 1.7 of its errors from 0."""
    values = normal(300) - 9
    values[[10, 20, 30]] = 5_000.0
    found = robust(values)
    assert found.worst_share < 0.5
    assert abs(found.mean) < 2 * found.se
    assert sorted(found.dominating) == [10, 20, 30]


@pytest.mark.parametrize("law", ["standard_normal", "laplace", "logistic"])
@pytest.mark.parametrize("n", [100, 1000])
def test_rows_of_ordinary_laws_dominate_nothing_and_weigh_little(law: str, n: int) -> None:
    rng = np.random.default_rng(4)
    found = [robust(getattr(rng, law)(size=n)) for _ in range(200)]
    assert not any(one.dominating or one.heavy for one in found)


def test_rounding_of_one_row_dominates_nothing() -> None:
    """The same chain evaluated again differs by the last bits, in whatever rows."""
    values = np.zeros(100)
    values[7] = NOISE / 2
    assert robust(values).dominating == robust(values).heavy == ()


@given(VALUES)
def test_the_other_sign_gives_the_other_sign(values: list[float]) -> None:
    one, other = robust(np.array(values)), robust(-np.array(values))
    assert one.trimmed == -other.trimmed
    assert one.trimmed_se == other.trimmed_se
    assert one.median_se == other.median_se
    assert set(one.dominating) == set(other.dominating)


@given(VALUES)
def test_shares_are_shares(values: list[float]) -> None:
    found = robust(np.array(values))
    assert 0 <= found.worst_share <= 1 + 1e-9
    assert math.isfinite(found.trimmed)
    assert min(values) - 1e-6 <= found.trimmed <= max(values) + 1e-6


def test_equal_rows_have_no_error_and_no_worst_share() -> None:
    found = robust(np.full(50, 2.0))
    assert (found.se, found.trimmed_se, found.median_se, found.worst_share, found.worst_part) == (
        0,
        0,
        0,
        0,
        0,
    )
    assert robust(np.array([1.0])).trimmed_se == math.inf


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf, 1.0]])
def test_what_has_no_mean_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite values of at least one row"):
        robust(np.array(values))
