"""Runs compared through the command line: folders and MLflow's runs, the page, the gate, a moved project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jko.disk.sealed import read_json
from tasks.adapters.mlflow.runs import Runs
from tests.commands import command
from tests.projects import ROUGH, call, new_store

TINY = (
    "--set", "training.flow_matching_iterations=40", "--set", "training.iterations=5",
    "--set", "steps.count=2", "--set", "data.rows=600", "--set", "evaluation.samples=100",
    "--set", "measure.critic_centres=5", *ROUGH,
)  # fmt: skip
LONGER = ("--set", "training.flow_matching_iterations=120")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[Path]:
    """A project with its own store: ``a``, ``b`` trained longer on the same data, ``c`` of another seed."""
    root = tmp_path_factory.mktemp("compared") / "project"
    root.mkdir()
    (root / "dvc.yaml").write_text("stages: {}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("MLFLOW_TRACKING_URI", new_store(root / ".jko" / "mlflow.db"))
        for name, more in (("a", ()), ("b", LONGER), ("c", ("--seed", "1"))):
            assert call(patch, "train", "--preset", "smoke", *TINY, *more, "--chain", name) == 0
        yield root


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.resolve() / '.jko' / 'mlflow.db'}")
    return monkeypatch


def run_id(project: Path, chain: str) -> str:
    record = next((project / f"{chain}.run" / "tracking").glob("*.json"))
    return read_json(record)["run_id"]


def compared(patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    capsys.readouterr()
    assert call(patch, "compare", "--json", *words) == 0
    return json.loads(capsys.readouterr().out)


def log_density(project: Path, chain: str) -> np.ndarray:
    return pd.read_parquet(project / f"{chain}.evaluation" / "test_rows.parquet")["log_density"].to_numpy()


def test_the_paired_difference_is_that_of_the_stored_rows(
    project: Path, inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(inside, capsys, "a", "b")
    values = log_density(project, "a") - log_density(project, "b")
    pair = found["paired"][0]
    assert pair["difference"] == pytest.approx(values.mean())
    assert pair["se"] == pytest.approx(values.std(ddof=1) / np.sqrt(len(values)))
    assert pair["rows"] == 60
    assert pair["median"] == pytest.approx(np.median(values))
    assert pair["trimmed"] == pytest.approx(np.sort(values)[1:-1].mean())
    assert pair["worse_share"] == pytest.approx((values > 0).mean())
    assert (pair["dominating_rows"], pair["unreliable"]) == ([], None)
    nll = [run["metrics"]["test/nll"] for run in found["runs"]]
    assert pair["difference"] == pytest.approx(nll[1] - nll[0])
    # trained three times as long, which 60 rows tell
    assert pair["verdict"] == "better"
    assert compared(inside, capsys, "b", "a")["paired"][0]["verdict"] == "worse"
    assert found["settings"] == {"training.flow_matching_iterations": {"a": "40", "b": "120"}}
    assert {(row["run"], row["step"]) for row in found["steps"] if row["name"] == "kl_drop"} == {
        ("a", 1), ("a", 2), ("b", 1), ("b", 2),
    }  # fmt: skip


def test_a_run_says_the_same_as_its_chain(
    project: Path, inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The record in MLflow holds all that the files do."""
    files = compared(inside, capsys, "a", "b")
    kept = compared(inside, capsys, run_id(project, "a"), run_id(project, "b")[:12])
    assert [run["metrics"] for run in kept["runs"]] == [run["metrics"] for run in files["runs"]]
    assert [run["data_version"] for run in kept["runs"]] == [run["data_version"] for run in files["runs"]]
    assert {key: kept["paired"][0][key] for key in ("difference", "se", "verdict")} == {
        key: files["paired"][0][key] for key in ("difference", "se", "verdict")
    }
    assert {tuple(row.values())[1:] for row in kept["steps"]} == {
        tuple(row.values())[1:] for row in files["steps"]
    }
    assert files["runs"][0]["metrics"]["time/train_cpu_s"] > 0


