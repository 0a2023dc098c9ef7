"""What the tests of schedules share: the command line in a process of its own, runs from the server's API."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.commands import command
from tests.projects import ROUGH

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

ROOT = Path(__file__).resolve().parents[2]
#: a chain of one block in a second or two
TINY = (
    "--preset", "smoke", "--set", "steps.count=1", "--set", "training.flow_matching_iterations=20",
    "--set", "training.iterations=5", "--set", "data.rows=400", *ROUGH,
)  # fmt: skip
PATIENCE = 120.0


def environment(own: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **own}


def jko(folder: Path, *words: str, code: int = 0, **own: str) -> str:
    """Run ``jko`` in a folder to its end; its output."""
    done = command(folder, *words, **own)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    return said


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)
    return found


@contextmanager
def client_of(api: str) -> Iterator[SyncPrefectClient]:
    """A client of that server, also where Prefect was imported before its address and password were known."""
    # here and not above: its settings are those of the moment of its import
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    known = {PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: os.environ["PREFECT_API_AUTH_STRING"]}
    with temporary_settings(known), get_client(sync_client=True) as client:
        yield client


def runs_of(name: str, api: str) -> list[FlowRun]:
    """Runs of a schedule, by the time they were due."""
    from prefect.client.schemas.filters import DeploymentFilter
    from prefect.client.schemas.sorting import FlowRunSort

    which = DeploymentFilter.model_validate({"name": {"any_": [name]}})
    with client_of(api) as client:
        runs = client.read_flow_runs(
            deployment_filter=which, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200
        )
    return [run for run in runs if run.state is not None]


def states_of(name: str, api: str) -> list[str]:
    return [run.state_name or "" for run in runs_of(name, api)]


def up_record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / ".jko" / "up" / "up.json").read_text())


def family(folder: Path) -> list[psutil.Process]:
    """The supervisor and all that descends from it."""
    head = psutil.Process(up_record(folder)["pid"])
    return [head, *head.children(recursive=True)]


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    return psutil.wait_procs(processes, timeout=15)[1]


def new_project(folder: Path) -> Path:
    (folder / "dvc.yaml").write_text("stages: {}\n")
    return folder
