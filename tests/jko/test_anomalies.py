"""The second opinion on rows, and what is said of each of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jko.anomalies import SecondOpinion, anomaly_table


def bumps(count: int, seed: int) -> np.ndarray:
    """Two bumps, of a third and two thirds of the rows, in units far from one."""
    draw = np.random.default_rng(seed)
    return 1e4 * (draw.normal(size=(count, 2)) + 8 * (draw.random((count, 1)) < 1 / 3))


def log_density(x: np.ndarray) -> np.ndarray:
    parts = [-((x / 1e4 - at) ** 2).sum(1) / 2 for at in (0, 8)]
    return np.logaddexp(math.log(2 / 3) + parts[0], math.log(1 / 3) + parts[1]) - math.log(2 * math.pi * 1e8)


def test_the_mixture_is_one_of_the_law() -> None:
    opinion = SecondOpinion.of(bumps(4000, 0))
    fresh = bumps(4000, 1)
    apart = log_density(fresh) - opinion.log_density(fresh)
    assert apart.mean() == pytest.approx(0, abs=0.01)
    again = SecondOpinion.from_tensors(opinion.tensors())
    np.testing.assert_array_equal(again.log_density(fresh), opinion.log_density(fresh))


def test_far_rows_keep_a_density() -> None:
    opinion = SecondOpinion.of(bumps(500, 0))
    near, far = opinion.log_density(np.array([[0.0, 0.0], [1e14, -1e14]]))
    assert -1e22 < far < -1e15 < near


def test_ranks_and_disputes() -> None:
    model = np.array([-5.0, -9.0, -9.0, math.nan, -1.0])
    blocks = np.array([-5.0, -300.0, -9.0, -math.inf, -1.0])
    mixture = np.array([-5.0, -150.0, -110.0, -4.0, 98.0])
    found = anomaly_table(model, blocks, mixture, 2)
    assert list(found["rank"]) == [4, 2, 2, 1, 5]
    assert list(found["disputed"]) == [False, True, True, True, False]
    assert list(anomaly_table(model, blocks, mixture, 40)["disputed"]) == [False, False, False, True, False]
    np.testing.assert_array_equal(found["score_mixture"], -mixture)
    assert len(anomaly_table(*[np.empty(0)] * 3, columns=2)) == 0
