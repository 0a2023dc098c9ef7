"""A time budget becomes iterations: proportions stay, the clock is kept, too little time is said."""

from __future__ import annotations

import itertools
import time

import pytest
import torch
from torch import Tensor

from jko.config import Config, parse_config
from jko.core.errors import InputError
from jko.core.seeds import generator
from jko.training.calibrate import PLANNED, scaled, within

SETTINGS = {
    "steps": {"sizes": [0.1, 0.3, 1.0]},
    "network": {"hidden": [16]},
    "training": {"flow_matching_iterations": 40, "iterations": 20, "batch_size": 64, "validate_every": 20},
    "blocks": {1: {"flow_matching_iterations": 80, "learning_rate": 0.5}},
}


def settings() -> Config:
    return parse_config(SETTINGS)


def rows(count: int) -> Tensor:
    return torch.randn(count, 2, generator=generator(0, "rows"))


def test_scaling_keeps_proportions_and_all_other_settings() -> None:
    before, after = settings(), scaled(settings(), 2.5)
    assert [after.training_of(k).flow_matching_iterations for k in (1, 2, 3)] == [200, 100, 100]
    assert [after.training_of(k).iterations for k in (1, 2, 3)] == [50, 50, 50]
    assert [after.training_of(k).validate_every for k in (1, 2, 3)] == [50, 50, 50]
    assert after.training_of(1).learning_rate == 0.5
    assert (after.step_sizes, after.network, after.training) == (
        before.step_sizes, before.network, before.training,
    )  # fmt: skip


def test_a_phase_that_was_off_stays_off_and_none_is_lost() -> None:
    off = parse_config({**SETTINGS, "training": {**SETTINGS["training"], "iterations": 0}})
    tiny = scaled(off, 1e-6)
    assert [tiny.training_of(k).iterations for k in (1, 2, 3)] == [0, 0, 0]
    assert [tiny.training_of(k).flow_matching_iterations for k in (1, 2, 3)] == [1, 1, 1]


def test_the_factor_follows_the_clock() -> None:
    """A clock that advances a second a look: every part costs the same, so the factor is known."""
    ticks = itertools.count()
    plan = within(settings(), rows(2048), rows(64), 1000.0, clock=lambda: float(next(ticks)))
    each = 1 / 3  # three calls between two looks
    # pushing and validating are timed on as many rows as there are to push
    fixed = 3 * (each + each * 64 / 2048) + (2 + 4 + 1 + 2 * (2 + 2 + 1)) * each * 64 / 2048
    ratio = plan.training_of(2).flow_matching_iterations / 40
    variable = (80 + 20 + 2 * (40 + 20)) * each
    assert ratio * variable == pytest.approx(PLANNED * 1000 - fixed, rel=0.1)


def test_more_time_gives_more_iterations() -> None:
    few, many = (within(settings(), rows(500), rows(64), seconds) for seconds in (2.0, 200.0))
    counts = [plan.training_of(2).flow_matching_iterations for plan in (few, many)]
    assert counts[1] > 20 * counts[0] > 0


def test_too_little_time_is_said_in_a_sentence() -> None:
    begun = time.process_time()
    with pytest.raises(InputError, match="too few for 3 blocks"):
        within(settings(), rows(50_000), rows(64), 1e-4)
    assert time.process_time() - begun < 20
