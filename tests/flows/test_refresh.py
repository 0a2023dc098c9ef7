"""Scheduled runs and new data, through the real server, the real MLflow store and real kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from flows.refresh import OnChange, Outcome, chain_at_work, refresh
from flows.scheduling.schedule_state import ScheduleState
from flows.views.status import chain_status
from jko.config import Config, parse_config
from jko.core.errors import InputError
from jko.core.seeds import generator
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from jko.disk.weights import load_block
from jko.energies.objective import jko_objective
from tasks.adapters.prefect.prefect_runs import settings_of_environment
from tasks.adapters.store.arrays import read_particles
from tasks.adapters.store.chains import read_curve
from tasks.adapters.store.lock import chain_lock
from tasks.adapters.store.parent_chain import tracked_run

ROOT = Path(__file__).resolve().parents[2]
NAME = "weekly"
#: settings under which a run takes a second or two
TINY = {
    "steps": {"sizes": [0.5, 1.0]},
    "network": {"hidden": [16, 16]},
    "solver": {"steps": 2},
    "training": {
        "flow_matching_iterations": 60, "iterations": 10, "batch_size": 64, "validate_every": 20,
        "flow_matching_learning_rate": 0.005,
    },
    "measure": {"critic_centres": 3, "reference_rows": 20, "samples": 200, "resolutions": [0.5]},
    "evaluation": {"samples": 50, "mixture_components": [1, 2]},
}  # fmt: skip


def law(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    """Draws of a correlated Gaussian in the plane."""
    z = np.random.default_rng(seed).standard_normal((rows, 2))
    return pd.DataFrame({"x": 2 * z[:, 0] + shift, "y": z[:, 0] + 0.5 * z[:, 1]})


def settings(root: Path, **changes: object) -> Config:
    return parse_config({**TINY, "data": {"source": "file", "file": str(root / "rows.csv")}, **changes})


def append(root: Path, rows: pd.DataFrame) -> None:
    rows.to_csv(root / "rows.csv", mode="a", header=False, index=False)


def chains(root: Path) -> set[str]:
    return {path.parent.name for path in (root / ".jko" / "chains").glob("*/chain.json")}


def layout_of(root: Path, outcome: Outcome) -> Layout:
    return Layout.of(root / outcome.chain, root)


def run_of(layout: Layout) -> Run:
    return MlflowClient().get_run(str(tracked_run(layout)))


def number_of_runs() -> int:
    client = MlflowClient()
    return len(client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=5000))


def digest(layout: Layout) -> str:
    return str(chain_status(layout)["digest"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project whose schedule ran once."""
    root = tmp_path_factory.mktemp("scheduled")
    law(400, 1).to_csv(root / "rows.csv", index=False)
    outcome = refresh(NAME, settings(root), root)
    assert (outcome.action, outcome.chain) == ("trained", f".jko/chains/{NAME}")
    assert "test NLL" in outcome.reason
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return copied(trained, tmp_path / "p")


def copied(trained: Path, root: Path) -> Path:
    """A copy of a project; the data file has the same time as in the first one."""
    shutil.copytree(trained, root)
    path = root / ".jko" / "schedules" / f"{NAME}.json"
    state = json.loads(path.read_text())
    state["seen"]["path"] = str(root / "rows.csv")
    path.write_text(json.dumps(state))
    return root


