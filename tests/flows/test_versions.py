"""The one chain DVC owns: made by one command, recorded, compared, reproduced by stages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.projects import PARAMS, git, new_project, run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A git and DVC project with the project's own stages, its chain made by ``jko train``."""
    folder = new_project(tmp_path_factory.mktemp("dvc"))
    run(folder, "jko", "train")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "trained")
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


@pytest.mark.slow
def test_a_changed_parameter_shows_in_the_diffs(made: Path) -> None:
    (made / "params.yaml").write_text(PARAMS.replace("iterations: 5,", "iterations: 9,"))
    said = run(made, "jko", "train")
    assert "training.iterations 5 → 9" in said
    assert "training.iterations" in run(made, "dvc", "params", "diff")
    assert "test/nll" in run(made, "dvc", "metrics", "diff")
    assert "up to date" in run(made, "dvc", "status")


@pytest.mark.slow
def test_experiments_of_dvc_show_the_metrics_of_their_chains(made: Path) -> None:
    listed = "steps: {count: null, sizes: [0.3, 0.36]}"
    (made / "params.yaml").write_text(PARAMS.replace("steps: {count: 2, first: 0.3}", listed))
    git(made, "add", "-A")
    git(made, "commit", "--allow-empty", "-qm", "step sizes are listed")
    metrics, blocks = {}, {}
    for name, change in (("short", "steps.sizes=[0.4]"), ("longer", "training.iterations=9")):
        run(made, "dvc", "exp", "run", "-S", change, "-n", name)
        metrics[name] = json.loads((made / "data" / "chain.metrics.json").read_text())
        chain = made / "data" / "chain"
        blocks[name] = sorted(path.name for path in (chain / "blocks").iterdir())
        manifest = json.loads((chain / "chain.json").read_text())
        wanted = [f"{k}-{found[:12]}" for k, found in enumerate(manifest["fingerprints"])]
        assert blocks[name] == wanted, "blocks of other settings must not stay in DVC's output"
    assert (metrics["short"]["steps"], len(blocks["short"])) == (1, 2)
    assert metrics["short"]["test/nll"] != metrics["longer"]["test/nll"]
    rows = json.loads(run(made, "dvc", "exp", "show", "--json"))
    revisions = [one["revs"][0] for row in rows for one in row["experiments"] or []]
    own = {one["name"]: one["data"]["metrics"]["data/chain.metrics.json"]["data"] for one in revisions}
    assert own == metrics


def test_other_settings_cannot_enter_the_chain_dvc_owns(made: Path) -> None:
    with pytest.raises(AssertionError, match=r"is the chain of params\.yaml"):
        run(made, "jko", "train", "--set", "seed=7", "--chain", "data/chain")
