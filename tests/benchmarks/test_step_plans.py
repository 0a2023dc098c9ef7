"""Step plans compared: equal iterations, equal times, and the whole program on a tiny set."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from benchmarks.step_plans import (
    BASE,
    CASES,
    GROWTH,
    PLANS,
    Case,
    Plan,
    compared,
    growing,
    picture,
    settings,
    table,
)
from jko.config import parse_config

TINY = Case(
    "smoke", 2, 24, 12,
    {"data": {"rows": 400}, "measure": {"rows": 40},
     "evaluation": {"samples": 50, "mixture_components": [1]}},
)  # fmt: skip


@pytest.mark.parametrize("growth", [1.0, GROWTH, 10.0])
def test_a_growing_plan_takes_the_time(growth: float) -> None:
    sizes = growing(3.45, 6, growth)
    assert sum(math.log1p(size) for size in sizes) == pytest.approx(3.45, abs=1e-9)
    assert [after / before for before, after in itertools.pairwise(sizes)] == pytest.approx([growth] * 5)


@pytest.mark.parametrize("case", [*CASES, TINY], ids=lambda case: case.name)
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_plan_has_all_iterations_and_no_more(case: Case, plan: Plan) -> None:
    share = plan.share(case.steps)
    own = parse_config(settings(case, 0, [1.0] * case.steps, share)).training_of(1)
    blocks = case.steps * (1 + plan.parent)  # those of the parent, and its own
    assert own.flow_matching_iterations * blocks == case.flow_matching
    assert own.iterations * blocks == case.iterations


@pytest.mark.slow
def test_all_plans_on_a_tiny_set(tmp_path: Path) -> None:
    found = compared(TINY, 0, tmp_path)
    assert list(found) == [f"smoke/0/{name}" for name in PLANS]
    rows = {key.split("/")[-1]: row for key, row in found.items()}
    times = {name: sum(math.log1p(size) for size in row["step_sizes"]) for name, row in rows.items()}
    assert list(times.values()) == pytest.approx([times[BASE]] * len(PLANS), rel=1e-3)
    assert all(len(row["step_sizes"]) == TINY.steps for row in rows.values())
    assert rows[BASE]["less_geometric"] is None
    for name in ("equal", "fitted", "reparametrised", "refined"):
        gap = rows[name]["less_geometric"]
        whole = rows[name]["test"]["test/nll"] - rows[BASE]["test"]["test/nll"]
        assert gap["difference"] == pytest.approx(whole, abs=1e-9)
        assert gap["se"] > 0
    assert table(found).count("\n") == len(PLANS) + 1
    assert len(picture(found).axes) == 2