@pytest.fixture(scope="module")
def warmed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A project whose schedule ran again on more data, each block from the weights it had."""
    root = copied(trained, tmp_path_factory.mktemp("warm") / "p")
    append(root, law(100, 4))
    return root, refresh(NAME, settings(root), root, "warm")


def test_unchanged_data_are_skipped_and_the_look_is_recorded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = number_of_runs()
    monkeypatch.setattr("flows.scheduling.schedule_state.content_digest", None)  # the file is not even read
    outcomes = []
    for moment in ("2001-01-01T00:00:00+00:00", "2002-01-01T00:00:00+00:00"):
        monkeypatch.setattr("flows.refresh.now", lambda moment=moment: moment)
        outcomes.append(refresh(NAME, settings(root), root))
        assert run_of(layout_of(root, outcomes[-1])).data.tags["jko.last_checked"] == moment
    assert {outcome.action for outcome in outcomes} == {"skipped"}
    assert outcomes[0].reason.startswith("no new data: rows.csv is unchanged since 20")
    assert "all 2 blocks, the evaluation and the report are committed" in outcomes[0].reason
    assert number_of_runs() == before


def test_a_touched_file_is_hashed_and_skipped(root: Path) -> None:
    os.utime(root / "rows.csv", ns=(1, 1))
    before = ScheduleState.read(root, NAME)
    assert refresh(NAME, settings(root), root).action == "skipped"
    after = ScheduleState.read(root, NAME)
    assert before.seen is not None
    assert after.seen is not None
    assert after.seen.mtime_ns == 1 != before.seen.mtime_ns
    assert (after.seen.sha256, after.seen.since) == (before.seen.sha256, before.seen.since)


def test_one_row_far_out_is_told_and_is_no_drift(root: Path) -> None:
    """A wrong entry among rows of the same law: the law is the same, and the defence bounds what it costs."""
    append(root, law(400, 2))
    append(root, pd.DataFrame({"x": [4000.0], "y": [-3000.0]}))
    outcome = refresh(NAME, settings(root), root, "score")
    assert outcome.metrics["drift/alarm"] == 0
    assert outcome.metrics["drift/worst_row"] == 800
    # some 200 nats among 401 rows; without the broad law beside the chain it would be 10^6 and more
    assert 0.1 < outcome.metrics["drift/change"] < 3
    assert abs(outcome.metrics["drift/median_change"]) < 4 * outcome.metrics["drift/median_change_se"]
    assert "; no drift (p = " in outcome.reason
    assert "row 800 of the source" in outcome.reason


def test_score_tells_apart_the_same_law_and_another_and_stops(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty files of the same law: the change over its error is like a standard normal's draw."""
    append(root, law(400, 2))
    first = refresh(NAME, settings(root), root, "score")
    assert first.action == "scored"
    assert first.metrics["drift/rows"] == 400  # those the chain has seen are left out
    assert abs(first.metrics["drift/change"]) < 4 * first.metrics["drift/change_se"]
    assert first.metrics["drift/alarm"] == 0
    assert "; no drift (p = " in first.reason
    again = refresh(NAME, settings(root), root, "score")
    assert again.action == "skipped"
    assert "was scored already" in again.reason
    append(root, law(400, 3, shift=3.0))
    shifted = refresh(NAME, settings(root), root, "score")
    assert shifted.metrics["drift/change"] > 10 * shifted.metrics["drift/change_se"]
    assert shifted.metrics["drift/median_change"] > 3 * shifted.metrics["drift/median_change_se"]
    assert shifted.metrics["drift/alarm"] == 1
    assert "; drift: column 'x' (median +" in shifted.reason
    assert "drift: column 'x' (median +" in caplog.text
    assert chains(root) == {NAME}
    run = run_of(layout_of(root, first))
    history = MlflowClient().get_metric_history(run.info.run_id, "drift/nll")
    values = {outcome.metrics["drift/nll"] for outcome in (first, shifted)}
    assert values <= {entry.value for entry in history}


@pytest.mark.slow
def test_new_data_get_a_chain_of_their_own_that_knows_its_parent(root: Path) -> None:
    """Within a flow run, as schedules call it."""
    from prefect import flow

    append(root, law(100, 4))
    outer = flow(name="outer")(lambda: refresh(NAME, settings(root), root, "retrain"))
    with settings_of_environment():
        outcome = outer()
    knows_its_parent(root, outcome, "retrain")


def test_a_warm_start_begins_with_the_weights_of_the_parent(warmed: tuple[Path, Outcome]) -> None:
    knows_its_parent(*warmed, "warm")


def knows_its_parent(root: Path, outcome: Outcome, on_change: OnChange) -> None:
    first, layout = Layout.of(root / ".jko" / "chains" / NAME, root), layout_of(root, outcome)
    assert outcome.action == "trained"
    assert outcome.chain.startswith(f".jko/chains/{NAME}-")
    assert chain_status(first)["state"] == chain_status(layout)["state"] == "complete"
    run = run_of(layout)
    assert run.data.tags["jko.parent"] == tracked_run(first)
    assert run.data.tags["jko.parent_chain"] == f".jko/chains/{NAME}"
    assert run.data.metrics["drift/nll"] == outcome.metrics["drift/nll"]
    assert run.data.metrics["test/nll"] == outcome.metrics["test/nll"]
    assert refresh(NAME, settings(root), root, on_change).action == "skipped"
    starts_like_its_parent(layout, first, expected=on_change == "warm")


def starts_like_its_parent(layout: Layout, parent: Layout, *, expected: bool) -> None:
    """The first record of every block's curve is the objective of the parent's block on its rows."""
    config, chain = stored_config(layout), required_manifest(layout).fingerprints
    names = {path.name.split("-")[0] for path in (layout.chain / "start").glob("*")}
    assert names == ({"1", "2"} if expected else set())
    for k in (1, 2):
        rows = read_particles(layout, config, k - 1, chain[k - 1], "validation")
        block = load_block(parent, config, k, required_manifest(parent).fingerprints[k], 2)
        with torch.no_grad():
            terms = jko_objective(block, rows, generator(config.seed, k, "validation", 0))
        curve = read_curve(layout.block(k, chain[k]))
        assert curve is not None
        assert (abs(curve["objective"].iloc[0] - float(terms.total)) < 1e-6) == expected


