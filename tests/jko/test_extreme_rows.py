"""Rows at the edge of what numbers hold: a figure, or none with its reason, never an error of a library."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jko.config import parse_config
from jko.config.sections import Measure
from jko.core.errors import InputError
from jko.maps.jacobian import asymmetry
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField
from jko.measure.measures import HeldOut, measure_block
from jko.statistics.transport import affine_transport
from jko.statistics.two_sample import kl_lower_bound

ROWS = 300


def rows(case: str) -> Tensor:
    draw = np.random.default_rng(0)
    found: dict[str, Any] = {
        "student": draw.standard_t(0.1, (ROWS, 2)),
        "cauchy": draw.standard_cauchy((ROWS, 2)),
        "equal": np.ones((ROWS, 2)),
        "huge": 1e30 * draw.standard_normal((ROWS, 2)),
        "beyond": 1e200 * draw.standard_normal((ROWS, 2)),
        "small": 1e-200 * draw.standard_normal((ROWS, 2)),
        "three": draw.standard_normal((3, 2)),
        "line": draw.standard_normal((ROWS, 1)),
        "constant": np.c_[draw.standard_normal(ROWS), np.zeros(ROWS)],
        "twin": np.repeat(draw.standard_normal((ROWS, 1)), 2, axis=1),
        "outlier": np.r_[draw.standard_normal((ROWS - 1, 2)), [[1e8, 1e8]]],
        "atom": np.where(draw.random((ROWS, 2)) < 0.5, 0, draw.standard_normal((ROWS, 2))),
    }
    return torch.from_numpy(found[case])


CASES = ["student", "cauchy", "equal", "huge", "beyond", "small", "three", "line", "constant", "twin",
         "outlier", "atom"]  # fmt: skip


@pytest.mark.parametrize("pairing", ["block", "affine", "emd"])
@pytest.mark.parametrize("case", CASES)
def test_every_figure_is_finite_or_missing_for_a_reason(case: str, pairing: Any) -> None:
    x = rows(case)
    block = Block(VelocityField(x.shape[1], (4,)), 1.0, Solver(steps=2)).double()
    none = torch.zeros(len(x), dtype=torch.float64)
    found = measure_block([block], HeldOut(x, 0.9 * x, none, none, none), Measure(pairing=pairing))
    assert (found.epsilon_squared is None) == bool(found.epsilon_reason)
    assert (found.fisher is None) == bool(found.epsilon_reason)
    assert (found.epsilon_squared_se is not None) != bool(found.epsilon_reason)


def test_what_is_infinite_is_not_estimated() -> None:
    """The jumps of dequantised data: no figure, though a critic would give one."""
    x = torch.rand(3000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    block = Block(VelocityField(2, (4,)), 1.0, Solver(steps=2)).double()
    none = torch.zeros(len(x), dtype=torch.float64)
    sample = HeldOut(x, x, none, none, none)
    known = measure_block([block], sample, Measure())
    assert known.epsilon is not None
    found = measure_block([block], sample, Measure(), score=lambda y: -y, unfit="jumps")
    figures = [found.epsilon, found.epsilon_squared, found.fisher, found.epsilon_exact, found.fisher_exact]
    assert figures == [None] * 5
    assert (found.epsilon_class, found.epsilon_reason) == ("none", "jumps")


def test_the_affine_map_of_a_law_on_a_line_stays_on_it() -> None:
    x = rows("twin")
    moved = affine_transport(x, 2 * x + 1)
    torch.testing.assert_close(moved, 2 * x + 1)


def test_no_lower_bound_from_what_cannot_be_squared() -> None:
    assert math.isnan(kl_lower_bound(rows("beyond")).value)
    assert math.isnan(kl_lower_bound(torch.zeros(1, 2)).value)
    assert math.isfinite(kl_lower_bound(rows("equal")).value)


def test_a_jacobian_that_is_not_finite_has_no_shape() -> None:
    block = Block(VelocityField(2, (4,)), 1.0, Solver(steps=2)).double()
    found = asymmetry(block, torch.full((5, 2), math.nan, dtype=torch.float64))
    assert math.isnan(found.kappa)
    assert not found.smallest > 0


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ({"sizes": [1e300]}, "steps.sizes holds a step size of 1e"),
        ({"sizes": [1.0, 1e-300]}, "steps.sizes holds a step size of 1e-300"),
        ({"count": 2, "first": 1e-300}, "steps.first = 1e-300 gives"),
        ({"count": 2, "max": 1e-300}, "steps.max = 1e-300 gives"),
        ({"count": 3, "first": 1, "ratio": 1e-5}, "steps.first = 1 and steps.ratio = 1e-05 give"),
        ({"count": 3, "max": 1e300, "ratio": 1e200}, "steps.ratio = 1e.200 give"),
    ],
)
def test_a_step_size_out_of_range_names_the_setting_it_comes_from(steps: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        parse_config({"steps": steps})
