"""prefect.yaml: deployed, and run by a plain worker in a copy of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.flows.schedules import ROOT, environment, new_project, states_of, still_running, wait_for

pytestmark = pytest.mark.slow


def prefect(folder: Path, *words: str) -> None:
    """Run Prefect's own command line as the comments of prefect.yaml say."""
    with (folder / "prefect.log").open("a") as log:
        subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *words], cwd=folder, check=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=120, env=environment({}),
        )  # fmt: skip


@pytest.fixture
def deployed(tmp_path: Path, server: str) -> Iterator[Path]:
    """The project's file with a short schedule and a tiny chain, deployed; a worker in that folder."""
    import psutil

    folder = new_project(tmp_path)
    for name in ("prefect.yaml", "prefect-pool.json"):
        shutil.copy(ROOT / name, folder)
    yaml = YAML(typ="safe")
    content = yaml.load((folder / "prefect.yaml").read_text())
    (deployment,) = content["deployments"]
    deployment["schedules"] = [{"interval": 5, "active": True}]
    deployment["parameters"]["config"] = {
        "data": {"source": "moons", "rows": 400}, "steps": {"count": 1}, "network": {"hidden": [16]},
        "training": {"flow_matching_iterations": 20, "iterations": 5, "validate_every": 5},
    }  # fmt: skip
    with (folder / "prefect.yaml").open("w") as stream:
        yaml.dump(content, stream)
    template = ("--base-job-template", "prefect-pool.json")
    if not pool_exists(server):
        prefect(folder, "work-pool", "create", "jko", "--type", "process", *template)
    prefect(folder, "deploy", "--all")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (folder / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "jko"], cwd=folder,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment({"PATH": path}),
        )  # fmt: skip
    yield folder
    prefect(folder, "deployment", "delete", "jko-scheduled/nightly")
    family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
    worker.terminate()
    worker.wait(60)
    assert not still_running(family)


def pool_exists(server: str) -> bool:
    from prefect.exceptions import ObjectNotFound

    from tests.flows.schedules import client_of

    with client_of(server) as client:
        try:
            client.read_work_pool("jko")
        except ObjectNotFound:
            return False
        return True


def test_the_deployment_in_the_file_fires_and_trains_where_the_worker_stands(
    deployed: Path, server: str
) -> None:
    def done() -> bool:
        states = states_of("nightly", server)
        assert "Failed" not in states
        assert "Crashed" not in states
        return {"Completed", "Skipped"} <= set(states)

    wait_for(done, "a run that trains and one that skips", 240)
    assert (deployed / ".jko" / "chains" / "nightly" / "chain.json").is_file()
    assert not (deployed / "flows").exists(), "no code was copied"