@pytest.mark.slow
def test_killed_it_is_gone_on_with_from_the_same_weights_without_the_parent(
    root: Path, warmed: tuple[Path, Outcome]
) -> None:
    append(root, law(100, 4))
    whole = warmed[1]
    code = (
        "from pathlib import Path; from jko.config import parse_config; from flows.refresh import refresh\n"
        f"refresh({NAME!r}, parse_config({settings(root).model_dump(mode='json')!r}), "
        f"Path({str(root)!r}), 'warm')"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    folder = root / whole.chain
    while not list((folder / "blocks").glob("1-*/COMMIT.json")):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (folder.with_name(f"{folder.name}.run") / "finished.json").exists()
    state = ScheduleState.read(root, NAME)
    assert (state.last, state.working) == (NAME, folder.name)
    assert chain_at_work(root, NAME).chain == folder
    shutil.rmtree(root / ".jko" / "chains" / NAME / "blocks")  # what it starts from is in its own folder
    outcome = refresh(NAME, settings(root), root, "warm")
    assert (outcome.action, outcome.chain) == ("trained", whole.chain)
    assert digest(layout_of(root, outcome)) == digest(layout_of(*warmed))


def test_a_busy_chain_names_its_holder(root: Path) -> None:
    append(root, law(100, 5))
    scored = refresh(NAME, settings(root), root, "score")
    assert scored.action == "scored"
    first = refresh_while_held(root)
    assert first.action == "busy"
    assert f"is in use by process {os.getpid()}" in first.reason
    assert "jko train of someone" in first.reason


def refresh_while_held(root: Path) -> Outcome:
    from jko.disk.identity import source_key

    layout = Layout.of(root / ".jko" / "chains" / f"{NAME}-{source_key(settings(root))[:8]}", root)
    with chain_lock(layout, "jko train of someone"):
        return refresh(NAME, settings(root), root, "retrain")


def test_bad_new_data_are_refused_and_the_last_chain_stays(root: Path) -> None:
    append(root, pd.DataFrame({"x": ["oops"], "y": [1.0]}))
    with pytest.raises(InputError, match="holds text 'oops'"):
        refresh(NAME, settings(root), root)
    assert chains(root) == {NAME}
    assert ScheduleState.read(root, NAME).last == NAME


def test_weights_of_another_network_are_refused(root: Path) -> None:
    append(root, law(100, 6))
    other = settings(root, network={"hidden": [8]})
    with pytest.raises(InputError, match=r"hidden \(16, 16\).* hidden \(8,\).* is wanted"):
        refresh(NAME, other, root, "warm")


def test_a_file_that_only_lost_rows_has_no_drift_and_says_so(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = (root / "rows.csv").read_text().splitlines(keepends=True)
    (root / "rows.csv").write_text("".join(lines[:-100]))
    outcome = refresh(NAME, settings(root), root, "score")
    assert outcome.action == "scored"
    assert outcome.metrics == {"drift/rows": 0.0, "drift/seen_left_out": 1.0}
    assert "no drift is known: none of their rows is new to the last chain" in outcome.reason
    assert "no drift is known" in caplog.text


@pytest.mark.slow
def test_a_file_that_dvc_tracks_is_fetched_in_its_new_version(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    dvc(root, "init", "--no-scm", "-q")
    record, rows = root / "rows.csv.dvc", root / "rows.csv"
    dvc(root, "add", "-q", "rows.csv")
    old = (record.read_text(), rows.read_bytes())
    append(root, law(200, 7, shift=3.0))
    dvc(root, "add", "-q", "rows.csv")
    new = record.read_text()
    record.write_text(old[0])
    dvc(root, "checkout", "-q", "rows.csv.dvc")
    assert rows.read_bytes() == old[1]
    assert refresh(NAME, settings(root), root).action == "skipped"
    record.write_text(new)  # as a git pull does; the file itself is still the old one
    outcome = refresh(NAME, settings(root), root, "score")
    assert outcome.action == "scored"
    assert outcome.metrics["drift/rows"] == 200
    dvc(root, "remote", "add", "-q", "-d", "store", str(root / "store"))
    dvc(root, "push", "-q", "rows.csv.dvc")
    shutil.rmtree(root / ".dvc" / "cache")  # as in another clone: it is in the remote only
    rows.unlink()
    assert refresh(NAME, settings(root), root, "score").action == "skipped"
    assert rows.read_bytes() != old[1]
    append(root, law(1, 8))  # an edit that DVC knows nothing of
    mine = rows.read_bytes()
    with pytest.raises(InputError, match=r"not the version that rows\.csv\.dvc records .*dvc add"):
        refresh(NAME, settings(root), root, "score")
    assert rows.read_bytes() == mine


def dvc(root: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=root, check=True, capture_output=True)
