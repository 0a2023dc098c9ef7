"""The paired difference: its algebra, and its error against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jko.statistics.paired import LEVEL, Paired, paired_difference

ROWS = st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 2), min_size=2, max_size=40)


@given(ROWS)
def test_swapping_the_models_swaps_the_verdict(rows: list[tuple[float, float]]) -> None:
    a, b = np.array(rows).T
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert one.difference == -other.difference
    assert one.se == other.se
    swapped = {
        "better": "worse", "worse": "better", "not distinguishable": "not distinguishable",
        "unreliable": "unreliable",
    }  # fmt: skip
    assert other.verdict == swapped[one.verdict]


@given(ROWS, st.floats(-1e3, 1e3))
def test_what_rows_contribute_to_both_cancels(rows: list[tuple[float, float]], shift: float) -> None:
    a, b = np.array(rows).T
    easy = shift * np.cos(np.arange(len(a)))
    one, other = paired_difference(a, b), paired_difference(a + easy, b + easy)
    assert math.isclose(one.difference, other.difference, abs_tol=1e-9)
    assert math.isclose(one.se, other.se, abs_tol=1e-9)


@given(ROWS)
def test_it_is_the_difference_of_the_two_nlls(rows: list[tuple[float, float]]) -> None:
    a, b = np.array(rows).T
    assert math.isclose(paired_difference(a, b).difference, -b.mean() + a.mean(), abs_tol=1e-9)


@settings(deadline=None)
@given(st.permutations(range(30)))
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 30))
    one, other = paired_difference(a, b), paired_difference(a[order], b[order])
    assert math.isclose(one.difference, other.difference, abs_tol=1e-12)
    assert math.isclose(one.se, other.se, abs_tol=1e-12)


def test_the_error_is_that_of_repeated_experiments() -> None:
    """Two Gaussian models on fresh rows of N(0, 1): the stated error is the spread of the estimate."""
    rng, rows, repeats = np.random.default_rng(1), 200, 4000
    x = rng.standard_normal((repeats, rows))
    a, b = -(x**2) / 2, -((x - 0.3) ** 2) / 2  # KL of the second is .045 nats
    found = [paired_difference(one, other) for one, other in zip(a, b, strict=True)]
    differences = np.array([pair.difference for pair in found])
    spread = differences.std(ddof=1)
    assert np.mean([pair.se for pair in found]) == pytest.approx(spread, rel=0.05)
    assert differences.mean() == pytest.approx(0.045, abs=4 * spread / math.sqrt(repeats))


@pytest.mark.parametrize(
    "scale", [pytest.param(1e-3, marks=pytest.mark.slow), 1.0, pytest.param(1e3, marks=pytest.mark.slow)]
)
def test_equal_models_are_told_apart_in_five_of_a_hundred_experiments(scale: float) -> None:
    """Two unbiased models of equal NLL: a false verdict as often as two standard errors promise."""
    rng, repeats = np.random.default_rng(2), 4000
    noise = scale * rng.standard_normal((repeats, 100))
    verdicts = [paired_difference(row, np.zeros(100)).verdict for row in noise]
    wrong = np.mean([verdict != "not distinguishable" for verdict in verdicts])
    # Student's t with 99 degrees of freedom leaves 4.8 % outside two standard errors
    assert wrong == pytest.approx(0.048, abs=4 * math.sqrt(0.048 * 0.952 / repeats))
    sides = [verdicts.count("better"), verdicts.count("worse")]
    assert min(sides) > 0.3 * max(sides)


def test_pairing_sees_what_the_two_errors_hide() -> None:
    """A gain of .05 nats under a spread of 1 nat between rows: ± .3 unpaired, ± .003 paired."""
    rng = np.random.default_rng(3)
    rows = 3 * rng.standard_normal(100)
    better = rows + 0.05 + 0.03 * rng.standard_normal(100)
    pair = paired_difference(rows, better)
    assert pair.verdict == "better"
    assert pair.se < rows.std() / 10 / 50


def test_the_verdict_needs_more_than_two_standard_errors() -> None:
    assert Paired(LEVEL * 0.1, 0.1, 10).verdict == "not distinguishable"
    assert Paired(-LEVEL * 0.1, 0.1, 10).verdict == "not distinguishable"
    assert Paired(LEVEL * 0.1 + 1e-9, 0.1, 10).verdict == "worse"
    assert Paired(-LEVEL * 0.1 - 1e-9, 0.1, 10).verdict == "better"


def test_a_model_is_not_distinguishable_from_itself() -> None:
    values = np.random.default_rng(0).standard_normal(50)
    found = paired_difference(values, values)
    assert (found.difference, found.se, found.rows, found.worse_share) == (0.0, 0.0, 50, 0.5)
    assert paired_difference(values, values).verdict == "not distinguishable"


def test_one_row_tells_nothing() -> None:
    assert paired_difference(np.zeros(1), np.ones(1)).verdict == "not distinguishable"


@pytest.mark.parametrize(
    ("baseline", "candidate", "said"),
    [
        (np.zeros(3), np.zeros(4), "the same rows"),
        (np.zeros(0), np.zeros(0), "at least one"),
        (np.zeros(3), np.array([0, -np.inf, 0]), "1 rows have no finite difference"),
        (np.full(2, np.nan), np.zeros(2), "2 rows"),
    ],
)
def test_what_cannot_be_paired_is_refused(baseline: np.ndarray, candidate: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        paired_difference(baseline, candidate)


def test_one_row_cannot_hide_a_difference_in_its_own_error() -> None:
    """Worse at every row by .05 nats, and at one by 13 000: two standard errors of the mean say nothing."""
    rng = np.random.default_rng(5)
    rows = rng.standard_normal(2600)
    worse = rows - 0.05 - 0.02 * rng.standard_normal(2600)
    worse[1432] -= 13_000
    pair = paired_difference(rows, worse)
    assert abs(pair.difference) < LEVEL * pair.se
    assert pair.verdict == "unreliable"
    assert pair.robust is not None
    assert pair.robust.dominating == (1432,)
    assert pair.robust.trimmed == pytest.approx(0.05, abs=0.002)
    assert pair.worse_share is not None
    assert pair.worse_share > 0.98
    assert paired_difference(worse, rows).verdict == "unreliable"


def test_a_side_that_the_mean_alone_takes_is_none() -> None:
    """Twelve rows of a thousand are a nat worse: the trimmed mean has two of them."""
    rng = np.random.default_rng(6)
    values = 0.1 * rng.standard_normal(1000)
    values -= values.mean()
    values[np.argsort(values)[-12:]] += 1.0
    pair = paired_difference(values, np.zeros(1000))
    assert pair.robust is not None
    assert pair.difference > LEVEL * pair.se
    assert abs(pair.robust.trimmed) <= LEVEL * pair.robust.trimmed_se
    assert not pair.robust.dominating
    assert pair.verdict == "not distinguishable"
