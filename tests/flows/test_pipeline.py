"""The whole pipeline on a tiny chain, through the real systems."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from jko.disk.sealed import read_json
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chains import load_chain, read_curve
from tasks.adapters.store.parent_chain import tracked_run
from tasks.headline import STEP
from tests.flows.schedules import client_of
from tests.projects import ROUGH, call, trained_project

CHAIN = Path("chain")
QUICK = ("--set", "training.flow_matching_iterations=60", "--set", "training.iterations=20", *ROUGH)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with one finished smoke chain."""
    words = ("train", "--preset", "smoke", *QUICK, "--chain", str(CHAIN))
    return trained_project(tmp_path_factory.mktemp("project"), words)


@pytest.fixture
def inside(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.chdir(trained)
    return Layout(CHAIN)


def status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], chain: Path = CHAIN) -> dict:
    capsys.readouterr()
    assert call(monkeypatch, "status", str(chain), "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_status_says_what_scripts_rely_on(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = status(monkeypatch, capsys)
    assert found["state"] == "complete"
    assert len(found["digest"]) == 64
    assert [block["index"] for block in found["blocks"]] == [1, 2, 3]
    for block in found["blocks"]:
        assert block["state"] == "done"
        assert len(block["weights_digest"]) == 64
        names = {"kl_drop", "nll", "nll_se", "movement", "inversion_error", "loss_potential"}
        assert names <= set(block["metrics"])
    assert {"test/nll", "test/nll_se", "inversion_error_chain"} <= set(found["metrics"])
    assert found["warnings"] == []


def test_beside_the_test_nll_stands_what_no_row_moves(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the files, on the screen and on the page: of the same rows whose mean it is."""
    rows = pd.read_parquet(inside.evaluation / "test_rows.parquet")
    values = -rows["log_density"].to_numpy()
    metrics = status(monkeypatch, capsys)["metrics"]
    assert metrics["test/nll_median"] == pytest.approx(np.median(values))
    assert metrics["test/nll_trimmed"] == pytest.approx(np.sort(values)[1:-1].mean(), abs=0.02)
    far = int(np.argmax(np.abs(values - np.median(values))))
    assert metrics["test/nll_worst_row"] == rows["row"][far]
    assert metrics["test/nll_worst"] == values[far]
    share = (values[far] - values.mean()) ** 2 / ((values - values.mean()) ** 2).sum()
    assert metrics["test/nll_worst_share"] == pytest.approx(share)
    assert json.loads(inside.metrics.read_text()) == metrics
    cuts = read_json(inside.evaluation / "figures.json")["cuts"]
    assert cuts[-1]["nll_median"] == metrics["test/nll_median"]
    page = (inside.report / "report.html").read_text()
    assert f"(row {metrics['test/nll_worst_row']})" in page
    assert f"{metrics['test/nll_median']:.3f} ± {metrics['test/nll_median_se']:.3f}" in page
    assert call(monkeypatch, "train", "--preset", "smoke", *QUICK, "--chain", str(CHAIN)) == 0
    shown = capsys.readouterr().out
    assert "  median" in shown
    assert "without 1 % at each end" in shown
    assert "worst row's share of SE²" in shown


def test_the_files_are_those_of_the_design(inside: Layout) -> None:
    chain = required_manifest(inside).fingerprints
    for k in (1, 2, 3):
        folder = inside.block(k, chain[k])
        assert {path.name for path in folder.iterdir()} == {
            "weights.safetensors", "samples.zarr", "block.json", "COMMIT.json",
        }  # fmt: skip
        assert inside.measures(k, chain[k]).is_file()
        assert len(read_curve(folder)) == len(read_json(folder / "block.json")["curve"]["objective"]) > 1
    assert not list(inside.chain.rglob(".tmp-*"))


def test_row_i_of_every_store_is_particle_i(inside: Layout) -> None:
    """Pushing the rows of block 0 through the loaded chain gives the rows of every block."""
    config, fingerprints = stored_config(inside), required_manifest(inside).fingerprints
    chain = load_chain(inside, config, tuple(fingerprints))
    for part in ("train", "validation"):
        x = torch.from_numpy(read_samples(inside, 0, fingerprints[0], part))
        for k, block in enumerate(chain, start=1):
            with torch.no_grad():
                x = block.push_forward(x)
            np.testing.assert_allclose(x, read_samples(inside, k, fingerprints[k], part), atol=1e-5)


def test_figures_agree_with_the_chain(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The NLL of the last block's measures is that of the whole chain on test rows."""
    found = status(monkeypatch, capsys)
    fingerprints = required_manifest(inside).fingerprints
    facts = read_facts(inside, fingerprints[0])
    chain = load_chain(inside, stored_config(inside), tuple(fingerprints))

    def nll(part: str) -> float:
        rows = read_samples(inside, 0, fingerprints[0], part) * np.array(facts.scale) + np.array(facts.shift)
        return -float(chain.log_prob(torch.from_numpy(rows))[0].mean())

    assert found["blocks"][-1]["metrics"]["nll"] == pytest.approx(nll("test"), abs=1e-4)
    assert nll("validation") != pytest.approx(nll("test"), abs=1e-3)
    assert found["metrics"]["test/nll"] == pytest.approx(nll("test"), abs=1e-4)
    drops = sum(block["metrics"]["kl_drop"] for block in found["blocks"])
    first = found["blocks"][0]["metrics"]
    before = first["nll"] + first["kl_drop"]
    assert before - drops == pytest.approx(found["blocks"][-1]["metrics"]["nll"], abs=1e-4)


def test_validation_nll_never_rises(inside: Layout) -> None:
    """The drop on the rows that chose the weights; what is measured of a block is on test rows."""
    chain = required_manifest(inside).fingerprints
    for k in range(1, len(chain)):
        before, after = (read_samples(inside, j, chain[j], "validation").astype(float) for j in (k - 1, k))
        log_det = read_samples(inside, k, chain[k], "validation_log_det")
        assert float((before**2).sum(1).mean() - (after**2).sum(1).mean()) / 2 + log_det.mean() > -1e-4


def test_the_same_command_again_has_nothing_to_do(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in inside.chain.rglob("*")}
    assert call(monkeypatch, "train", "--preset", "smoke", *QUICK, "--chain", str(CHAIN)) == 0
    assert "nothing to do: all 3 blocks" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in inside.chain.rglob("*")} == before


def test_samples_are_those_of_the_seed(inside: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seed in (("a.csv", "1"), ("b.csv", "1"), ("c.csv", "2")):
        assert call(monkeypatch, "sample", str(CHAIN), "-n", "50", "--seed", seed, "-o", name) == 0
    a, b, c = (pd.read_csv(name) for name in ("a.csv", "b.csv", "c.csv"))
    assert list(a.columns) == ["x", "y"]
    pd.testing.assert_frame_equal(a, b)
    assert not np.allclose(a, c)


@pytest.mark.parametrize("kind", [".csv", ".npy", ".parquet"])
def test_scores_are_the_log_density_of_every_row(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    assert call(monkeypatch, "sample", str(CHAIN), "-n", "20", "-o", "rows.csv") == 0
    assert call(monkeypatch, "score", str(CHAIN), "rows.csv", "-o", f"scores{kind}") == 0
    readers = {".csv": pd.read_csv, ".npy": np.load, ".parquet": pd.read_parquet}
    values = np.asarray(readers[kind](f"scores{kind}")).ravel()
    chain = load_chain(inside, stored_config(inside), required_manifest(inside).fingerprints)
    rows = torch.from_numpy(pd.read_csv("rows.csv").to_numpy(copy=True))
    np.testing.assert_allclose(values, chain.log_prob(rows)[0], atol=1e-5)


def test_changing_one_block_trains_it_and_those_after_only(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = status(monkeypatch, capsys)
    change = ("--set", "blocks.3.iterations=25", "--stop-after", "3")
    assert call(monkeypatch, "train", "--preset", "smoke", *QUICK, *change, "--chain", str(CHAIN)) == 0
    assert "block 3: training.iterations 20 → 25" in capsys.readouterr().err
    new = status(monkeypatch, capsys)
    same = [a["name"] == b["name"] for a, b in zip(old["blocks"], new["blocks"], strict=True)]
    assert same == [True, True, False]
    assert call(monkeypatch, "train", "--preset", "smoke", *QUICK, "--chain", str(CHAIN)) == 0
    assert status(monkeypatch, capsys)["digest"] == old["digest"]


def test_a_damaged_block_is_found_and_trained_again(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = status(monkeypatch, capsys)["digest"]
    fingerprint = required_manifest(inside).fingerprints[2]
    (inside.block(2, fingerprint) / "weights.safetensors").unlink()
    assert status(monkeypatch, capsys)["state"] == "broken"
    assert call(monkeypatch, "resume", str(CHAIN)) == 0
    assert status(monkeypatch, capsys)["digest"] == digest


def test_mlflow_has_one_run_with_steps_and_where_it_came_from(inside: Layout) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    chain = str(inside.chain.resolve())
    plan = required_manifest(inside).fingerprints[-1]
    query = f"tags.`jko.chain` = '{chain}' and tags.`jko.plan` = '{plan}'"
    runs = client.search_runs([client.get_experiment_by_name("jko").experiment_id], query)
    assert len(runs) == 1
    run = runs[0]
    assert run.info.status == "FINISHED"
    assert run.data.params["steps.count"] == "3"
    assert {"jko.prefect_run", "jko.git_commit", "jko.data_version", "jko.digest"} <= set(run.data.tags)
    assert run.data.tags["jko.data_version"].endswith(".dir")
    history = client.get_metric_history(run.info.run_id, "step/inversion_error")
    assert sorted(entry.step for entry in history) == [1, 2, 3]
    assert "test/nll" in run.data.metrics
    stored = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert stored == {"report", "blocks", "record"}
    kept = {Path(item.path).name for item in client.list_artifacts(run.info.run_id, "record")}
    assert kept == {
        "about.json", "measures.json", "figures.json", "certificate.json", "events.jsonl",
        "test_rows.parquet", "sample_rows.parquet",
    }  # fmt: skip
    # few well-named metrics; all figures are in the record
    names = {name for name in run.data.metrics if name.startswith("step/")}
    assert names == {f"step/{name}" for name in STEP} - {"step/kl_estimate"}, "the law is known"
    assert {name.split("/")[0] for name in set(run.data.metrics) - names} == {
        "bracket", "chain", "test", "time", "inversion_error_chain", "steps",
    }  # fmt: skip


def test_prefect_knows_every_block_as_a_task(inside: Layout, server: str) -> None:
    from mlflow.tracking import MlflowClient
    from prefect.client.schemas.filters import FlowRunFilter

    run = MlflowClient().get_run(str(tracked_run(inside))).data.tags["jko.prefect_run"]
    own = FlowRunFilter.model_validate({"id": {"any_": [run]}})
    with client_of(server) as client:
        names = {run.name for run in client.read_task_runs(flow_run_filter=own)}
    assert {f"block-{k}-{verb}" for k in (1, 2, 3) for verb in ("train", "push", "measure")} <= names


@pytest.mark.slow
def test_a_tracking_failure_costs_a_warning_and_no_result(
    project: Path, server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    assert call(monkeypatch, "train", "--preset", "smoke", *QUICK, *ROUGH, "--set", "steps.count=1") == 0
    assert "tracking stopped, the run goes on" in caplog.text


def test_the_report_is_one_page_that_needs_nothing_else(inside: Layout) -> None:
    page = (inside.report / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    pictures = {path.name for path in inside.report.glob("*.png")}
    shown = (
        "samples", "path", "progress", "training", "guarantee", "resolution", "pairs", "worst", "column_1",
        "column_2",
    )  # fmt: skip
    assert pictures == {f"{name}.png" for name in shown}


def test_another_holder_of_the_chain_is_named(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tasks.adapters.store.lock import chain_lock

    with chain_lock(inside, "jko resume chain"):
        other = ("--set", "steps.count=2")
        code = call(monkeypatch, "train", "--preset", "smoke", *QUICK, *other, "--chain", str(CHAIN))
    said = capsys.readouterr().err
    assert code == 4
    assert "in use by process" in said
    assert "jko resume chain" in said


@pytest.mark.slow
def test_settings_that_train_nothing_renew_what_lists_them(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = {path: path.stat().st_mtime_ns for path in (inside.chain / "blocks").rglob("*")}
    words = (
        "train",
        "--preset",
        "smoke",
        *QUICK,
        "--chain",
        str(CHAIN),
        "--set",
        "runtime.checkpoint_seconds=7",
    )
    assert call(monkeypatch, *words) == 0
    assert "nothing to do" not in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (inside.chain / "blocks").rglob("*")} == blocks
    assert stored_config(inside).runtime.checkpoint_seconds == 7
    assert '"checkpoint_seconds": 7' in html.unescape((inside.report / "report.html").read_text())
    assert call(monkeypatch, *words) == 0
    assert "nothing to do" in capsys.readouterr().err
