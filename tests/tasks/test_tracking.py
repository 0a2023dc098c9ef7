"""The journal, the real MLflow store, and failures that cost a warning only."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from tasks.adapters.layout import Layout
from tasks.adapters.tracking import Journal, Tracker, git_commit

IDENTITY = "a" * 64


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An SQLite store, migrated once."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    MlflowClient(uri).search_experiments()
    return uri


@pytest.fixture
def client(store: str, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    return MlflowClient(store)


def opened(folder: Path, identity: str = IDENTITY) -> Tracker:
    tracker = Tracker(Layout(folder / "chain"), identity, folder)
    tracker.open("name", {"seed": 1}, {"jko.data": "toy"})
    return tracker


def test_a_journal_survives_a_cut_line_and_keeps_first_timestamps(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = Journal(path).add({"a": 1.0, "gone": None, "nan": float("nan")}, 1)
    with path.open("a") as stream:
        stream.write('{"key": "b", "val')
    again = Journal(path)
    assert list(again.entries) == [("a", 1)]
    assert again.add({"a": 1.0}, 1) == []
    assert again.entries["a", 1] == first[0]


def test_a_run_left_open_is_reopened_and_marked(tmp_path: Path, client: MlflowClient) -> None:
    left = opened(tmp_path)
    left.step(1, {"kl_drop": 2.0})
    tracker = opened(tmp_path)
    tracker.step(1, {"kl_drop": 2.0})
    tracker.step(2, {"kl_drop": 1.0})
    tracker.close("FINISHED")
    assert tracker.run_id == left.run_id
    run = client.get_run(str(tracker.run_id))
    assert run.info.status == "FINISHED"
    assert run.data.tags["jko.crashed"] == "true"
    history = client.get_metric_history(str(tracker.run_id), "step/kl_drop")
    assert [(entry.step, entry.value) for entry in history] == [(1, 2.0), (2, 1.0)]


def test_a_lost_store_is_filled_again_from_the_journal(
    tmp_path: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path).step(1, {"nll": 3.0})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    tracker = opened(tmp_path)
    other = MlflowClient(f"sqlite:///{tmp_path / 'other.db'}")
    assert other.get_run(str(tracker.run_id)).data.metrics == {"step/nll": 3.0}


def test_other_settings_are_another_run(tmp_path: Path, client: MlflowClient) -> None:
    assert opened(tmp_path).run_id != opened(tmp_path, "b" * 64).run_id


def test_curves_are_thin_and_in_a_run_of_their_own(tmp_path: Path, client: MlflowClient) -> None:
    tracker = opened(tmp_path)
    frame = pd.DataFrame({"phase": "jko", "iteration": range(5000), "loss": 1.0, "objective": 2.0})
    for _ in range(2):
        tracker.curve(1, "1-abc", frame)
    experiment = client.get_experiment_by_name("jko").experiment_id
    query = f"tags.`mlflow.parentRunId` = '{tracker.run_id}'"
    children = client.search_runs([experiment], query)
    assert len(children) == 1
    assert len(client.get_metric_history(children[0].info.run_id, "jko/loss")) <= 200


def test_an_unreachable_server_costs_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with caplog.at_level(logging.WARNING):
        tracker = opened(tmp_path)
        tracker.step(1, {"nll": 1.0})
        tracker.close("FINISHED")
    assert len([record for record in caplog.records if record.name == "jko.tracking"]) == 1
    assert tracker.journal.entries["step/nll", 1].value == 1.0


def test_the_git_commit_is_empty_outside_git(tmp_path: Path) -> None:
    assert git_commit(tmp_path) == ""
