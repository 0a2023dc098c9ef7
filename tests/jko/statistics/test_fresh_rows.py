"""Rows made of training rows: what they keep of them and what they do not."""

import numpy as np
import pytest

from jko.statistics.fresh_rows import EDGES, MOST, edges, fresh_rows, mixed, shuffled, strata

GRID = np.array([1.0, 0.0, 0.25])


def table(rows: int = 2000, seed: int = 0) -> np.ndarray:
    """Counts with their noise, a correlated continuous column, quarters, and a context of two columns."""
    draw = np.random.default_rng(seed)
    counts = draw.poisson(20, rows)
    one = counts + draw.random(rows) - 0.5
    two = counts / 2 + draw.normal(0, 0.1, rows)
    three = 0.25 * (draw.integers(0, 9, rows) + draw.random(rows) - 0.5)
    return np.stack([one, two, three, draw.integers(0, 2, rows), draw.normal(size=rows)], axis=1)


def offsets(column: np.ndarray, step: float) -> np.ndarray:
    """Where in its cell each value lies."""
    return np.round(np.mod(column / step, 1.0), 9) % 1.0


def test_there_are_some_hundred_of_each_kind_by_seed() -> None:
    rows = table()
    found = fresh_rows(rows, GRID, seed=3)
    assert {kind: found.kinds.count(kind) for kind in MOST} == MOST
    assert len(found.rows) == len(found.columns) == len(found.kinds) <= 1000
    again = fresh_rows(rows, GRID, seed=3)
    assert np.array_equal(found.rows, again.rows)
    assert not np.array_equal(found.rows, fresh_rows(rows, GRID, seed=4).rows)
    contexts = {tuple(row) for row in rows[:, 3:]}
    assert all(tuple(row) in contexts for row in found.rows[:, 3:])


def test_gridded_columns_stay_on_their_grid_with_the_noise_of_a_row() -> None:
    rows = table(300)
    found = fresh_rows(rows, GRID, seed=1)
    for column in (0, 2):
        known = set(offsets(rows[:, column], GRID[column]))
        assert set(offsets(found.rows[:, column], GRID[column])) <= known


def test_shuffling_keeps_columns_and_strata_and_breaks_what_ties_them() -> None:
    rows = table()
    made = shuffled(rows, 3, np.random.default_rng(0))
    for column in range(3):
        assert set(made[:, column]) <= set(rows[:, column])
    seen = {tuple(row) for row in rows[:, :3]}
    assert np.mean([tuple(row) in seen for row in made[:, :3]]) < 0.05
    groups = strata(rows[:, :3])
    assert sorted(np.concatenate(groups)) == list(range(len(rows)))
    assert {len(group) for group in groups} == {200}
    # within a stratum the columns are near each other still: the correlation along it survives
    assert 0.7 < np.corrcoef(made[:, 0], made[:, 1])[0, 1] < 0.99
    residual = np.std(made[:, 1] - made[:, 0] / 2), np.std(rows[:, 1] - rows[:, 0] / 2)
    assert residual[0] > 1.5 * residual[1]


def test_mixed_rows_lie_between_neighbours() -> None:
    draw = np.random.default_rng(1)
    rows = np.concatenate([draw.normal(0, 0.1, (200, 2)), draw.normal(10, 0.1, (200, 2))])
    made = mixed(rows, np.zeros(2), np.random.default_rng(0))
    near = np.minimum(np.abs(made).max(1), np.abs(made - 10).max(1))
    assert near.max() < 0.6  # never between the clusters
    seen = {tuple(row) for row in rows}
    assert not any(tuple(row) in seen for row in made)


def test_edge_rows_are_rows_but_for_one_column() -> None:
    rows = table(500)
    made, columns = edges(rows, 3, np.random.default_rng(0))
    ends = np.quantile(rows, EDGES, axis=0, method="nearest")
    seen = [{tuple(np.delete(row, column)) for row in rows} for column in range(3)]
    for row, column in zip(made, columns, strict=True):
        assert row[column] in ends[:, column]
        assert tuple(np.delete(row, column)) in seen[column]
    assert set(columns) == {0, 1, 2}


@pytest.mark.parametrize(("rows", "dim"), [(3, 1), (4, 2), (40, 400), (10, 1)])
def test_few_rows_and_one_or_many_columns_are_no_error(rows: int, dim: int) -> None:
    train = np.random.default_rng(2).standard_normal((rows, dim))
    found = fresh_rows(train, [0.0] * dim, seed=0)
    assert np.isfinite(found.rows).all()
    assert found.rows.shape[1] == dim
    assert len(found.rows) <= 1000


def test_a_constant_column_is_no_error() -> None:
    train = np.random.default_rng(2).standard_normal((50, 3))
    train[:, 1] = 4.0
    assert np.isfinite(fresh_rows(train, [0.0] * 3, seed=0).rows).all()
