"""Sweeps through the command line: shared blocks, resuming, failures, kills, tables and pictures."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from PIL import Image

from jko.disk.sealed import write_json
from tasks.adapters.system.processes import identity
from tests.cells import forked_cells
from tests.commands import Command
from tests.projects import ROUGH

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "--preset", "smoke", "--set", "data.rows=300", "--set", "network.hidden=[8]", "--set", "steps.count=3",
    "--set", "training.flow_matching_iterations=10", "--set", "training.iterations=4",
    "--set", "evaluation.samples=50", "--set", "evaluation.mixture_components=[1]", *ROUGH,
)  # fmt: skip


def begin(folder: Path, *words: str, **environment: str) -> Command:
    return Command(folder, *words, environment=environment)


def jko(
    folder: Path, *words: str, code: int = 0, prepare: Callable[[], None] | None = None
) -> tuple[str, str]:
    """Run the command line; returns what it printed and what it said."""
    done = Command(folder, *words, prepare=prepare).end()
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def logs(folder: Path, name: str) -> str:
    return "".join(path.read_text() for path in sorted((folder / ".jko/sweeps" / name / "logs").glob("*")))


def trained(folder: Path, name: str) -> int:
    """Blocks that really were trained, as the cells' processes said."""
    lines = [line for line in logs(folder, name).splitlines() if re.match(r"block \d+/\d+  γ", line)]
    return sum("(committed earlier)" not in line for line in lines)


def alone(folder: Path, chain: str, *words: str) -> str:
    """The digest of a chain that is trained by itself."""
    jko(folder, "train", *SMALL, *words, "--chain", chain, "--stop-after", "3")
    return json.loads(jko(folder, "status", chain, "--json")[0])["digest"]


def alive(folder: Path, name: str) -> list[int]:
    """Processes that work for a sweep, its own included."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if process.info["cwd"] == str(folder) and ("cell" in words or name in words):
            found.append(process.pid)
    return found


def until(condition: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "dvc.yaml").write_text("stages: {}\n")
    return folder


def test_shared_blocks_are_trained_once_and_a_finished_sweep_is_seen(workshop: Path) -> None:
    words = ("--grid", "blocks.3.iterations=4,7", "--json")
    printed, said = jko(workshop, "sweep", "one", *SMALL, *words, prepare=forked_cells)
    assert "cell 2/2  blocks.3.iterations=7 seed=0: test/nll" in said
    assert trained(workshop, "one") == 3 + 1
    found = json.loads(printed)
    rows = {row["blocks.3.iterations"]: row for row in found["cells"]}
    assert [(rows[k]["trained"], rows[k]["taken"]) for k in (4, 7)] == [(3, 0), (1, 2)]
    check_results(workshop / ".jko/sweeps/one", found)
    check_tracking(workshop, found, {"4", "7"})
    before = logs(workshop, "one")
    printed, said = jko(workshop, "sweep", "one", "--json")
    assert "nothing to do: all 2 cells of sweep one are finished" in said
    assert json.loads(printed) == found
    assert logs(workshop, "one") == before


@pytest.mark.slow
def test_a_sweep_grows_by_cells_that_are_the_chains_that_each_makes_alone(workshop: Path) -> None:
    jko(workshop, "sweep", "one", *SMALL, "--grid", "blocks.3.iterations=4,7")
    before = trained(workshop, "one")
    printed, said = jko(workshop, "sweep", "one", *SMALL, "--grid", "blocks.3.iterations=9", "--json")
    assert "1 cells added, 2 cells of earlier definitions kept" in said
    assert "2 of 3 cells were finished earlier" in said
    assert trained(workshop, "one") == before + 1
    found = json.loads(printed)
    for row in found["cells"]:
        k = row["blocks.3.iterations"]
        assert row["digest"] == alone(workshop, f"alone-{k}", "--set", f"blocks.3.iterations={k}")
    check_results(workshop / ".jko/sweeps/one", found)
    check_tracking(workshop, found, {"4", "7", "9"})


def check_results(folder: Path, found: dict[str, Any]) -> None:
    """Order, paired differences and files."""
    cells = found["cells"]
    nlls = [row["test/nll"] for row in cells]
    assert nlls == sorted(nlls)
    assert found["best"] == cells[0]["cell"]
    for row in cells[1:]:
        # the mean of paired differences is the difference of means, but its error is smaller
        assert row["difference"] == pytest.approx(row["test/nll"] - nlls[0], abs=1e-9)
        assert 0 < row["difference_se"] < row["test/nll_se"]
        assert row["verdict"] in ("worse", "not distinguishable")
    assert all(row["epsilon"] > 0 and row["cpu_s"] > 0 for row in cells)
    frame = pd.read_parquet(folder / "table.parquet")
    assert frame.cell.tolist() == [row["cell"] for row in cells]
    text = pd.read_csv(folder / "table.csv")
    assert text["test/nll"].tolist() == pytest.approx(nlls)
    picture = Image.open(folder / "sweep.png")
    assert picture.width > 400
    assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 20


def check_tracking(folder: Path, found: dict[str, Any], values: set[str]) -> None:
    """Every cell is one MLflow run with the sweep's tag and its settings."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name("jko")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`jko.sweep` = 'one'")
    own = {
        run.data.tags["jko.sweep_cell"]: run.data for run in runs if str(folder) in run.data.tags["jko.chain"]
    }
    assert {run.params["blocks.3.iterations"] for run in own.values()} == values
    assert own[found["best"]].metrics["test/nll"] == found["cells"][0]["test/nll"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("none",), "there is no sweep none yet; say what to vary"),
        (("a/b", "--seeds", "0,1"), "'a/b' cannot name a sweep"),
        (("new", "--preset", "smoke", "--seeds", "0,x"), "--seeds '0,x': whole numbers"),
        (("new", "--preset", "smoke", "--grid", "solver.steps=3,0"), "combination solver.steps=0 seed=0: so"),
        (("new", "--data", "no.csv", "--grid", "solver.steps=3,4"), "no.csv': no such file"),
        (("new", "--data", "bad.csv", "--grid", "solver.steps=3,4"), "combination solver.steps=3 seed=0: b"),
    ],
)  # fmt: skip
def test_bad_requests_get_one_sentence(workshop: Path, words: tuple[str, ...], sentence: str) -> None:
    (workshop / "bad.csv").write_text("a,b\n1,x\n")
    said = jko(workshop, "sweep", *words, code=2)[1]
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
    assert not (workshop / ".jko/sweeps/new").exists()


