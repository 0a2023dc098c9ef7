"""Two samples, column by column: the level of the whole family, and that ranks alone decide."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from jko.statistics.shift import LEVEL, shifts, worse_share


def family(rng: np.random.Generator, columns: int, rows: tuple[int, int], by: float = 0.0) -> list:
    return [
        (str(i), rng.standard_normal(rows[0]), rng.standard_normal(rows[1]) + by * (i == 0))
        for i in range(columns)
    ]


@pytest.mark.parametrize("columns", [1, 20])
@pytest.mark.parametrize("rows", [(400, 100), pytest.param((60, 2), marks=pytest.mark.slow)])
def test_some_column_moves_as_seldom_as_the_level_says(columns: int, rows: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    repetitions = 300 if columns == 1 else 100
    alarms = sum(shifts(family(rng, columns, rows))[0].p <= LEVEL for _ in range(repetitions))
    assert alarms <= LEVEL * repetitions + 3 * np.sqrt(LEVEL * repetitions)


def test_the_column_that_moved_is_the_first_and_the_others_are_left() -> None:
    found = shifts(family(np.random.default_rng(1), 12, (1500, 500), by=0.5))
    assert found[0].name == "0"
    assert found[0].by == pytest.approx(0.5, abs=0.15)
    assert [one.p <= LEVEL for one in found] == [True] + [False] * 11
    assert all(a.p <= b.p for a, b in itertools.pairwise(found))


def test_a_wider_column_is_found_without_a_shift() -> None:
    rng = np.random.default_rng(2)
    (found,) = shifts([("x", rng.standard_normal(1000), 2 * rng.standard_normal(1000))])
    assert found.p < 1e-6


def test_how_far_out_a_value_is_does_not_matter() -> None:
    """Nor does a monotone map of the column."""
    rng = np.random.default_rng(3)
    old, new = rng.standard_normal(300), rng.standard_normal(200)
    far = new.copy()
    far[np.argmax(new)] = np.inf
    p = [shifts([("x", a, b)])[0].p for a, b in ((old, new), (old, far), (np.exp(old), np.exp(new)))]
    assert p == pytest.approx([p[0]] * 3)


def test_atoms_and_constants() -> None:
    rng = np.random.default_rng(4)
    old, new = rng.integers(0, 2, 500).astype(float), rng.integers(0, 2, 300).astype(float)
    assert shifts([("x", old, new)])[0].p > LEVEL
    assert shifts([("x", np.zeros(50), np.zeros(40))])[0].p == 1
    found = shifts([("x", np.zeros(50), np.ones(40))])[0]
    assert (found.by, found.p < 1e-6) == (1.0, True)


def test_the_share_of_pairs() -> None:
    assert worse_share(np.array([0.0, 1.0]), np.array([1.0, np.inf])) == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert worse_share(np.zeros(5), np.zeros(7)) == 0.5
