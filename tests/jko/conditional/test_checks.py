"""Effective sizes and split-R̂ beside processes whose values are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jko.conditional.checks import chain_size, resampled, split_r_hat, tempered, weight_size


def autoregressive(slope: float, steps: int, chains: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = np.empty((steps, chains, 1))
    x[0] = rng.normal(size=(chains, 1))
    for t in range(1, steps):
        x[t] = slope * x[t - 1] + math.sqrt(1 - slope**2) * rng.normal(size=(chains, 1))
    return x


@pytest.mark.parametrize("slope", [0.0, 0.5, 0.8])
def test_the_size_of_chains_is_that_of_their_autocorrelation(slope: float) -> None:
    """An AR(1) of slope ρ has the time (1 + ρ) / (1 − ρ)."""
    draws = autoregressive(slope, 400, 50)
    assert chain_size(draws) == pytest.approx(20_000 * (1 - slope) / (1 + slope), rel=0.12)
    assert split_r_hat(draws) < 1.05


def test_chains_at_different_places_do_not_agree() -> None:
    draws = autoregressive(0.5, 200, 20)
    draws[:, 0] += 5
    assert split_r_hat(draws) > 1.2
    assert chain_size(draws) < 500
    drifting = autoregressive(0.0, 200, 20) + np.linspace(0, 3, 200)[:, None, None]
    assert split_r_hat(drifting) > 1.2
    still = np.repeat(np.arange(20.0)[None, :, None], 100, axis=0)
    assert split_r_hat(still) == math.inf


def test_the_size_of_weights() -> None:
    assert weight_size(np.zeros(100)) == pytest.approx(100)
    assert weight_size(np.log([1.0, 3.0])) == pytest.approx(16 / 10)
    assert weight_size(np.full(3, -np.inf)) == 0
    assert weight_size(np.array([-np.inf, 5.0])) == pytest.approx(1)


def test_rows_are_drawn_by_their_weights() -> None:
    rng = np.random.default_rng(0)
    log_weights = np.log([0.1, 0.2, 0.7])
    counts = np.bincount(resampled(log_weights, 1000, rng), minlength=3)
    assert (np.abs(counts - [100, 200, 700]) <= 1).all()
    assert set(resampled(np.array([-np.inf, 0.0]), 50, rng)) == {1}


def test_weights_are_evened_until_they_are_worth_enough() -> None:
    log_weights = np.random.default_rng(0).normal(0, 4, 1000)
    log_weights[::10] = -np.inf
    found = tempered(log_weights, 300)
    assert weight_size(found) == pytest.approx(300, rel=0.01)
    assert (np.isinf(found) == np.isinf(log_weights)).all()
    assert (tempered(np.zeros(500), 300) == 0).all()