@pytest.mark.slow
def test_processes_side_by_side_make_the_chains_that_each_makes_alone(workshop: Path) -> None:
    words = ("--grid", "blocks.2.jitter=0,0.1", "--grid", "blocks.3.iterations=4,7")
    printed, said = jko(
        workshop, "sweep", "two", *SMALL, *words, "--runner", "processes", "--jobs", "2", "--json"
    )
    assert said.count("trained once for several cells") == 3
    assert trained(workshop, "two") == 1 + 2 + 4
    for row in json.loads(printed)["cells"]:
        jitter, iterations = row["blocks.2.jitter"], row["blocks.3.iterations"]
        own = ("--set", f"blocks.2.jitter={jitter}", "--set", f"blocks.3.iterations={iterations}")
        assert row["digest"] == alone(workshop, f"alone-{row['cell']}", *own)
    assert not alive(workshop, "two")


@pytest.mark.slow
def test_random_combinations_over_seeds_with_failures(workshop: Path) -> None:
    """Data are prepared once a seed; a chain that fails in shared blocks fails for all that share them."""
    words = (
        "--random", "training.iterations=3:4", "--random", "blocks.3.learning_rate=1e-4:1e-2:log",
        "--random", "solver.steps=1,4", "--draws", "4", "--sweep-seed", "15", "--seeds", "0,1",
        "--set", "measure.inversion_limit=2e-4",
    )  # fmt: skip
    printed, said = jko(workshop, "sweep", "draws", *SMALL, *words, "--jobs", "2", "--json", code=3)
    found = json.loads(printed)
    # drawn are twice 3 iterations with 4 solver steps and twice 4 iterations with 1: too few to invert
    states = [row["state"] for row in found["cells"]]
    assert states == ["complete"] * 4 + ["failed"] * 4
    assert sorted((row["trained"], row["taken"]) for row in found["cells"][:4]) == [(1, 2)] * 2 + [(3, 0)] * 2
    for row in found["cells"][4:]:
        assert row["solver.steps"] == 1
        assert "does not invert" in row["why"]
    assert sorted(row["trained"] for row in found["cells"][4:]) == [0, 0, 1, 1]
    assert sum("in blocks shared with cell" in row["why"] for row in found["cells"]) == 2
    assert said.count(", data") == 2
    settings = found["settings"]
    assert [own["seeds"] for own in settings] == [2, 2]
    for own in settings:
        values = [row["test/nll"] for row in found["cells"] if row["cell"] in own["cells"]]
        assert own["test/nll_mean"] == pytest.approx(sum(values) / len(values))
    differences = [row["difference"] for row in found["cells"] if row["difference"] is not None]
    assert len(differences) == 2, "one for each seed, whose cells see the same test rows"
    assert (workshop / ".jko/sweeps/draws/settings.csv").is_file()
    before = logs(workshop, "draws")
    said = jko(workshop, "sweep", "draws", code=3)[1]
    assert "nothing to do" in said
    assert logs(workshop, "draws") == before
    jko(workshop, "sweep", "draws", "--retry", code=3)
    assert logs(workshop, "draws") != before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "runner"), [("SIGKILL", "processes"), ("SIGKILL", "threads"), ("SIGTERM", "threads")]
)
def test_a_stopped_sweep_leaves_no_process_and_goes_on(
    tmp_path: Path, server: str, how: str, runner: str
) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    words = ("sweep", "cut", *SMALL, "--set", "training.iterations=300", "--seeds", "0,1",
             "--jobs", "2", "--runner", runner)  # fmt: skip
    run = begin(tmp_path, *words)
    chains = tmp_path / ".jko/sweeps/cut/chains"
    until(lambda: len(list(chains.glob("*/blocks/1-*"))) == 2, 300, "two cells train their first block")
    run.send_signal(getattr(signal, how))
    ended = run.end(120)
    said = ended.stderr
    if how == "SIGTERM":
        assert ended.returncode == 130
        assert "to continue: jko sweep cut" in said
        assert not alive(tmp_path, "cut")
    until(lambda: not alive(tmp_path, "cut"), 30, "the cells end with the sweep")
    blocks = {path.name for path in chains.glob("*/blocks/*")}
    assert not list(chains.glob("*.report")), "the stop came too late to be in the middle"
    found = json.loads(jko(tmp_path, "sweep", "cut", "--json", "--jobs", "2")[0])
    assert blocks <= {path.name for path in chains.glob("*/blocks/*")}
    for row in found["cells"]:
        own = ("--set", "training.iterations=300", "--seed", str(row["seed"]))
        assert row["digest"] == alone(tmp_path, f"alone-{row['seed']}", *own)


