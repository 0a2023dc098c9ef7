"""Prefect's server dies in the middle of a run: the run does not, and it ends."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import psutil
import pytest

from flows.views.status import chain_status
from jko.disk.layout import Layout
from jko.disk.sealed import read_json
from tests.commands import Command, command

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (
    "--preset", "smoke", "--set", "training.flow_matching_iterations=400",
    "--set", "training.iterations=20", "--set", "data.rows=1000", "--set", "steps.count=2",
)  # fmt: skip


@pytest.mark.slow
def test_a_server_lost_in_the_middle_costs_a_warning(tmp_path: Path, home: Path, server: str) -> None:
    """With a server of its own, killed with its keeper once block 1 is committed."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "profiles.toml").write_text("")
    (tmp_path / "prefect").mkdir()
    migrated = sqlite3.connect(Path(os.environ["PREFECT_HOME"]) / "prefect.db")
    with sqlite3.connect(tmp_path / "prefect" / "prefect.db") as copy:  # spares it seconds of migrations
        migrated.backup(copy)
    own = {
        "PREFECT_API_URL": "", "PREFECT_PROFILES_PATH": str(tmp_path / "profiles.toml"),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        # a server that is gone is asked once more, after 2 s, and not three times in 14 s
        "PREFECT_CLIENT_MAX_RETRIES": "1",
    }  # fmt: skip
    words = ("train", *SETTINGS, "--chain", "chain")
    run = Command(tmp_path, *words, log=tmp_path / "log.txt", environment=own)
    deadline = time.monotonic() + 180
    while not list((tmp_path / "chain" / "blocks").glob("1-*/COMMIT.json")):
        assert run.poll() is None, (tmp_path / "log.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    keeper = psutil.Process(read_json(tmp_path / ".jko" / "server" / "keeper.json")["pid"])
    for process in (keeper, *keeper.children(recursive=True)):
        process.kill()
    assert run.wait(120) == 0, (tmp_path / "log.txt").read_text()
    said = (tmp_path / "log.txt").read_text()
    assert said.count("warning: Prefect could not be told how the run ended") == 1
    assert "report chain.report/report.html" in said
    assert chain_status(Layout(tmp_path / "chain"))["state"] == "complete"
    again = command(tmp_path, *words, **own)
    assert again.returncode == 0
    assert "nothing to do: all 2 blocks" in again.stderr
