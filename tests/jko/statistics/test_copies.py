"""Copies of training rows among samples are seen, whatever the units and however many rows are none."""

from __future__ import annotations

import numpy as np
import pytest

from jko.statistics.copies import Array, copies

SCALES = np.array([1, 1, 1, 1, 1, 1, 1, 1e5])


def rows(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((count, 8)) * SCALES


def test_fresh_rows_are_no_copies() -> None:
    found = [copies(rows(1000, seed), rows(800, seed + 1), rows(400, seed + 2)) for seed in range(0, 30, 3)]
    assert np.mean([one.share for one in found]) == pytest.approx(0.0125, abs=0.006)
    assert all(abs(one.share - one.usual) < 3 * one.share_se for one in found)
    assert all(one.ratio == pytest.approx(1, abs=0.1) for one in found)


def test_many_exact_copies_among_fresh_rows_are_seen() -> None:
    train, samples = rows(800, 0), rows(1000, 1)
    samples[:450] = train[:450]
    found = copies(samples, train, rows(400, 2))
    assert found.share == pytest.approx(0.46, abs=0.02)
    assert found.share > found.usual + 20 * found.share_se


def test_copied_columns_are_seen_beside_one_of_a_large_scale() -> None:
    train, samples = rows(800, 0), rows(1000, 1)
    samples[:, :7] = train[np.arange(1000) % 800, :7]
    found = copies(samples, train, rows(400, 2))
    assert found.share > 0.3
    assert found.ratio is not None
    assert found.ratio < 0.8


def test_units_make_no_difference() -> None:
    parts = rows(300, 0), rows(500, 1), rows(300, 2)
    found, other = copies(*parts), copies(*(part / SCALES * 7 for part in parts))
    assert found.share == other.share
    assert found.ratio == pytest.approx(other.ratio)


def test_twins_in_the_data_are_no_copies() -> None:
    """Where test rows equal training rows, the share of these is the usual one and there is no ratio."""
    train, test, samples = (np.round(rows(800, seed)[:, :2]) for seed in range(3))
    found = copies(samples, train, test)
    assert found.ratio is None
    assert found.usual > 0.9
    assert abs(found.share - found.usual) < 3 * found.share_se


def test_a_constant_column_and_few_test_rows() -> None:
    train = rows(50, 0)
    train[:, 3] = 2.0
    found = copies(train[:20], train, train[:3] + 0.1)
    assert found.share == 1.0
    assert 0 < found.share_se < 0.5
