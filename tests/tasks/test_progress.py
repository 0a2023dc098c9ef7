"""What a run says of its blocks."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from jko.config import parse_config
from jko.training.fit_state import FitRecord
from jko.training.listener import BlockBegun, BlockResumed, Validated
from tasks.progress import Progress


def test_bar_and_pace_start_where_the_checkpoint_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Iterations before the checkpoint took no time in this process, so they are no part of the pace."""
    now = [100.0]
    monkeypatch.setattr("tasks.progress.time.monotonic", lambda: now[0])
    text = io.StringIO()
    progress = Progress(Console(file=text, width=200))
    training = {"flow_matching_iterations": 60_000, "iterations": 50}
    progress.tell(BlockBegun(3, parse_config({"steps": {"count": 3}, "training": training}), 1.0))
    progress.tell(BlockResumed(3, 12_000))
    assert text.getvalue() == "block 3 goes on from iteration 12000 of 60050 (checkpoint)\n"
    (bar,) = progress.bars.tasks
    assert (bar.completed, bar.total) == (12_000, 60_050)
    now[0] += 10.0
    record = FitRecord("flow_matching", 14_000, 0.1, 0.1, 0.1, 0.1, 0.1, 1e-3)
    progress.tell(Validated(3, record))
    assert progress.pace.per_iteration("flow_matching") == pytest.approx(10 / 2000)
    assert progress.seconds_left() == pytest.approx(46_000 * 0.005 + 50 * 0.05)


def test_the_start_of_a_block_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block without flow matching has seen none of it."""
    now = [100.0]
    monkeypatch.setattr("tasks.progress.time.monotonic", lambda: now[0])
    text = io.StringIO()
    progress = Progress(Console(file=text, width=200))
    training = {"flow_matching_iterations": 0, "iterations": 50}
    progress.tell(BlockBegun(1, parse_config({"steps": {"count": 3}, "training": training}), 1.0))
    for iteration, phase in ((0, "flow_matching"), (10, "jko")):
        now[0] += 20.0
        record = FitRecord(phase, iteration, 0.1, 0.1, 0.1, 0.1, 0.1, 1e-3)  # type: ignore[arg-type]
        progress.tell(Validated(1, record))
    start, later = text.getvalue().splitlines()
    assert "at the start" in start
    assert "JKO objective" in later
    assert "flow matching" not in start + later
