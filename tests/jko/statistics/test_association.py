"""What columns say about each other: known laws, other programs' figures, and errors that are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import mutual_info_score

from jko.statistics.association import (
    joint_counts,
    mutual_information,
    rank_correlation,
    total_variation,
)

#: a law of two columns of 2 and 3 levels
LAW = np.array([[0.30, 0.15, 0.05], [0.05, 0.15, 0.30]])
KNOWN = float((LAW * np.log(LAW / np.outer(LAW.sum(1), LAW.sum(0)))).sum())


def drawn(rng: np.random.Generator, rows: int, law: np.ndarray = LAW) -> list[np.ndarray]:
    flat = rng.choice(law.size, rows, p=law.ravel())
    return list(np.divmod(flat, law.shape[1]))


@pytest.mark.parametrize("law", [LAW, np.outer(LAW.sum(1), LAW.sum(0))], ids=["dependent", "independent"])
def test_information_is_that_of_the_law_and_its_error_is_its_spread(law: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    known = KNOWN if law is LAW else 0.0
    found = [mutual_information(drawn(rng, 300, law), (2, 3)) for _ in range(500)]
    values = np.array([one.values[0, 1] for one in found])
    errors = np.array([one.errors[0, 1] for one in found])
    assert abs(values.mean() - known) < 4 * values.std() / math.sqrt(500)
    # where columns are independent the error also holds the noise of its own first term
    assert 0.85 < errors.mean() / values.std() < (1.15 if law is LAW else 2.2)
    assert (np.abs(values - known) > 2 * errors).mean() < 0.08


def test_information_is_another_program_s_less_the_bias() -> None:
    rng = np.random.default_rng(1)
    first, second = drawn(rng, 500)
    value = mutual_information([first, second], (2, 3)).values[0, 1]
    occupied, rows = len(np.unique(first * 3 + second)), 500
    plain = mutual_info_score(first, second)
    assert value == pytest.approx(plain - (occupied - 2 - 3 + 1) / (2 * rows))


def test_rows_without_a_cell_do_not_count() -> None:
    rng = np.random.default_rng(2)
    first, second = drawn(rng, 400)
    holed = first.copy(), second.copy()
    holed[0][:50], holed[1][350:] = -1, -1
    counts = joint_counts(*holed, (2, 3))
    assert counts.sum() == 300
    assert (counts == joint_counts(first[50:350], second[50:350], (2, 3))).all()
    whole = mutual_information([first[50:350], second[50:350]], (2, 3))
    np.testing.assert_array_equal(mutual_information(holed, (2, 3)).values, whole.values)


def test_levels_that_do_not_occur_change_nothing() -> None:
    first, second = drawn(np.random.default_rng(3), 200)
    few, many = (mutual_information([first, second], sizes) for sizes in ((2, 3), (9, 7)))
    np.testing.assert_array_equal(few.values, many.values)
    np.testing.assert_array_equal(few.errors, many.errors)
    constant = mutual_information([first, np.zeros(200, int)], (2, 1))
    assert (constant.values[0, 1], constant.errors[0, 1]) == (0, 0)
    assert np.isnan(mutual_information([first, np.full(200, -1)], (2, 1)).values[0, 1])


def test_rank_correlations_are_another_program_s() -> None:
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 3))
    rows[:, 2] = np.round(rows[:, 2])
    found = rank_correlation(list(rows.T)).values
    np.testing.assert_allclose(found[0, 1], spearmanr(rows[:, 0], rows[:, 1]).statistic)
    np.testing.assert_allclose(found[2, 1], spearmanr(rows[:, 2], rows[:, 1]).statistic)
    holed = rows.copy()
    holed[:40, 0], holed[30:60, 1] = np.nan, np.nan
    both = spearmanr(rows[60:, 0], rows[60:, 1]).statistic
    np.testing.assert_allclose(rank_correlation(list(holed.T)).values[0, 1], both)
    assert np.isnan(rank_correlation([rows[:, 0], np.ones(300)]).values[0, 1])


@pytest.mark.parametrize("slope", [0.0, 0.6, 1.5])
def test_the_error_of_a_rank_correlation_is_its_spread(slope: float) -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(400):
        x = rng.normal(size=200)
        found.append(rank_correlation([x, slope * x + rng.normal(size=200)]))
    spread = np.std([one.values[0, 1] for one in found])
    assert np.mean([one.errors[0, 1] for one in found]) == pytest.approx(spread, rel=0.15)


def test_the_error_of_a_difference_is_of_both() -> None:
    rng = np.random.default_rng(6)
    data, samples = (rank_correlation(list(rng.normal(size=(rows, 2)).T)) for rows in (100, 400))
    difference = data.minus(samples)
    assert difference.values[0, 1] == data.values[0, 1] - samples.values[0, 1]
    assert difference.errors[0, 1] == math.hypot(data.errors[0, 1], samples.errors[0, 1])


def test_total_variation_by_hand_and_by_chance() -> None:
    apart = total_variation(np.array([6, 3, 1]), np.array([10, 10, 0]))
    assert apart.distance == pytest.approx(0.5 * (0.1 + 0.2 + 0.1))
    rng, law = np.random.default_rng(7), np.array([0.5, 0.3, 0.15, 0.05])
    found = [total_variation(rng.multinomial(400, law), rng.multinomial(900, law)) for _ in range(500)]
    chance = np.mean([one.chance for one in found])
    assert np.mean([one.distance for one in found]) == pytest.approx(chance, rel=0.05)
    assert abs(np.mean([one.excess for one in found])) < 0.05 * chance
    assert math.isnan(total_variation(np.array([0, 0]), np.array([1, 2])).distance)
