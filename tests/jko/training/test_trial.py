"""A trial is one short block, whatever the chain is."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from jko.config import Config, parse_config
from jko.training.trial import (
    BATCH,
    CHOOSING_ROWS,
    LONGEST,
    MOST_MATCHED,
    MOST_POLISHED,
    trial_config,
    trial_log_density,
)


def settings(**changes: Any) -> Config:
    values: dict[str, Any] = {
        "steps": {"sizes": [0.1, 0.5, 3.0]},
        "network": {"hidden": [16, 16]},
        "training": {"flow_matching_iterations": 500, "iterations": 40, "batch_size": 64},
        "blocks": {2: {"flow_matching_iterations": 800}},
    }
    return parse_config({**values, **changes})


def test_a_trial_goes_as_far_as_the_chain_in_one_block() -> None:
    found = trial_config(settings())
    (step,) = found.step_sizes
    assert math.log1p(step) == pytest.approx(sum(math.log1p(size) for size in (0.1, 0.5, 3.0)))
    plan = found.training_of(1)
    assert (plan.flow_matching_iterations, plan.iterations) == (180, 0)  # a tenth of 500 + 800 + 500
    assert (plan.batch_size, plan.validation_rows) == (64, CHOOSING_ROWS)
    assert found.network == settings().network
    half = trial_config(settings(), 0.5).training_of(1)
    assert (half.flow_matching_iterations, half.validate_every) == (90, 90)


def test_a_trial_of_a_long_training_takes_seconds_as_well() -> None:
    long = settings(training={"flow_matching_iterations": 10**6, "batch_size": 8192}, blocks={})
    plan = trial_config(long).training_of(1)
    assert (plan.flow_matching_iterations, plan.batch_size) == (MOST_MATCHED, BATCH)


def test_without_flow_matching_a_trial_trains_the_objective() -> None:
    plain = settings(training={"flow_matching_iterations": 0, "iterations": 10**6}, blocks={})
    plan = trial_config(plain).training_of(1)
    assert (plan.flow_matching_iterations, plan.iterations) == (0, MOST_POLISHED)
    residual = settings(network={"kind": "residual", "hidden": [8]}, blocks={})
    assert trial_config(residual).training_of(1).iterations == 12  # a tenth of three times 40


def test_a_free_block_and_steps_that_must_be_short() -> None:
    assert trial_config(settings(steps={"sizes": [0.5], "free": "on"}, blocks={})).step_sizes == (LONGEST,)
    forward = settings(scheme="forward_euler", steps={"sizes": [0.5, 0.8]}, blocks={})
    assert trial_config(forward).step_sizes == (0.8,)


def test_the_log_density_of_a_trial_is_that_of_its_block() -> None:
    """A normal law is at its end from the beginning: the identity is validated, and kept if it is best."""
    draw = torch.Generator().manual_seed(0)
    rows = {"train": torch.randn(2000, 2, generator=draw), "validation": torch.randn(400, 2, generator=draw)}
    found = trial_log_density(settings(), rows, 2)
    assert found.shape == (400,)
    assert found.dtype == torch.float64
    exact = -0.5 * (rows["validation"].double() ** 2).sum(1) - math.log(2 * math.pi)
    assert float(found.mean()) == pytest.approx(float(exact.mean()), abs=0.05)
