"""Killed in the middle of a block: it goes on where it was, and ends with the uninterrupted digest."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from jko.disk.layout import Layout
from jko.disk.sealed import read_json
from tasks.adapters.store.plan import checkpointed_iteration
from tests.commands import Command
from tests.flows.test_resume import PATIENCE, blocks, digest, new_project, start, wait_for
from tests.projects import ROUGH

#: tests/tasks/test_checkpoint.py holds the same without processes that are killed
pytestmark = pytest.mark.slow
#: one block of some seconds
MATCHING, JKO = 1200, 250
TOTAL = MATCHING + JKO
SETTINGS = (
    "--preset", "smoke", "--set", "steps.count=1", "--set", "data.rows=2000",
    "--set", f"training.flow_matching_iterations={MATCHING}", "--set", f"training.iterations={JKO}", *ROUGH,
)  # fmt: skip
OFTEN = ("--set", "runtime.checkpoint_seconds=0.05")
GOES_ON = re.compile(rf"^block 1 goes on from iteration (\d+) of {TOTAL} \(checkpoint\)$", re.MULTILINE)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, server: str) -> str:
    """Digest of a run that nothing disturbed, with the same settings and so the same ``chain.json``."""
    folder = new_project(tmp_path_factory.mktemp("whole"))
    assert start(folder, "train", *SETTINGS, *OFTEN, "--chain", "chain").wait(PATIENCE) == 0
    assert "goes on" not in (folder / "log.txt").read_text()
    return digest(folder)


def kept(folder: Path) -> int:
    """Iterations of block 1 in its checkpoint, as a plan shows them."""
    layout = Layout(folder / "chain")
    chain = (read_json(layout.manifest) or {}).get("fingerprints", [])
    return (checkpointed_iteration(layout, 1, chain[1]) or 0) if len(chain) > 1 else 0


def kill_after(folder: Path, run: Command, iteration: int) -> int:
    """SIGKILL once this many iterations are kept; returns how many are."""
    wait_for(lambda: kept(folder) > iteration or run.poll() is not None, f"iteration {iteration}")
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL, (folder / "log.txt").read_text()
    assert not blocks(folder) - {0}, "the kill came too late to be in the middle of the block"
    assert kept(folder) > iteration
    return kept(folder)


def continued(folder: Path) -> list[int]:
    """From which iterations the runs so far went on."""
    return [int(found) for found in GOES_ON.findall((folder / "log.txt").read_text())]


def assert_complete(folder: Path, expected: str) -> None:
    assert digest(folder) == expected
    assert list((folder / "chain.run" / "checkpoints").iterdir()) == []


def test_killed_twice_in_one_block_it_goes_on_from_the_checkpoint(
    tmp_path: Path, server: str, uninterrupted: str
) -> None:
    """Once in each phase."""
    folder = new_project(tmp_path)
    first = kill_after(folder, start(folder, "train", *SETTINGS, *OFTEN, "--chain", "chain"), 100)
    assert first < MATCHING
    second = kill_after(folder, start(folder, "resume", "chain"), MATCHING)
    assert continued(folder) == [first]
    assert start(folder, "resume", "chain").wait(PATIENCE) == 0
    assert continued(folder) == [first, second]
    assert 0 < first < second < TOTAL
    assert_complete(folder, uninterrupted)


def test_a_damaged_checkpoint_begins_the_block_anew(tmp_path: Path, server: str, uninterrupted: str) -> None:
    folder = new_project(tmp_path)
    kill_after(folder, start(folder, "train", *SETTINGS, *OFTEN, "--chain", "chain"), 100)
    (path,) = (folder / "chain.run" / "checkpoints").glob("1-*.safetensors")
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    assert kept(folder) == 0
    assert start(folder, "resume", "chain").wait(PATIENCE) == 0
    said = (folder / "log.txt").read_text()
    assert said.count("warning: block 1 starts anew, its checkpoint cannot be used: it is damaged") == 1
    assert continued(folder) == []
    assert_complete(folder, uninterrupted)
