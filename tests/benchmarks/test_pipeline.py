"""A run watched from inside, and what is made of its times."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.memory import table as memory_table
from benchmarks.pipeline import TINY, shares, table
from benchmarks.watched import run
from jko.core.errors import JkoError


@pytest.mark.slow
def test_a_watched_run_knows_its_parts_and_its_memory(server: str, tmp_path: Path) -> None:
    words = ("train", "--preset", "smoke", "--set", "steps.count=1", "--chain", "chain", *TINY)
    found = run(tmp_path, *words, server=server)
    assert set(found["parts"]) == {"prepare", "train", "push", "measure", "certify", "evaluate", "report"}
    assert all(part["wall_s"] > 0 for part in found["parts"].values())
    assert found["peak_mb"] > found["base_mb"] > 50
    assert found["total_s"] > found["run"]["wall_s"] > shares(found)["pipeline_s"] > 0
    shown = memory_table({"blocks": [{"blocks": 1, **found}], "rows": []})
    assert f"**{found['peak_mb']:.0f}**" in shown


@pytest.mark.slow
def test_a_run_that_fails_says_so(tmp_path: Path) -> None:
    with pytest.raises(JkoError, match="failed: jko: "):
        run(tmp_path, "train", "--preset", "smoke", "--set", "steps.count=0")


def test_what_is_neither_numerics_nor_another_part_is_the_pipeline() -> None:
    parts = {
        name: {"wall_s": seconds, "cpu_s": seconds / 2}
        for name, seconds in {
            "train": 80.0,
            "push": 5.0,
            "measure": 5.0,
            "evaluate": 5.0,
            "report": 2.0,
        }.items()
    }
    found = shares({"parts": parts, "run": {"wall_s": 100.0, "cpu_s": 50.0}})
    assert found["outside_share"] == pytest.approx(0.05)
    assert found["pipeline_s"] == pytest.approx(3)
    assert found["pipeline_cpu_s"] == pytest.approx(1.5)
    assert found["report_s"] == 2


def test_the_table_has_every_cost_beside_its_aim() -> None:
    fitted = {
        "run_s": 2.0,
        "run_cpu_s": 1.0,
        "block_s": 0.08,
        "block_cpu_s": 0.05,
        "start_s": 0.5,
        "imports_s": 2.0,
    }
    figures = {
        "preset": "rose", "settings": [], "large": {"outside_share": 0.04, "pipeline_share": 0.01},
        "per_block": fitted, "no_operation": {"median_s": 0.6},
    }  # fmt: skip
    shown = table(figures)
    for cell in ("4.0 %", "1.0 %", "2.00 s", "80 ms", "0.60 s", "≤ 100 ms"):
        assert cell in shown
