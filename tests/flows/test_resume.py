"""Killed at any moment, started again: the digest of an uninterrupted run, and no process left."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from jko.disk.sealed import read_json
from tests.commands import Command, command
from tests.flows.schedules import client_of
from tests.projects import ROUGH

#: blocks long enough (about a second each) to be killed in
SETTINGS = (
    "--preset", "smoke", "--set", "training.flow_matching_iterations=500",
    "--set", "training.iterations=60", "--set", "data.rows=2000", *ROUGH,
)  # fmt: skip
#: up to the last block: a digest needs no evaluation and no report
BLOCKS = ("--stop-after", "3")
PATIENCE = 120.0


def start(folder: Path, *words: str, **environment: str) -> Command:
    """Start ``jko`` in a folder, its output in ``log.txt``."""
    return Command(folder, *words, log=folder / "log.txt", environment=environment)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def blocks(folder: Path) -> set[int]:
    """Indices of committed blocks."""
    found = (folder / "chain" / "blocks").glob("*/COMMIT.json")
    return {int(path.parent.name.split("-")[0]) for path in found if not path.parent.name.startswith(".")}


def digest(folder: Path) -> str:
    found = json.loads(command(folder, "status", "chain", "--json").stdout)
    assert found["state"] == "complete", (folder / "log.txt").read_text()
    return found["digest"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, server: str) -> str:
    """Digest of a run that nothing disturbed."""
    folder = new_project(tmp_path_factory.mktemp("whole"))
    assert start(folder, "train", *SETTINGS, "--chain", "chain", *BLOCKS).wait(PATIENCE) == 0
    return digest(folder)


def new_project(folder: Path) -> Path:
    (folder / "dvc.yaml").write_text("stages: {}\n")
    return folder


@pytest.mark.parametrize("killed_in", [[2, 3]])
def test_killed_in_the_middle_of_blocks_2_and_3(
    tmp_path: Path, server: str, uninterrupted: str, killed_in: list[int]
) -> None:
    folder = new_project(tmp_path)
    for k in killed_in:
        run = start(folder, "train", *SETTINGS, "--chain", "chain")
        wait_for(lambda k=k, run=run: k - 1 in blocks(folder) or run.poll() is not None, f"block {k - 1}")
        time.sleep(0.25)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        assert max(blocks(folder)) == k - 1, "the kill came too late to be in the middle of a block"
    assert start(folder, "resume", "chain").wait(PATIENCE) == 0
    assert digest(folder) == uninterrupted
    said = (folder / "log.txt").read_text()
    assert "kept: block 1, committed earlier" in said
    assert "took over the run" in said
    assert_one_truthful_run(folder, server)


def assert_one_truthful_run(folder: Path, server: str) -> None:
    """MLflow's run was reopened, and the runs that were killed are Crashed in Prefect."""
    from mlflow.tracking import MlflowClient
    from prefect.client.schemas.sorting import FlowRunSort

    client = MlflowClient()
    query = f"tags.`jko.chain` = '{(folder / 'chain').resolve()}'"
    runs = client.search_runs([client.get_experiment_by_name("jko").experiment_id], query)
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert runs[0].data.tags["jko.crashed"] == "true"
    history = client.get_metric_history(runs[0].info.run_id, "step/nll")
    assert sorted(entry.step for entry in history) == [1, 2, 3]
    with client_of(server) as prefect:
        newest = prefect.read_flow_runs(sort=FlowRunSort.START_TIME_DESC)
    states = [run.state.name for run in newest if run.parameters.get("root") == str(folder)]
    assert sorted(states) == ["Completed", "Crashed", "Crashed"]


def test_asked_to_stop_it_says_how_to_go_on(tmp_path: Path, server: str, uninterrupted: str) -> None:
    """Twice, the second time by Ctrl-C."""
    folder = new_project(tmp_path)
    for k, end in ((1, signal.SIGTERM), (2, signal.SIGINT)):
        run = start(folder, "train", *SETTINGS, "--chain", "chain")
        wait_for(lambda k=k, run=run: k in blocks(folder) or run.poll() is not None, f"block {k}")
        run.send_signal(end)
        assert run.wait(PATIENCE) == 130
        assert (folder / "log.txt").read_text().strip().splitlines()[-1] == "to continue: jko resume chain"
        assert max(blocks(folder)) == k, "the signal came too late to be in the middle of the chain"
    assert start(folder, "resume", "chain", *BLOCKS).wait(PATIENCE) == 0
    assert digest(folder) == uninterrupted


def test_a_kill_leaves_no_server_behind(tmp_path: Path) -> None:
    """With its own embedded server: the keeper sees the death and stops it."""
    folder = new_project(tmp_path)
    (folder / "profiles.toml").write_text("")
    own = {
        "PREFECT_API_URL": "", "PREFECT_PROFILES_PATH": str(folder / "profiles.toml"),
        "PREFECT_HOME": str(folder / "prefect"), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }  # fmt: skip
    run = start(folder, "train", *SETTINGS, "--chain", "chain", **own)
    record = folder / ".jko" / "server" / "keeper.json"
    wait_for(lambda: isinstance(read_json(record), dict), "the keeper")
    keeper = psutil.Process(read_json(record)["pid"])
    wait_for(lambda: bool(keeper.children()), "the server")
    family = [keeper, *keeper.children(recursive=True)]
    run.send_signal(signal.SIGKILL)
    run.wait()
    gone, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert len(gone) >= 2
