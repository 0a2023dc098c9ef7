"""Cells: run once, run again when what they depend on changes, never half-written; and the plan of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import cell as cells
from benchmarks.cell import Cell, fingerprint, result_of, run_cell
from benchmarks.grid import command_of, plans, run_all
from benchmarks.methods import METHODS
from benchmarks.plan import PEERS, plan, trials
from benchmarks.sets import GROUPS, SETS, names, tuning_sets
from benchmarks.settings import SETTINGS
from jko.disk.sealed import write_json
from tests.benchmarks.recorded import write_record

ROOT = Path(__file__).resolve().parents[2]
#: of a set that is not reported, so that nothing must have been recorded
GAUSSIAN = Cell("wine", "gaussian", seconds=5)


def test_a_finished_cell_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_cell(GAUSSIAN, None, tmp_path)
    assert json.loads(GAUSSIAN.path(tmp_path).read_text()) == first
    assert first["measure"] == "nll"
    monkeypatch.setattr(cells, "_outcome", lambda *_, **__: pytest.fail("run again"))
    assert run_cell(GAUSSIAN, None, tmp_path) == first


def test_figures_of_a_busy_machine_do_not_count(tmp_path: Path) -> None:
    known = {**run_cell(GAUSSIAN, None, tmp_path), "core_s": 120.0, "evaluation_s": 1.0, "wall_s": 150.0}
    write_json(GAUSSIAN.path(tmp_path), known)
    assert result_of(GAUSSIAN, None, tmp_path) == known
    write_json(GAUSSIAN.path(tmp_path), {**known, "wall_s": 954.0})
    assert result_of(GAUSSIAN, None, tmp_path) is None
    assert run_cell(GAUSSIAN, None, tmp_path)["wall_s"] < 100


def test_a_changed_setting_makes_a_cell_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_cell(GAUSSIAN, None, tmp_path)
    monkeypatch.setitem(SETTINGS, "gaussian", {"default": {"new": 1}})  # type: ignore[arg-type]
    assert result_of(GAUSSIAN, None, tmp_path) is None


def test_the_fingerprint_follows_file_seed_and_seconds(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    cell = Cell(str(table), "gaussian")
    marks = {fingerprint(cell, None), fingerprint(replace(cell, seed=1), None)}
    marks.add(fingerprint(replace(cell, seconds=7), None))
    table.write_text("a,b\n1,3\n")
    marks.add(fingerprint(cell, None))
    assert len(marks) == 4
    assert fingerprint(cell, None) in marks


def test_our_numerics_count_for_our_methods_only(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [fingerprint(Cell("moons", method), None) for method in ("gaussian", "end_to_end")]
    monkeypatch.setattr(cells, "NUMERICS", -1)
    after = [fingerprint(Cell("moons", method), None) for method in ("gaussian", "end_to_end")]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_what_is_computed_counts_and_not_where_its_code_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [fingerprint(Cell("moons", method), None) for method in ("gaussian", "end_to_end")]
    moved = dict(METHODS) | {
        "gaussian": replace(METHODS["gaussian"], module="elsewhere"),
        "end_to_end": replace(METHODS["end_to_end"], edition=2),
    }
    monkeypatch.setattr("benchmarks.methods.METHODS", moved)
    after = [fingerprint(Cell("moons", method), None) for method in ("gaussian", "end_to_end")]
    assert before[0] == after[0]
    assert before[1] != after[1]
    monkeypatch.setattr(cells, "RULES", -1)
    assert fingerprint(Cell("moons", "gaussian"), None) != before[0]


def test_a_killed_cell_leaves_nothing_half_written(tmp_path: Path) -> None:
    cell = Cell("diabetes", "end_to_end", seconds=100)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command_of(cell, None, tmp_path), cwd=ROOT, env=environment)
    time.sleep(2.5)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.iterdir())


def test_processes_run_some_at_a_time_and_failures_are_told(tmp_path: Path) -> None:
    todo = [replace(GAUSSIAN, seed=seed) for seed in range(3)]

    def command(cell: Cell) -> list[str]:
        return [sys.executable, "-c", f"import sys; sys.exit('no luck' if {cell.seed} == 1 else 0)"]

    ended: list[Cell] = []
    failures = run_all(todo, 2, command, ended.append)
    assert {cell.seed for cell in ended} == {0, 1, 2}
    assert [(one.cell.seed, one.sentence) for one in failures] == [(1, "no luck")]


def test_a_cell_that_says_a_lot_ends(tmp_path: Path) -> None:
    """More than a pipe holds while nobody reads it."""
    code = "import sys; sys.stderr.write('warning\\n' * 100_000); sys.exit('no luck')"
    ended: list[Cell] = []
    (failure,) = run_all([GAUSSIAN], 1, lambda cell: [sys.executable, "-c", code], ended.append)
    assert failure.sentence == "no luck"


def test_default_and_recorded_choice_are_run_on_every_seed(tmp_path: Path) -> None:
    record = write_record(tmp_path / "tuning.json", nsf="fine", ours="deep")
    cells_of = plan("digits", record).cells
    assert {(cell.method, cell.setting) for cell in cells_of} == {
        ("gaussian", "default"), ("mixture", "default"), ("mixture_same_start", "default"),
        ("nsf", "default"), ("nsf", "fine"), ("nsf_same_start", "fine"), ("ours", "deep"),
    }  # fmt: skip
    assert {cell.seed for cell in cells_of} == {0, 1, 2}
    assert not plan("digits", record).later
    assert plan("digits", tmp_path / "none.json").later
    assert {cell.seconds for cell in plan("rose", record).cells} == {1200}


def test_every_method_with_settings_has_equally_many_trials_and_none_on_a_reported_set() -> None:
    for group in GROUPS:
        cells_of = trials(group)
        counts = {
            method: sum(cell.method == method for cell in cells_of)
            for method in PEERS["table" if "table" in group else group]
        }
        assert {counts[method] for method in counts if counts[method]} == {4 * len(tuning_sets(group))}
        assert not any(SETS[cell.set].reported for cell in cells_of)
        assert tuning_sets(group)


def test_the_whole_benchmark_takes_less_than_nine_core_hours(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for one in SETS.values():
        if one.file:
            (data / one.file).write_text("")
    made, left_out = plans(None, data, tmp_path / "none.json")
    assert not left_out
    tuning = sum(cell.seconds for group in GROUPS for cell in trials(group))
    assert (sum(one.seconds for one in made) + tuning) / 3600 < 9


def test_sets_without_their_file_are_left_out_with_a_sentence() -> None:
    made, left_out = plans("picture", None)
    assert not made
    assert "rose" in left_out[0]
    made, left_out = plans("table", None)
    assert len(made) + len(left_out) == len(names("table"))
    assert len(made) == 6  # with scikit-learn, or drawn