@pytest.mark.slow
def test_a_run_is_compared_after_its_chain_was_retrained_and_deleted(
    project: Path, inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("d", "d.run", "d.evaluation", "d.report", "d.certificate.json", "d.metrics.json")
    short = ("--set", "steps.count=1")
    assert call(inside, "train", "--preset", "smoke", *TINY, *short, "--chain", "d") == 0
    first = run_id(project, "d")
    before = compared(inside, capsys, first, run_id(project, "a"))
    assert call(inside, "train", "--preset", "smoke", *TINY, *short, *LONGER, "--chain", "d") == 0
    assert compared(inside, capsys, first, run_id(project, "a"))["paired"] == before["paired"]
    for name in names:
        shutil.rmtree(name) if Path(name).is_dir() else Path(name).unlink()
    assert compared(inside, capsys, first, run_id(project, "a"))["paired"] == before["paired"]
    assert before["runs"][0]["metrics"]["steps"] == 1


def test_other_data_get_no_verdict(inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(inside, capsys, "a", "c")
    assert found["runs"][0]["test_digest"] != found["runs"][1]["test_digest"]
    assert found["paired"][0]["verdict"] is None
    assert "other data" in found["paired"][0]["reason"]
    assert call(inside, "compare", "a", "c") == 0
    said = capsys.readouterr().out
    assert "no verdict; the runs are on other data" in said
    row = next(line for line in said.splitlines() if line.strip().startswith("test/nll "))
    assert len(row.split()) == 7  # two values with errors, no difference


def test_a_partial_chain_is_compared_from_its_files(
    tmp_path: Path, project: Path, inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One block is missing and nothing of MLflow is there: no import of it, no verdict, the curves."""
    for name in ("a", "b"):
        shutil.copytree(project / name, tmp_path / name)
    shutil.copytree(project / "b.evaluation", tmp_path / "b.evaluation")
    last = next((tmp_path / "a" / "blocks").glob("2-*"))
    shutil.rmtree(last)
    inside.chdir(tmp_path)
    code = (
        "import sys; from flows.cli.main import main; "
        "sys.argv = ['jko', 'compare', 'a', 'b', '--json', '-o', 'out']; main(); "
        "print('mlflow' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    text, _, loaded = done.stdout.strip().rpartition("\n")
    assert loaded == "False False"
    found = json.loads(text)
    assert [run["state"] for run in found["runs"]] == ["partial", "complete"]
    assert found["paired"][0]["reason"] == "a has no evaluation on test rows (1 of 2 blocks done)"
    assert {row["step"] for row in found["steps"] if row["run"] == "a"} == {1}
    assert (tmp_path / "out" / "compare.html").is_file()
    capsys.readouterr()
    assert call(inside, "compare", "--baseline", "b", "a", "--fail-if", "test/nll > +0.02") == 2
    assert "a has no test/nll (partial, 1 of 2 blocks done)" in capsys.readouterr().err


def test_page_and_tables_are_written_and_kept_with_the_runs(
    tmp_path: Path, project: Path, inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    ids = {name: run_id(project, name) for name in ("a", "b", "c")}
    assert call(inside, "compare", "a", ids["b"], "c", "-o", str(output)) == 0
    page = (output / "compare.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")
    assert "paired over the same 60 test rows" in page
    table = pd.read_parquet(output / "compare.parquet")
    assert list(table.columns) == ["run", "kind", "name", "step", "value", "se", "text"]
    assert set(table.kind) == {"about", "setting", "metric", "step", "paired"}
    again = pd.read_csv(output / "compare.csv", dtype={"step": "Int64", "text": "str"})
    pd.testing.assert_frame_equal(
        again[["run", "name", "step", "value", "se"]], table[["run", "name", "step", "value", "se"]],
        check_dtype=False,
    )  # fmt: skip
    nll = table[(table.kind == "metric") & (table.name == "test/nll")]
    assert nll.value.tolist() == [
        pytest.approx(-log_density(project, name).mean()) for name in ("a", "b", "c")
    ]
    place = f"compare/{ids['a'][:8]}-{ids['b'][:8]}-{ids['c'][:8]}"
    for own in ids.values():
        kept = Runs(project).folder(own, "compare", tmp_path)
        assert kept is not None
        assert {path.name for path in (kept.parent / place).iterdir()} == {
            path.name for path in output.iterdir()
        }


def test_nothing_is_kept_where_that_was_not_wanted(
    tmp_path: Path, project: Path, inside: pytest.MonkeyPatch
) -> None:
    assert call(inside, "compare", "b", "c", "--no-track", "-o", str(tmp_path / "out")) == 0
    kept = Runs(project).folder(run_id(project, "b"), "compare", tmp_path)
    pair = f"{run_id(project, 'b')[:8]}-{run_id(project, 'c')[:8]}"
    assert kept is None or pair not in {path.name for path in kept.iterdir()}


@pytest.mark.parametrize(
    ("condition", "code", "said"),
    [
        ("test/nll > +0.0", 0, "gate passed"),
        ("test/nll > +2se", 0, "standard errors is not > +2 standard errors"),
        ("test/nll < -0.0", 5, "gate failed: test/nll < -0.0"),
        ("test/nll < -1se", 5, "is < -1 standard errors"),
        ("steps > +0%", 0, "+0 % is not > +0 %"),
        ("time/train_cpu_s > -100%", 5, "is > -100 %"),
    ],
)
def test_the_gate_fails_exactly_where_its_condition_holds(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], condition: str, code: int, said: str
) -> None:
    """``b`` is better than ``a`` by far more than two standard errors."""
    assert call(inside, "compare", "--baseline", "a", "b", "--fail-if", condition) == code
    assert said in capsys.readouterr().out


def test_one_condition_that_holds_is_enough_and_all_are_told(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gates = ("--fail-if", "steps > +0", "--fail-if", "test/nll < -0.001")
    assert call(inside, "compare", "--baseline", "a", "b", *gates, "--json") == 5
    found = json.loads(capsys.readouterr().out)
    assert [one["tripped"] for one in found["gate"]] == [False, True]
    assert found["gate"][1]["difference"] == found["paired"][0]["difference"]


def test_the_gate_takes_the_champion_and_the_latest(
    project: Path, inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    latest = Runs(project).find("@latest")
    assert call(inside, "tag", run_id(project, "a"), "champion") == 0
    assert call(inside, "compare", "--baseline", "tag:champion", "--fail-if", "steps > +5", "--json") == 0
    found = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert [run["run_id"] for run in found["runs"]] == [run_id(project, "a"), latest.run_id]


def test_the_baseline_itself_as_candidate_is_told(
    project: Path, inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gate that passes because nothing was trained since must not look like a success."""
    own = run_id(project, "a")
    assert call(inside, "compare", "--baseline", own, own[:10], "--fail-if", "test/nll > +0") == 0
    said = capsys.readouterr()
    assert "is the baseline itself" in said.err
    assert "not distinguishable; test NLL +0.0000" in said.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a",), "two runs are needed"),
        (("a", "nowhere"), "nowhere: no chain's folder, and no tracked run"),
        (("a", ".jko"), "no chain there"),
        (("a", "0123456789abcdef"), "no tracked run has an id that begins so"),
        (("a", "tag:nobody"), "tag:nobody: no run has this tag"),
        (("a", "@latest~99"), "tracked runs"),
        (("a", "c", "--fail-if", "test/nll > +0.02"), "the runs are on other data"),
        (("a", "c", "--fail-if", "test/nll_mixture > +0.02"), "the runs are on other data"),
        (("a", "c", "--fail-if", "step/nll > +0.02"), "the runs are on other data"),
        (("a", "b", "--fail-if", "tset/nll > +0.02"), "did you mean test/nll"),
        (("a", "b", "-o", "dvc.yaml"), "-o dvc.yaml: this is a file"),
        (("a", "b", "-o", "no/where"), "does not exist"),
    ],
)
def test_bad_input_is_one_sentence(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert call(inside, "compare", *words) == 2
    shown = capsys.readouterr().err.strip()
    assert said in shown
    assert len(shown.splitlines()) == 1


@pytest.mark.slow
def test_a_moved_project_opens_its_runs(
    tmp_path: Path, project: Path, inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every address in the store is of a folder that is gone; the same run goes on."""
    from mlflow.tracking import MlflowClient
    from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

    ids = {name: run_id(project, name) for name in ("a", "b")}
    before = compared(inside, capsys, ids["a"], ids["b"])
    moved = tmp_path / "elsewhere"
    project.rename(moved)
    try:
        inside.chdir(moved)
        inside.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{moved.resolve() / '.jko' / 'mlflow.db'}")
        # a process of its own: MLflow remembers addresses as long as one runs
        shutil.rmtree("a.report")
        shutil.rmtree(f".jko/mlartifacts/{ids['a']}/artifacts/report")
        assert command(moved, "resume", "a").returncode == 0
        assert run_id(moved, "a") == ids["a"]
        assert Path(f".jko/mlartifacts/{ids['a']}/artifacts/report/report.html").is_file()
        assert not project.exists()
        _artifact_repos_cache.clear()
        after = compared(inside, capsys, ids["a"], ids["b"])
        assert after["paired"] == before["paired"]
        assert call(inside, "runs", "--json") == 0
        listed = [run for run in json.loads(capsys.readouterr().out) if run["chain"] == "a"]
        assert [run["run_id"] for run in listed] == [ids["a"]]
        place = Path(MlflowClient().download_artifacts(ids["a"], "record/measures.json"))
        assert len(read_json(place)) == 2
        assert not project.exists()
    finally:
        moved.rename(project)