@pytest.mark.slow
def test_with_a_server_of_its_own_a_sweep_leaves_nothing_running(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    own = {
        "PREFECT_API_URL": "", "PREFECT_PROFILES_PATH": str(tmp_path / "profiles.toml"),
        "PREFECT_HOME": str(tmp_path / "prefect"), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }  # fmt: skip
    run = begin(tmp_path, "sweep", "own", *SMALL, "--seeds", "0,1", "--jobs", "2", **own)
    ended = run.end(600)
    said = ended.stderr
    assert ended.returncode == 0, ended.stdout + said
    assert "warning" not in said + logs(tmp_path, "own")
    until(lambda: not alive(tmp_path, "own"), 5, "no process is left")
    assert not (tmp_path / ".jko/server/keeper.json").exists()
    said = jko(tmp_path, "sweep", "own", "--seeds", "2", code=2)[1]
    assert "sweep own starts from other settings" in said, "the digits are no moons"


def test_a_sweep_is_run_by_one_process(workshop: Path) -> None:
    import filelock

    folder = workshop / ".jko/sweeps/held"
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / "lock"):
        said = jko(workshop, "sweep", "held", *SMALL, "--seeds", "0,1", code=4)[1]
        assert "sweep held is being run by another process" in said
        write_json(folder / "holder.json", identity().plain())
        said = jko(workshop, "sweep", "held", *SMALL, "--seeds", "0,1", code=4)[1]
    assert f"sweep held is being run by process {os.getpid()}" in said
