"""Columns against samples: levels that hold, and what each kind of wrong samples looks like."""

from __future__ import annotations

import numpy as np
import pytest

from jko.statistics.coverage import band, coverage, ranks


def test_ranks_are_uniform_for_one_law_with_ties_or_without() -> None:
    rng = np.random.default_rng(10)
    for rows, samples in (
        (rng.normal(size=4000), rng.normal(size=4000)),
        (rng.poisson(1.0, 4000) * 1.0, rng.poisson(1.0, 4000) * 1.0),
        (np.zeros(4000), np.zeros(50)),
    ):
        found = ranks(rows, samples, rng)
        assert found.mean() == pytest.approx(0.5, abs=0.025)
        counts = np.histogram(found, 10, (0, 1))[0]
        assert counts.min() > 320
        assert counts.max() < 480


def test_ranks_of_known_rows() -> None:
    found = ranks(np.array([-5.0, 0.0, 9.0]), np.array([-1.0, 0.0, 0.0, 1.0]), np.random.default_rng(0))
    # below all: rank 0; among two equal ones: ranks 1 to 3; above all: rank 4; of five places
    assert 0 < found[0] < 0.2
    assert 0.2 < found[1] < 0.8
    assert 0.8 < found[2] < 1


@pytest.mark.parametrize("samples", [60, 400, 20_000])
def test_equal_laws_are_within_band_and_limit_in_95_percent(samples: int) -> None:
    rng = np.random.default_rng(samples)
    found = [coverage(rng.normal(size=400), rng.normal(size=samples), "a", seed=i) for i in range(300)]
    assert np.mean([one.even for one in found]) > 0.91  # .95 less three standard errors
    assert np.mean([one.distance > one.limit for one in found]) < 0.09
    away = [(one.central - 0.9) / one.central_se for one in found]
    assert np.std(away) == pytest.approx(1, abs=0.2)
    assert abs(np.mean(away)) < 0.25


def test_each_fault_has_its_shape() -> None:
    rng = np.random.default_rng(2)
    rows, samples = rng.normal(size=1000), rng.normal(size=5000)
    narrow, wide, shifted = (
        coverage(rows, own, "a") for own in (0.7 * samples, 1.5 * samples, samples - 0.5)
    )
    assert not any(one.even for one in (narrow, wide, shifted))
    assert min(narrow.ranks[0], narrow.ranks[-1]) > narrow.most
    assert narrow.central < 0.8
    assert max(wide.ranks[0], wide.ranks[-1]) < wide.fewest
    assert wide.central > 0.95
    assert shifted.ranks[0] < shifted.fewest
    assert shifted.ranks[-1] > shifted.most
    assert all(one.distance > one.limit for one in (narrow, wide, shifted))
    assert all(sum(one.ranks) == 1000 for one in (narrow, wide, shifted))


def test_a_column_of_two_values_is_covered_like_any_other() -> None:
    rng = np.random.default_rng(3)
    right = coverage(rng.integers(0, 2, 1000) * 1.0, rng.integers(0, 2, 5000) * 1.0, "a")
    assert right.even
    assert right.central == pytest.approx(0.9, abs=0.03)
    assert not coverage(rng.integers(0, 2, 1000) * 1.0, (rng.random(5000) < 0.3) * 1.0, "a").even


def test_the_band_of_many_samples_is_that_of_rows_alone() -> None:
    assert band(1000, 20, 0.0) == band(1000, 20, 1e-9)
    few, many = band(1000, 20, 1 / 200), band(1000, 20, 1 / 100_000)
    assert few[0] < many[0] < 50 < many[1] < few[1]
    assert band(10_000, 20, 1 / 100_000)[0] > 400
