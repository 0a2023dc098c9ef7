"""The page's tables from records made up here: what stands in which cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cell import Cell
from benchmarks.page import EMPTY, between_marks
from benchmarks.plan import PART, budget
from benchmarks.sets import SECONDS, names
from benchmarks.tables import board, nll_table, plane_table, steps_table
from tests.benchmarks.recorded import write_record


def record(cell: Cell, gap: float, curve: list[list[float]] | None = None, **more: Any) -> Mapping[str, Any]:
    figure = {"value": gap, "se": 0.001}
    return {
        "cell": {
            "set": cell.set, "method": cell.method, "setting": cell.setting, "seed": cell.seed,
            "seconds": cell.seconds,
        },
        "measure": "gap", "gap": figure, "nll": figure, "validation_nll": figure,
        "core_s": float(cell.seconds), "peak_mb": 400.0,
        "curve": curve or [[float(cell.seconds), gap, 0.001]], "notes": {}, **more,
    }  # fmt: skip


def store(*records: Mapping[str, Any]) -> Any:
    known = {Cell(**one["cell"]): one for one in records}
    return known.get


def test_a_short_budget_is_read_off_the_curve_unless_it_was_run_by_itself(tmp_path: Path) -> None:
    recorded = write_record(tmp_path / "tuning.json")
    full, short = SECONDS, SECONDS // PART
    peer = record(
        Cell("moons", "nsf", "default", 0, full), 0.02, [[short * 0.9, 0.08, 0.001], [full, 0.02, 0.001]]
    )
    ours = record(
        Cell("moons", "ours", "default", 0, full), 0.01, [[short * 0.9, 0.9, 0.001], [full, 0.01, 0.001]]
    )
    alone = record(Cell("moons", "ours", "default", 0, short), 0.04)
    lookup = store(peer, ours, alone)
    lines = plane_table(board("plane", lookup, recorded), short, lookup).splitlines()
    cells = {line.split("|")[1].strip(): [part.strip() for part in line.split("|")[2:]] for line in lines[2:]}
    assert cells["NSF (zuko), default"][0].startswith("0.080")
    assert cells["**ours**"][0].startswith("0.040")
    assert cells["NSF (zuko), default"][1] == "2.00"  # the ratio to ours
    whole = plane_table(board("plane", lookup, recorded), full, lookup)
    assert "0.010" in whole
    assert "0.040" not in whole


def test_of_several_seeds_stand_the_median_and_the_range(tmp_path: Path) -> None:
    def lookup(cell: Cell) -> Mapping[str, Any]:
        return record(cell, 0.01 * (cell.seed + 1) if cell.method == "ours" else 0.05)

    lines = nll_table(
        board("table", lookup, write_record(tmp_path / "tuning.json")), names("table")
    ).splitlines()
    assert [line[:43] for line in lines if "**ours**" in line] == [
        "| **ours** | 0.0200 (0.0100 … 0.0300) | 0.0"
    ]
    assert sum("0.0500 (0.0500 … 0.0500)" in line for line in lines) > 3


def test_the_steps_show_their_error_before_and_after_the_polish() -> None:
    cell = Cell("rose", "ours", "default", 0, budget("rose"))
    steps = [
        {"step_size": 0.01, "epsilon_squared": {"value": 12.3, "se": 1.2}, "before_polish": None},
        {
            "step_size": 8.0,
            "epsilon_squared": {"value": 1.0, "se": 0.5},
            "before_polish": {"value": 2.0, "se": 0.25},
        },
    ]
    lines = steps_table(store(record(cell, 0.02, notes={"steps": steps}))).splitlines()
    assert lines[2] == "| 1 | 0.01 | – | 12.3 ± 1.2 |"
    assert lines[3] == "| 2 | 8 | 2 ± 0.25 | 1 ± 0.5 |"
    assert steps_table(store()) == EMPTY


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = "a\n<!-- x -->\nold\n<!-- /x -->\nb"
    assert between_marks(page, "x", "new") == "a\n<!-- x -->\n\nnew\n\n<!-- /x -->\nb"
