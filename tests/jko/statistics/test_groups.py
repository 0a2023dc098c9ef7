"""Groups of rows by a column."""

from __future__ import annotations

import numpy as np

from jko.statistics.groups import groups_by


def test_few_values_have_a_group_each() -> None:
    found = groups_by("dose", np.array([0.0, 2.5, 2.5, 0.1]))
    assert found.names == ("dose = 0", "dose = 0.1", "dose = 2.5")
    assert found.of(np.array([2.5, np.float32(0.1), 7.0, 0.0])).tolist() == [2, 1, -1, 0]


def test_many_values_are_cut_at_quantiles_and_everything_is_in_a_group() -> None:
    ages = np.arange(100.0)
    found = groups_by("age", ages)
    assert found.names == (
        "age below 24.75", "age from 24.75 to 49.5", "age from 49.5 to 74.25", "age from 74.25 on",
    )  # fmt: skip
    assert np.bincount(found.of(ages)).tolist() == [25, 25, 25, 25]
    assert found.of(np.array([-1e9, 1e9])).tolist() == [0, 3]


def test_a_value_that_most_rows_have_leaves_two_groups() -> None:
    found = groups_by("debt", np.concatenate([np.zeros(900), np.arange(1.0, 101.0)]))
    assert found.names == ("debt below 1", "debt from 1 on")
    assert np.bincount(found.of(np.array([0.0, 0.0, 5.0]))).tolist() == [2, 1]


def test_categories_have_their_names_and_the_rare_ones_none() -> None:
    labels = [f"c{i:02}" for i in range(30)]
    codes = np.concatenate([np.arange(30.0), np.arange(20.0)])
    found = groups_by("kind", codes, labels)
    assert found.names == tuple(f"kind = c{i:02}" for i in range(20))
    assert found.of(np.array([3.0, 25.0])).tolist() == [3, -1]
