"""Settings are chosen on sets that are not reported, and test rows stay closed until that is written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks import cell as cells
from benchmarks import presets, tuning
from benchmarks.cell import Cell, run_cell, tried
from benchmarks.cell import main as cell_command
from benchmarks.chosen import best_of, check
from benchmarks.grid import Failure
from benchmarks.plan import trials
from benchmarks.problem import Problem
from benchmarks.run import Outcome
from benchmarks.settings import SETTINGS
from jko.core.errors import InputError
from tests.benchmarks.recorded import write_record

ORDERS = Cell("orders", "gaussian", seconds=5)


def test_a_reported_set_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="records no choice"):
        run_cell(ORDERS, None, tmp_path, record=tmp_path / "none.json")
    assert not list(tmp_path.iterdir())


def test_a_changed_preset_closes_the_test_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = write_record(tmp_path / "tuning.json")
    assert run_cell(ORDERS, None, tmp_path, record=record)["fresh"]["value"] > 0
    monkeypatch.setattr(presets, "PRESET", {**presets.PRESET, "small table": "smoke"})
    with pytest.raises(InputError, match="is not the one that"):
        run_cell(ORDERS, None, tmp_path, record=record)


def test_changed_settings_and_settings_that_were_not_chosen_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = write_record(tmp_path / "tuning.json", nsf="fine")
    for method in ("nsf", "nsf_same_start"):
        assert check("table", method, "fine", record)["chosen"]["nsf"] == "fine"
        with pytest.raises(InputError, match="neither the default nor"):
            check("table", method, "deep", record)
    monkeypatch.setitem(SETTINGS, "nsf", {"default": {}, "fine": {"bins": 3}})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the settings of nsf"):
        check("table", "nsf", "fine", record)


@pytest.mark.slow
def test_trying_things_out_opens_no_test_row_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Problem] = []
    run = cells.run_method

    def spied(problem: Problem, *words: object) -> Outcome:
        seen.append(problem)
        return run(problem, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(cells, "run_method", spied)
    assert tried(ORDERS, None).value > 0
    (problem,) = seen
    assert torch.equal(problem.test, problem.validation)
    assert problem.fresh is None
    words = ["orders", "mixture_same_start", "--seconds", "2", "--results", str(tmp_path), "--try"]
    done = CliRunner().invoke(cell_command, words)
    assert done.exit_code == 0, done.output
    assert "validation NLL" in done.output
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cell_command, ["orders", "nsf", "--setting", "nope", "--results", str(tmp_path)]
    )
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_best_setting_has_the_smallest_mean_rank() -> None:
    trial = {
        "default": {"a": 1.0, "b": 5.0, "c": 2.0},
        "deep": {"a": 0.9, "b": 4.0, "c": 900.0},  # best on two of three
        "wide": {"a": 1.1, "b": None, "c": 1.0},
    }
    assert best_of(trial) == "deep"
    assert best_of({name: {"a": 1.0} for name in ("default", "deep")}) == "default"


def test_the_record_holds_sets_trials_choices_and_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made of figures as the trials leave them; the record lets reported cells run."""
    monkeypatch.setattr(tuning, "missing", lambda *_: [])
    values = {"default": 3.0, "deep": 1.0, "fine": 2.0, "small": 4.0, "other": 5.0, "slow": 6.0}
    monkeypatch.setattr(
        tuning, "result_of", lambda cell, *_: {"validation_nll": {"value": values[cell.setting]}}
    )
    path = tmp_path / "tuning.json"
    done = CliRunner().invoke(tuning.main, ["--only", "small table", "--record", str(path)])
    assert done.exit_code == 0, done.output
    assert "ours deep" in done.output
    entry = json.loads(path.read_text())["small table"]
    assert set(entry["sets"]) == {cell.set for cell in trials("small table")}
    assert not any(one["reported"] for one in entry["sets"].values())
    assert entry["chosen"] == {"nsf": "deep", "ours": "deep"}
    assert entry["trials"]["nsf"]["fine"]["wine"] == 2.0
    assert check("small table", "nsf", "deep", path)["preset"] == presets.preset_digest("small table")
    with pytest.raises(InputError, match="records no choice"):
        check("table", "nsf", "default", path)


def test_a_trial_that_cannot_run_in_its_seconds_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recorded with its reason; a trial that broke off leaves the group without a choice."""
    cell = next(one for one in trials("small table") if (one.method, one.setting) == ("ours", "deep"))
    values = {"default": 3.0, "deep": 1.0, "fine": 2.0, "small": 4.0, "other": 5.0, "slow": 6.0}
    ran = {one: {"validation_nll": {"value": values[one.setting]}} for one in trials("small table")}
    monkeypatch.setattr(tuning, "missing", lambda *_: [cell])
    monkeypatch.setattr(tuning, "result_of", lambda one, *_: ran[one])
    path = tmp_path / "tuning.json"
    asked = ["--only", "small table", "--record", str(path)]

    monkeypatch.setattr(tuning, "run_round", lambda *_: [Failure(cell, "too few seconds", refused=True)])
    assert CliRunner().invoke(tuning.main, asked).exit_code == 0
    entry = json.loads(path.read_text())["small table"]
    assert entry["trials"]["ours"]["deep"][cell.set] is None
    assert entry["refused"] == {cell.name: "too few seconds"}

    path.unlink()
    monkeypatch.setattr(tuning, "run_round", lambda *_: [Failure(cell, "killed", refused=False)])
    assert CliRunner().invoke(tuning.main, asked).exit_code == 1
    assert not path.exists()


def test_tuning_asks_for_its_files() -> None:
    done = CliRunner().invoke(tuning.main, ["--only", "table", "--dry-run"])
    assert done.exit_code == 2
    assert "kin8nm.txt" in done.stderr
