"""An unfinished chain is known to DVC, travels to another clone and is finished there."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.commands import Command
from tests.projects import PARAMS, git, new_project, run

pytestmark = pytest.mark.slow
#: a second block long enough to be interrupted in
LONG = PARAMS.replace("iterations: 20", "iterations: 20000")


@pytest.fixture
def shared(tmp_path: Path, server: str) -> Path:
    """A project with a DVC remote, nothing trained yet."""
    folder = new_project(tmp_path / "first")
    run(folder, "dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "remote"))
    return folder


def digest(folder: Path) -> str:
    return json.loads(run(folder, "jko", "status", "data/chain", "--json"))["digest"]


def to_run(folder: Path) -> set[str]:
    """Stages that DVC would run."""
    return set(json.loads(run(folder, "dvc", "status", "--json")))


def test_a_partial_chain_is_pulled_and_finished_elsewhere(shared: Path, tmp_path: Path) -> None:
    run(shared, "jko", "train", "--stop-after", "1")
    assert to_run(shared) == {"train", "certify", "evaluate", "report"}, "the data are up to date"
    git(shared, "add", "-A")
    git(shared, "commit", "-q", "-m", "half a chain")
    run(shared, "dvc", "push", "-q")

    other = tmp_path / "second"
    git(tmp_path, "clone", "-q", str(shared), str(other))
    # what comes after the blocks was never made
    run(other, "dvc", "pull", "-q", "--allow-missing")
    found = json.loads(run(other, "jko", "plan", "data/chain", "--json"))
    assert [block["action"] for block in found["blocks"]] == ["done", "done", "train"]
    assert "kept: block 1, committed earlier" in run(other, "jko", "resume", "data/chain")
    assert to_run(other) == set()

    run(shared, "jko", "train")
    assert digest(shared) == digest(other)
    assert (shared / "dvc.lock").read_text() == (other / "dvc.lock").read_text()


def test_an_interrupted_chain_is_known_to_dvc(shared: Path) -> None:
    (shared / "params.yaml").write_text(
        LONG.replace("blocks: {}", "blocks: {1: {flow_matching_iterations: 5}}")
    )
    own = {"GIT_CONFIG_GLOBAL": os.devnull}
    job = Command(shared, "train", log=shared / "log.txt", environment=own)
    while not list((shared / "data" / "chain" / "blocks").glob("1-*/COMMIT.json")):
        assert job.poll() is None, (shared / "log.txt").read_text()
    job.send_signal(signal.SIGINT)
    assert job.wait(120) == 130
    assert "known to DVC" in (shared / "log.txt").read_text()
    assert to_run(shared) == {"train", "certify", "evaluate", "report"}
    assert run(shared, "dvc", "push").strip().endswith("pushed")
