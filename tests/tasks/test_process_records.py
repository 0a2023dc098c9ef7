"""Files that name processes, runs and credentials: one of another shape says nothing and stops nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.scheduling.schedule_state import ScheduleState, state_file
from flows.sweeps.sweep_cells import running_processes
from jko.config import parse_config
from jko.core.errors import InputError
from jko.disk.sealed import read_model, write_json
from jko.presets import read_preset
from tasks.adapters.mlflow.tracking import RunRecord
from tasks.adapters.prefect.prefect_runs import OpenRun
from tasks.adapters.scheduling.credential import credential, credential_file
from tasks.adapters.scheduling.server import running_server
from tasks.adapters.scheduling.up import take_down
from tasks.adapters.scheduling.up_state import home_of, record_of
from tasks.adapters.system.processes import ProcessRecord, end_family, identity, lives
from tasks.sweep.cells import Cell, Sweep, known_failure, read_sweep, remember_failure, write_sweep

#: no record of ours: no object, other fields, other types, numbers no system has
OTHERS = (
    "[1]", "3", "null", "{}", '{"pid": "1"}', '{"pid": true, "started": 1.0}',
    '{"pid": 10000000000000000000, "started": 1.0}', '{"pid": -1, "started": 0.0}',
    '{"pid": 1, "started": "now", "children": 3, "address": []}', "{", "",
)  # fmt: skip


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_process_is_found_again_by_its_record(tmp_path: Path) -> None:
    write_json(tmp_path / "own.json", identity().plain())
    record = read_model(tmp_path / "own.json", ProcessRecord)
    assert record is not None
    assert record.pid == os.getpid()
    assert lives(record)
    assert not lives(record.model_copy(update={"started": record.started - 60}))


def test_a_process_that_nobody_waited_for_is_not_waited_for_either() -> None:
    """A keeper whose first user works on keeps its number when it has ended; another user stops at once."""
    words = (
        "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            sleeper = psutil.Process(int(parent.stdout.readline()))
            record, begun = identity(sleeper.pid), time.monotonic()
            assert end_family(record, 3)
            assert time.monotonic() - begun < 2
            assert sleeper.status() == psutil.STATUS_ZOMBIE
        finally:
            parent.kill()


@pytest.mark.parametrize("text", OTHERS)
def test_a_record_of_another_shape_is_nobodys(tmp_path: Path, text: str) -> None:
    write(home_of(tmp_path) / "up.json", text)
    write(home_of(tmp_path) / "runs" / "one.json", text)
    write(tmp_path / ".jko" / "server" / "keeper.json", text)
    assert record_of(tmp_path) is None
    assert running_server(tmp_path) is None
    assert take_down(tmp_path) == []
    for kind in (RunRecord, OpenRun):
        assert read_model(home_of(tmp_path) / "runs" / "one.json", kind) is None


@pytest.mark.parametrize("text", OTHERS)
def test_a_credential_of_another_shape_is_made_again(tmp_path: Path, text: str) -> None:
    write(credential_file(tmp_path), text)
    made = credential(tmp_path)
    assert credential(tmp_path) == made
    assert json.loads(credential_file(tmp_path).read_text())["credential"] == made
    write_json(credential_file(tmp_path), {"project": str(tmp_path.resolve()), "credential": "jko:short"})
    assert credential(tmp_path) not in (made, "jko:short")


@pytest.mark.parametrize("text", OTHERS)
def test_a_schedule_begins_anew_where_its_state_is_of_another_shape(tmp_path: Path, text: str) -> None:
    known = ScheduleState(last="one", checked="today")
    known.write(tmp_path, "nightly")
    assert ScheduleState.read(tmp_path, "nightly") == known
    write(state_file(tmp_path, "nightly"), '{"seen": [1], "last": 3}' if text == "{}" else text)
    assert ScheduleState.read(tmp_path, "nightly") == ScheduleState()


@pytest.mark.parametrize("text", OTHERS)
def test_a_sweep_of_another_shape_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    config = parse_config(read_preset("gaussian"))
    sweep = Sweep("one", tmp_path, config, ("seed",), (), (Cell.of(config),), "test_nll")
    write_sweep(sweep)
    assert read_sweep(tmp_path) == sweep
    remember_failure(sweep, sweep.cells[0], "rows", "it diverged")
    assert known_failure(sweep, sweep.cells[0], "rows") == "it diverged"
    write(sweep.failure(sweep.cells[0].name), text)
    write(sweep.running("any"), text)
    assert known_failure(sweep, sweep.cells[0], "rows") is None
    assert running_processes(sweep) == []
    write(tmp_path / "sweep.json", text)
    with pytest.raises(InputError, match="this is no sweep"):
        read_sweep(tmp_path)
