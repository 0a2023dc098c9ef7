"""Projects with git and DVC for tests, and commands run in them as in an activated environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.main import main
from tests.commands import command
from tests.together import made_once

ROOT = Path(__file__).resolve().parents[1]
PARAMS = """
seed: 0
data: {source: moons, rows: 400}
steps: {count: 2, first: 0.3}
scheme: backward_euler
target: {potential: standard_gaussian}
network: {hidden: [8, 8]}
solver: {steps: 3}
training: {flow_matching_iterations: 20, iterations: 5, batch_size: 64}
blocks: {}
measure: {inversion_limit: 0.05, samples: 200, resolutions: [0.5]}
stop: {certificate: null}
start: {weights: null}
evaluation: {samples: 50, mixture_components: [1]}
defence: {share: auto}
runtime: {threads: 1}
"""


#: few samples at one resolution, where a test is about something else
ROUGH = ("--set", "measure.samples=200", "--set", "measure.resolutions=[0.5]")


def run(folder: Path, *words: str) -> str:
    """Run a command as in an activated environment; returns what it printed."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "PYTHONPATH": str(ROOT)}
    for role in ("AUTHOR", "COMMITTER"):  # DVC commits its experiments
        environment |= {f"GIT_{role}_NAME": "t", f"GIT_{role}_EMAIL": "t@example.org"}
    if words[0] == "jko":
        done = command(folder, *words[1:], **environment)
    else:
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, timeout=300, check=False, env=environment
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def git(folder: Path, *words: str) -> str:
    return run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words)


def new_project(folder: Path) -> Path:
    """A git and DVC project with the project's own stages."""
    folder.mkdir(exist_ok=True)
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
    return folder


def call(patch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the command line in this process; returns the exit code."""
    patch.setattr("sys.argv", ["jko", *words])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def migrate(folder: Path) -> None:
    """Make an empty store of MLflow, whose tables take seconds."""
    from mlflow.tracking import MlflowClient

    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()


def new_store(path: Path) -> str:
    """An empty store of MLflow in a file; its address."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(made_once("store", migrate) / "mlflow.db", path)
    return f"sqlite:///{path.resolve()}"


def trained_project(folder: Path, *commands: tuple[str, ...]) -> Path:
    """A project in an empty folder, in which these ``jko`` commands have succeeded."""
    (folder / "dvc.yaml").write_text("stages: {}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in commands:
            assert call(patch, *words) == 0
    return folder
