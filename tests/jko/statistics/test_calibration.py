"""Rows among the samples for their own contexts."""

from __future__ import annotations

import numpy as np
import pytest

from jko.statistics.calibration import Calibration, calibration


def conditional(
    rows: int, each: int, seed: int, *, spread: float = 0.5, values: int = 0
) -> Calibration | None:
    """Rows N(2u, .5²) beside samples N(2u, spread²) of the same contexts; u of some values, or any number."""
    rng = np.random.default_rng(seed)
    u = rng.integers(0, values, rows) * 1.0 if values else rng.normal(size=rows)
    drawn = np.repeat(u, each)
    x = 2 * u + 0.5 * rng.normal(size=rows)
    y = 2 * drawn + spread * rng.normal(size=len(drawn))
    order = rng.permutation(len(drawn))
    return calibration(x[:, None], y[order, None], (u[:, None], drawn[order, None]), ["x"], seed=seed)


def test_right_samples_of_own_contexts_are_even() -> None:
    found = conditional(500, 40, 0)
    assert (found.rows, found.share, found.contexts, found.samples) == (500, 1.0, 500, 40)
    (one,) = found.coverage
    assert one.even
    assert abs(one.central - 0.9) < 3 * one.central_se


@pytest.mark.parametrize("values", [0, 3])
def test_equal_laws_are_within_the_limit_in_95_percent(values: int) -> None:
    """Where all rows of a context share few samples, too: 3 contexts, 40 rows and 40 samples of each."""
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        u = np.arange(120.0) if not values else np.arange(120.0) % values
        drawn = np.repeat(u, 20) if not values else np.repeat(np.arange(values * 1.0), 40)
        x, y = rng.normal(size=(120, 1)), rng.normal(size=(len(drawn), 1))
        found.append(calibration(x, y, (u[:, None], drawn[:, None]), ["x"], seed=seed).coverage[0])
    assert 0.005 < np.mean([one.distance > one.limit for one in found]) < 0.1
    assert np.mean([one.even for one in found]) > 0.9
    away = [(one.central - 0.9) / one.central_se for one in found]
    assert np.std(away) == pytest.approx(1, abs=0.25)


def test_samples_that_are_too_sure_of_their_context_are_found() -> None:
    for values in (0, 4):
        (one,) = conditional(500, 40, 1, spread=0.3, values=values).coverage
        assert not one.even
        assert one.central < 0.8
        assert min(one.ranks[0], one.ranks[-1]) > one.most


def test_only_rows_with_samples_of_their_context_count() -> None:
    rng = np.random.default_rng(2)
    u, drawn = np.arange(100.0), np.repeat(np.arange(50.0, 300.0), 5)
    x, y = rng.normal(size=(100, 2)), rng.normal(size=(len(drawn), 2))
    found = calibration(x, y, (u[:, None], drawn[:, None].astype(np.float32)), ["a", "b"])
    assert (found.rows, found.share, found.contexts, found.samples) == (50, 0.5, 50, 5)
    assert [one.column for one in found.coverage] == ["a", "b"]
    assert calibration(x, y, (u[:, None], drawn[:, None] + 0.5), ["a", "b"]) is None
