"""The one chain DVC owns: made by one command, recorded, compared, reproduced by stages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARAMS = """
seed: 0
data: {source: moons, rows: 400}
steps: {count: 2, first: 0.3}
network: {hidden: [8, 8]}
solver: {steps: 3}
training: {flow_matching_iterations: 20, iterations: 5, batch_size: 64}
blocks: {}
measure: {inversion_limit: 0.05}
stop: {certificate: null}
start: {weights: null}
evaluation: {samples: 50, mixture_components: [1]}
runtime: {threads: 1}
"""


def run(folder: Path, *words: str) -> str:
    """Run a command as in an activated environment; returns what it printed."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def git(folder: Path, *words: str) -> str:
    return run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A git and DVC project with the project's own stages, its chain made by ``jko train``."""
    folder = tmp_path_factory.mktemp("dvc")
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("jko", "tasks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    # the paper's experiment is no part of the chain: its results come with the repository
    stages = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(stages[: stages.index("\n  # No part of the chain")] + "\n")
    (folder / "data").mkdir()
    (folder / "params.yaml").write_text(PARAMS)
    git(folder, "init", "-q")
    run(folder, "dvc", "init", "-q")
    run(folder, "jko", "train")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


def test_after_the_one_command_dvc_is_up_to_date(made: Path) -> None:
    assert "up to date" in run(made, "dvc", "status")
    assert "data/chain.metrics.json" in git(made, "ls-files")
    assert "nothing to do" in run(made, "jko", "train")


@pytest.mark.slow
def test_stages_make_the_same_chain(made: Path) -> None:
    """The four stages, each a process of its own, give what one process gave."""
    before = json.loads(run(made, "jko", "status", "data/chain", "--json"))["digest"]
    lock = (made / "dvc.lock").read_text()
    for name in ("chain", "chain.run", "chain.evaluation", "chain.report", "prepared"):
        shutil.rmtree(made / "data" / name)
    run(made, "dvc", "repro", "--no-run-cache", "--force")
    assert json.loads(run(made, "jko", "status", "data/chain", "--json"))["digest"] == before
    assert "data/chain\n" in lock


def test_a_changed_parameter_shows_in_the_diffs(made: Path) -> None:
    (made / "params.yaml").write_text(PARAMS.replace("iterations: 5,", "iterations: 9,"))
    said = run(made, "jko", "train")
    assert "training.iterations 5 → 9" in said
    assert "training.iterations" in run(made, "dvc", "params", "diff")
    assert "test/nll" in run(made, "dvc", "metrics", "diff")
    assert "up to date" in run(made, "dvc", "status")


def test_other_settings_cannot_enter_the_chain_dvc_owns(made: Path) -> None:
    with pytest.raises(AssertionError, match=r"is the chain of params\.yaml"):
        run(made, "jko", "train", "--set", "seed=7", "--chain", "data/chain")
