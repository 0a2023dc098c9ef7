"""What ``jko up`` keeps alive: restarted when it dies, found and ended when its keeper was killed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tasks.adapters.scheduling.credential import credential
from tasks.adapters.scheduling.up import answers
from tests.flows.schedules import (
    TINY,
    client_of,
    family,
    jko,
    new_project,
    runs_of,
    still_running,
    up_record,
    wait_for,
)

pytestmark = pytest.mark.slow
#: a block that takes minutes: there is time to kill it
LONG = (*TINY, "--set", "training.iterations=100000")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a user who has named no server; the tests' clients know the project's password."""
    new_project(tmp_path)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", credential(tmp_path))
    (tmp_path / "profiles.toml").write_text("")
    return {
        "PREFECT_API_URL": "", "PREFECT_PROFILES_PATH": str(tmp_path / "profiles.toml"),
        "PREFECT_HOME": str(tmp_path / ".jko" / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/.jko/mlflow.db",
    }  # fmt: skip


@pytest.fixture
def raised(tmp_path: Path, own: dict[str, str]) -> Iterator[str]:
    """The API of a Prefect server that ``jko up`` started; nothing is left after the test."""
    jko(tmp_path, "up", **own)
    seen = family(tmp_path)
    yield up_record(tmp_path)["api"]
    if (tmp_path / ".jko" / "up" / "up.json").exists():
        seen += family(tmp_path) if psutil.pid_exists(up_record(tmp_path)["pid"]) else []
    jko(tmp_path, "down", **own)
    assert not still_running(seen)
    assert not of_project(tmp_path)


def of_project(folder: Path) -> list[psutil.Process]:
    """Processes whose command line or environment names the project."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if str(folder) in words or process.environ().get("PREFECT_HOME", "").startswith(str(folder)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def start_run(api: str, name: str) -> str:
    with client_of(api) as client:
        found = client.read_deployment_by_name(f"jko-scheduled/{name}")
        return str(client.create_flow_run_from_deployment(found.id).id)


def state_of_run(api: str, name: str, run: str) -> str:
    return next(found.state_name or "" for found in runs_of(name, api) if str(found.id) == run)


def on_record(folder: Path, run: str) -> bool:
    """Whether a run works, and its chain is held."""
    return (folder / ".jko" / "up" / "runs" / f"{run}.json").exists() and (
        folder / ".jko" / "chains" / "long.run" / "holder.json"
    ).exists()


def test_what_dies_is_started_again_and_down_ends_a_run_in_words(
    tmp_path: Path, own: dict[str, str], raised: str
) -> None:
    jko(tmp_path, "schedule", *LONG, "--interval", "30d", "--name", "long", **own)
    run = start_run(raised, "long")
    wait_for(lambda: on_record(tmp_path, run), "a run that trains")

    # the Prefect server: the same address again, and the run goes on
    keeper = json.loads((tmp_path / ".jko" / "server" / "keeper.json").read_text())
    (server,) = psutil.Process(keeper["pid"]).children()
    server.kill()
    wait_for(lambda: not server.is_running(), "the end of the server")
    wait_for(lambda: answers(f"{raised}/health"), "a new server")
    # MLflow
    page = up_record(tmp_path)["mlflow"]
    old = up_record(tmp_path)["children"]["mlflow"]
    psutil.Process(old["pid"]).kill()
    wait_for(lambda: up_record(tmp_path)["children"]["mlflow"]["pid"] != old["pid"], "a new MLflow")
    wait_for(lambda: answers(f"{page}/health"), "MLflow's answer")
    assert state_of_run(raised, "long", run) == "Running"
    assert on_record(tmp_path, run)

    said = jko(tmp_path, "down", **own)
    assert "the runner of schedules" in said
    assert not of_project(tmp_path)
    jko(tmp_path, "up", **own)
    api = up_record(tmp_path)["api"]
    assert state_of_run(api, "long", run) == "Cancelled"


def test_a_killed_supervisor_leaves_nothing_behind(tmp_path: Path, own: dict[str, str], raised: str) -> None:
    jko(tmp_path, "schedule", *LONG, "--interval", "30d", "--name", "long", **own)
    run = start_run(raised, "long")
    wait_for(lambda: on_record(tmp_path, run), "a run that trains")
    first = family(tmp_path)
    psutil.Process(up_record(tmp_path)["pid"]).send_signal(signal.SIGKILL)
    # the next up ends what is left, and marks the run that it ended or found dead
    said = jko(tmp_path, "up", **own)
    assert "up already" not in said
    assert not still_running(first)
    api = up_record(tmp_path)["api"]
    wait_for(lambda: state_of_run(api, "long", run) in ("Crashed", "Cancelled"), "the mark on the dead run")
    # its turn is free: the next run takes the chain over
    following = start_run(api, "long")
    wait_for(lambda: state_of_run(api, "long", following) == "Running", "the next run")
    wait_for(lambda: on_record(tmp_path, following), "its work")
    # everything at once
    second = family(tmp_path)
    for process in second:
        process.kill()
    said = jko(tmp_path, "down", **own)
    assert not still_running(second)
    assert not of_project(tmp_path)
    assert jko(tmp_path, "down", **own).strip() == "nothing was up"
    jko(tmp_path, "up", **own)
    api = up_record(tmp_path)["api"]
    assert state_of_run(api, "long", following) == "Crashed"


def test_other_commands_use_the_server_that_is_up(tmp_path: Path, own: dict[str, str], raised: str) -> None:
    begun = time.monotonic()
    jko(tmp_path, "train", *TINY, "--chain", "chain", **own)
    spent = time.monotonic() - begun
    with client_of(raised) as client:
        names = [run.parameters.get("chain") for run in client.read_flow_runs()]
    assert "chain" in names
    assert answers(f"{raised}/health"), f"the server stays after a command of {spent:.0f} s"
