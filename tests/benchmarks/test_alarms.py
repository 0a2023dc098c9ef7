"""A schedule's alarm and a gate, repeated where the truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import alarms
from benchmarks.alarms import CHEAP, REPETITIONS, Champion, fingerprint, line_of, parts_of, run_part, shift_of
from benchmarks.generators import GENERATORS

#: a chain that takes moments; its figures mean nothing
TINY = (
    "steps.count=1", "network.hidden=[8]", "training.flow_matching_iterations=200", "training.iterations=2",
    "data.standardise=marginals", "data.augment.copies=1", *CHEAP,
)  # fmt: skip


def test_every_column_is_shifted_once_and_gridded_ones_by_whole_steps() -> None:
    assert list(parts_of("orders")) == ["same", "shift-visits", "shift-amount", "shift-discount", "gate"]
    rng = np.random.default_rng(0)
    assert shift_of(rng.normal(0, 2, 5000)) == pytest.approx(0.6, rel=0.05)
    counts = rng.poisson(9, 5000).astype(float)  # .3 of 3 is .9: one step
    assert shift_of(counts) == 1.0


def test_lines_say_whether_the_bars_hold() -> None:
    def record(part: str, alarm: int, count: int = 100) -> dict[str, object]:
        found = [{"alarm": i < alarm, "p": 0.5, "named": i < alarm} for i in range(count)]
        return {"part": part, "found": found}

    assert line_of(record("same", 5)).endswith(": holds")
    assert line_of(record("same", 6)).endswith(": fails")
    assert "0.05 ± 0.02" in line_of(record("same", 5))
    assert line_of(record("shift-visits", 95)).endswith(": holds")
    assert line_of(record("shift-visits", 94)).endswith(": fails")
    passed = {"part": "gate", "found": [{"passed": False}, {"passed": True}]}
    assert line_of(passed).endswith("1 of 2 hardly trained chains pass: fails")
    assert REPETITIONS == 100


@pytest.mark.slow
def test_repetitions_go_through_the_real_alarm_and_gate_and_are_kept(tmp_path: Path) -> None:
    root, results = tmp_path / "project", tmp_path / "results"
    results.mkdir()
    champion = Champion("orders", 0, root, TINY)
    first = run_part(champion, "shift-amount", 1, results)
    kept = results / "alarms-orders-0-shift-amount.json"
    assert first["found"] == json.loads(kept.read_text())["found"]
    both = run_part(champion, "shift-amount", 2, results)  # the chain and the first one are there
    assert both["found"][0] == first["found"][0]
    assert all(0 <= one["p"] <= 1 for one in both["found"])
    assert both["found"][0]["p"] != both["found"][1]["p"]
    assert fingerprint(champion, "same") != fingerprint(champion, "gate")
    (tried,) = run_part(champion, "gate", 1, results)["found"]
    assert "hardly0: test/nll " in tried["says"]
    assert "paired difference" in tried["says"]
    rows = (root / "rows.csv").read_text().splitlines()
    assert rows[0] == ",".join(GENERATORS["orders"].columns)
    assert len(rows) == 1 + alarms.ROWS
