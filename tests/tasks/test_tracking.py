"""The journal, the real MLflow store, and failures that cost a warning only."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from jko.disk.layout import Layout
from tasks.adapters.mlflow.tracking import Tracker, git_commit
from tasks.adapters.mlflow.tracking_store import follow_move
from tasks.adapters.system.journal import Journal
from tests.projects import new_store

IDENTITY = "a" * 64


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An SQLite store."""
    return new_store(tmp_path_factory.mktemp("mlflow") / "mlflow.db")


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
    again.add({"b": 2.0}, 1)
    assert list(Journal(path).entries) == [("a", 1), ("b", 1)]  # the cut line spoils no other


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
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "other.db"))
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
    query = f"tags.`mlflow.parentRunId` = '{tracker.run_id}'"
    places = [client.get_experiment_by_name(name).experiment_id for name in ("jko-blocks", "jko")]
    children, beside = (client.search_runs([place], query) for place in places)
    assert (len(children), len(beside)) == (1, 0)
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


def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """The project's own store, as the command line sets it."""
    path = folder / ".jko" / "mlflow.db"
    uri = f"sqlite:///{path.resolve()}" if path.exists() else new_store(path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


def test_an_open_run_of_another_plan_of_the_chain_is_closed(tmp_path: Path, client: MlflowClient) -> None:
    """Killed, then trained under other settings: whoever holds the chain knows that the first is dead."""
    left = opened(tmp_path)
    other = opened(tmp_path, "c" * 64)
    run = client.get_run(str(left.run_id))
    assert (run.info.status, run.data.tags["jko.status"]) == ("KILLED", "crashed")
    other.close("KILLED")
    run = client.get_run(str(other.run_id))
    assert (run.info.status, run.data.tags["jko.status"]) == ("KILLED", "interrupted")


def test_in_a_shared_store_a_chain_of_another_machine_is_left_alone(
    tmp_path: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same folder names there, the same plan: neither found as ours nor marked as dead."""
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    theirs = opened(tmp_path)
    theirs.record.unlink()
    monkeypatch.setattr("platform.node", lambda: "here")
    ours = opened(tmp_path)
    assert ours.run_id != theirs.run_id
    assert client.get_run(str(theirs.run_id)).info.status == "RUNNING"


def test_a_moved_project_finds_its_run_and_writes_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = tmp_path / "before", tmp_path / "after here"  # a blank is %20 in addresses
    before.mkdir()
    project(before, monkeypatch)
    tracker = opened(before)
    (before / "file.txt").write_text("kept")
    tracker.artefacts(before / "file.txt", "report")
    tracker.close("FINISHED")
    before.rename(after)
    client = project(after, monkeypatch)
    _artifact_repos_cache.clear()  # MLflow's memory of addresses, which ends with the process
    again = opened(after)
    assert again.run_id == tracker.run_id
    again.made(lambda folder: (folder / "new.txt").write_text("made") and None, "record")
    assert not before.exists()
    place = after / ".jko" / "mlartifacts" / str(again.run_id) / "artifacts"
    assert {path.name for path in place.rglob("*.txt")} == {"file.txt", "new.txt"}
    assert Path(client.download_artifacts(str(again.run_id), "report/file.txt")).read_text() == "kept"
    assert client.get_run(str(again.run_id)).data.tags["jko.chain"] == "chain"


def test_addresses_that_somebody_chose_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = project(tmp_path, monkeypatch)
    (tmp_path / ".jko" / "mlartifacts").mkdir()
    chosen = ("s3://bucket/.jko/mlartifacts", "file:///elsewhere/files", "file:///old/.jko/mlartifacts2")
    ids = [client.create_experiment(str(i), artifact_location=address) for i, address in enumerate(chosen)]
    moved = client.create_experiment("moved", artifact_location="file:///old/.jko/mlartifacts")
    assert follow_move(tmp_path) == 1
    assert follow_move(tmp_path) == 0
    assert [client.get_experiment(one).artifact_location for one in ids] == list(chosen)
    own = (tmp_path.resolve() / ".jko" / "mlartifacts").as_uri()
    assert client.get_experiment(moved).artifact_location == own


def test_a_run_deleted_on_mlflows_page_is_made_anew(tmp_path: Path, client: MlflowClient) -> None:
    first = opened(tmp_path)
    first.step(1, {"nll": 2.0})
    client.delete_run(str(first.run_id))
    second = opened(tmp_path)
    assert second.run_id != first.run_id
    assert client.get_run(str(second.run_id)).data.metrics == {"step/nll": 2.0}


def test_what_cannot_be_made_costs_one_warning(
    tmp_path: Path, client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = opened(tmp_path)

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with caplog.at_level(logging.WARNING):
        tracker.made(full, "record")
        tracker.step(1, {"nll": 1.0})
    assert "No space left on device" in caplog.text
    assert tracker.journal.entries["step/nll", 1].value == 1.0


def test_what_was_never_opened_has_nothing_to_tell(
    tmp_path: Path, client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    """As after Ctrl-C before, or while, the store opens: no call, no warning, and the journal is kept."""
    tracker = Tracker(Layout(tmp_path / "chain"), IDENTITY, tmp_path)
    with caplog.at_level(logging.WARNING):
        tracker.step(1, {"nll": 1.0})
        tracker.final({"test/nll": 1.0})
        tracker.curve(1, "1-abc", pd.DataFrame({"phase": ["jko"], "iteration": [0], "loss": [1.0]}))
        tracker.data("toy", "digest", "here")
        tracker.tag("jko.state", "partial")
        tracker.artefacts(tmp_path, "report")
        tracker.made(lambda folder: pytest.fail("made for nobody"), "record")
        tracker.close("KILLED")
    assert [record for record in caplog.records if record.name == "jko.tracking"] == []
    assert tracker.working
    assert tracker.journal.entries["step/nll", 1].value == 1.0
