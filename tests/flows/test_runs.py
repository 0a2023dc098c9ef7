"""``jko runs`` and ``jko tag`` on a store of a hundred runs."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.views.runs import NLL, Choice, as_json, runs_table
from jko.config import Config, flattened
from jko.disk.layout import Layout
from tasks.adapters.mlflow.runs import Runs, TrackedRun
from tasks.adapters.store.lock import chain_lock
from tasks.headline import STEP
from tests.projects import call, new_store

COUNT = 100
VERSIONS = ("1" * 32 + ".dir", "2" * 32 + ".dir")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose store holds a hundred runs of two presets on two data versions."""
    root = tmp_path_factory.mktemp("hundred")
    (root / "dvc.yaml").write_text("stages: {}\n")
    new_store(root / ".jko" / "mlflow.db")
    fill(root, COUNT)
    return root


def fill(root: Path, count: int) -> None:
    """Runs as the tracker leaves them: all settings, 29 metrics (13 at each of four steps), all tags."""
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    from tasks.adapters.mlflow.tracking_store import experiment

    client, rng = MlflowClient(uri(root)), np.random.default_rng(0)
    place = experiment(client, "jko", root)
    params = [Param(key, str(value)) for key, value in flattened(Config().model_dump(mode="json")).items()]
    for i in range(count):
        nll = float(rng.normal(1.5, 0.1))
        metrics = [Metric(f"step/{name}", nll, 1, k) for name in STEP for k in (1, 2, 3, 4)]
        own = {NLL: nll, f"{NLL}_se": 0.05, "time/wall_s": 20.0 + i, "time/train_cpu_s": 9.0, "steps": 4.0}
        metrics += [Metric(key, value, 1, 0) for key, value in own.items() if i % 10 or key != NLL]
        tags = {
            "jko.preset": ("moons", "digits")[i % 2], "jko.data": ("moons", "digits")[i % 2],
            "jko.data_version": VERSIONS[i % 2], "jko.status": "finished", "jko.blocks": "4/4",
            "jko.opened": f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}.000+00:00", "jko.chain": f"chains/{i}",
        }  # fmt: skip
        run = client.create_run(place, run_name=f"run-{i}", start_time=1_767_225_600_000 + 1000 * i)
        texts = [RunTag(key, value) for key, value in tags.items()]
        client.log_batch(run.info.run_id, metrics=metrics, params=params, tags=texts)
        client.set_terminated(run.info.run_id, "FINISHED", end_time=1_767_225_700_000 + 1000 * i)


def uri(root: Path) -> str:
    return f"sqlite:///{root.resolve() / '.jko' / 'mlflow.db'}"


@pytest.fixture
def inside(store: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.chdir(store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri(store))
    return monkeypatch


@pytest.fixture(scope="module")
def tracked(store: Path) -> list[TrackedRun]:
    """The hundred runs, read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri(store))
        return Runs(store).all()


def listed(
    patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert call(patch, "runs", "--json", *words) == 0
    return json.loads(capsys.readouterr().out)


def test_all_runs_are_listed_the_last_first(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.perf_counter()
    found = listed(inside, capsys)
    with capsys.disabled():
        print(f"\njko runs on {COUNT} runs, after imports: {time.perf_counter() - begun:.2f} s")
    assert [run["name"] for run in found] == [f"run-{i}" for i in reversed(range(COUNT))]
    assert found[0]["seed"] == "0"
    assert found[0]["blocks"] == "4/4"
    assert found[COUNT - 1 - 10][NLL] is None  # not evaluated


def test_runs_that_kept_no_record_are_compared_by_their_metrics(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tracked: list[TrackedRun]
) -> None:
    capsys.readouterr()
    begun = time.perf_counter()
    assert call(inside, "compare", "@latest", tracked[2].run_id, "--json") == 0
    with capsys.disabled():
        print(f"\njko compare on {COUNT} runs, after imports: {time.perf_counter() - begun:.2f} s")
    found = json.loads(capsys.readouterr().out)
    assert [run["metrics"][NLL] for run in found["runs"]] == [tracked[i].metrics[NLL] for i in (0, 2)]
    assert found["paired"][0]["reason"].endswith("has no evaluation on test rows kept")
    assert found["settings"] == {}
    own = [row for row in found["steps"] if row["name"] == "nll"]
    assert [row["step"] for row in own] == [1, 2, 3, 4] * 2


def test_the_best_are_ranked_within_their_data_version_only(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = listed(inside, capsys)
    found = listed(inside, capsys, "--best", "3")
    assert len(found) == 6
    for version in VERSIONS:
        values = sorted(run[NLL] for run in everything if run["data_version"] == version and run[NLL])
        own = [run for run in found if run["data_version"] == version]
        assert [run[NLL] for run in own] == values[:3]
        assert [run["best"] for run in own] == [True, False, False]
    versions = [run["data_version"] for run in found]
    assert versions == sorted(versions, key=versions.index)  # one after the other
    assert sum(run["best"] for run in everything) == 2
    assert call(inside, "runs", "--best", "3") == 0
    assert "NLLs of different data versions cannot be compared" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(preset="digits"), 50),
        (Choice(data="moons"), 50),
        (Choice(data="2222"), 50),
        (Choice(data="222"), 0),  # too short for a version, and no name
        (Choice(data="moons", preset="digits"), 0),
        (Choice(limit=7), 7),
        (Choice(tag="nobody"), 0),
    ],
)
def test_filters(tracked: list[TrackedRun], choice: Choice, expected: int) -> None:
    found = as_json(runs_table(tracked, choice))
    assert len(found) == expected
    assert {run["preset"] for run in found} <= {choice.preset or "moons", choice.preset or "digits"}


def test_the_options_are_those_of_the_table(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tracked: list[TrackedRun]
) -> None:
    words = ("--preset", "digits", "--data", "digits", "--sort", "-test/nll", "--limit", "9")
    choice = Choice(preset="digits", data="digits", sort="-test/nll", limit=9)
    assert listed(inside, capsys, *words) == as_json(runs_table(tracked, choice))


@pytest.mark.parametrize(
    ("key", "column", "descending"),
    [
        (NLL, NLL, False),
        ("-test/nll", NLL, True),
        ("time/wall_s", "time/wall_s", False),
        ("name", "name", False),
    ],
)
def test_sorting_puts_missing_values_last(
    tracked: list[TrackedRun], key: str, column: str, descending: bool
) -> None:
    values = [run[column] for run in as_json(runs_table(tracked, Choice(sort=key)))]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=descending)
    assert values == known + [None] * (len(values) - len(known))


def test_any_figure_or_setting_sorts_and_others_are_refused(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tracked: list[TrackedRun]
) -> None:
    assert len(runs_table(tracked, Choice(sort="training.iterations"))) == COUNT
    assert call(inside, "runs", "--sort", "test/nil") == 2
    assert "no run has a figure or setting of this name" in capsys.readouterr().err


@pytest.mark.slow
def test_a_name_is_of_one_run_at_a_time(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (listed(inside, capsys)[i]["run_id"] for i in (0, 1))
    assert call(inside, "tag", "@latest", "champion") == 0
    assert [run["run_id"] for run in listed(inside, capsys, "--tag", "champion")] == [first]
    assert call(inside, "tag", second, "champion") == 0
    assert f"no longer {first[:8]}" in capsys.readouterr().out
    assert call(inside, "tag", "tag:champion", "stable") == 0
    found = listed(inside, capsys, "--tag", "champion")
    assert [(run["run_id"], run["tags"]) for run in found] == [(second, ["champion", "stable"])]
    assert call(inside, "tag", "--remove", "champion") == 0
    assert listed(inside, capsys, "--tag", "champion") == []
    assert call(inside, "tag", "--remove", "champion") == 2
    assert "known: stable" in capsys.readouterr().err


def test_a_move_of_a_name_that_was_cut_off_counts_as_done(
    store: Path, inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.tracking import MlflowClient

    old, new = (listed(inside, capsys)[i]["run_id"] for i in (5, 9))
    client = MlflowClient(uri(store))
    client.set_tag(old, "jko.tag.cut", "2026-01-01T00:00:00.000+00:00")
    client.set_tag(new, "jko.tag.cut", "2026-01-01T00:00:01.000+00:00")
    assert call(inside, "tag", "tag:cut", "other") == 0
    assert listed(inside, capsys, "--tag", "other")[0]["run_id"] == new
    assert call(inside, "tag", "--remove", "cut") == 0
    assert listed(inside, capsys, "--tag", "cut") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("@latest",), "jko tag needs RUN and NAME"),
        (("@latest", "two words"), "is no name for a tag"),
        (("ffff" * 8, "x"), "no tracked run has an id that begins so"),
        (("abc", "x"), "at least its first 4 digits"),
        (("--remove", "x", "y"), "takes nothing else"),
    ],
)
def test_bad_tags_are_one_sentence(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert call(inside, "tag", *words) == 2
    assert said in capsys.readouterr().err


def test_an_ambiguous_beginning_names_the_runs_it_could_be(
    store: Path, inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two ids made alike: their common beginning is refused, two digits more are enough."""
    ids = [run["run_id"] for run in listed(inside, capsys)]
    twins = [ids[20][:6] + "0" * 26, ids[20][:6] + "f" * 26]
    with sqlite3.connect(store / ".jko" / "mlflow.db") as connection:
        for old, new in zip(ids[20:22], twins, strict=True):
            for table in ("runs", "metrics", "latest_metrics", "params", "tags"):
                connection.execute(f"UPDATE {table} SET run_uuid = ? WHERE run_uuid = ?", (new, old))
    runs = Runs(store)
    assert runs.find(twins[0][:8]).run_id == twins[0]
    assert call(inside, "tag", ids[20][:6], "x") == 2
    said = capsys.readouterr().err
    assert "2 runs have ids that begin so" in said
    assert twins[0][:12] in said
    assert twins[1][:12] in said


@pytest.mark.slow
def test_a_run_that_nobody_works_on_is_crashed(
    store: Path, inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow says RUNNING of a killed process; who holds the chain tells the truth."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri(store))
    own = listed(inside, capsys)[30]
    client.update_run(own["run_id"], status="RUNNING")
    client.set_tag(own["run_id"], "jko.status", "running")
    layout = Layout(store / own["chain"])

    def status() -> str:
        return next(run["status"] for run in listed(inside, capsys) if run["run_id"] == own["run_id"])

    assert status() == "running"  # the chain is not on this machine, so nobody can tell
    layout.chain.mkdir(parents=True)
    with chain_lock(layout, "a test"):
        assert status() == "running"
    assert status() == "crashed"
    for ended, ours in (("FAILED", "failed"), ("KILLED", "interrupted"), ("FINISHED", "finished")):
        client.set_terminated(own["run_id"], ended)  # by hand, on MLflow's page
        assert status() == ours


def test_a_project_without_runs_says_so_and_stays_without_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert call(monkeypatch, "runs") == 0
    assert "there are no tracked runs here" in capsys.readouterr().out
    assert listed(monkeypatch, capsys) == []
    assert call(monkeypatch, "tag", "@latest", "x") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["dvc.yaml"]


def test_a_store_that_does_not_answer_is_one_sentence(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inside.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    inside.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert call(inside, "runs") == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("jko: the tracking store does not answer")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("width", ["80", "120", "200"])
def test_a_narrow_terminal_drops_columns_and_says_so(
    inside: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: str
) -> None:
    inside.setenv("FORCE_COLOR", "1")
    inside.setenv("COLUMNS", width)
    assert call(inside, "runs", "--limit", "2") == 0
    said = capsys.readouterr().out
    assert ("not shown for want of width" in said) == (width != "200")
    assert "…" not in said


def test_a_data_version_without_a_finished_run_has_no_best(tracked: list[TrackedRun]) -> None:
    """As while its first run trains, or after it failed; beside another version, and alone."""
    first, other = tracked[0], tracked[1]
    without = dict.fromkeys((key for key in first.metrics if key != NLL), 1.0)
    unfinished = [replace(first, metrics=without, run_id=str(i) * 32) for i in range(2)]
    assert first.tags["jko.data_version"] != other.tags["jko.data_version"]
    for runs, best in (([*unfinished, other], [False, False, True]), (unfinished, [False, False])):
        for sort in ("", NLL, f"-{NLL}", "step/epsilon"):
            found = {run["run_id"]: run["best"] for run in as_json(runs_table(runs, Choice(sort=sort)))}
            assert [found[run.run_id] for run in runs] == best
        kept = as_json(runs_table(runs, Choice(best=1)))
        assert [run["run_id"] for run in kept] == [other.run_id] * sum(best)
    assert as_json(runs_table([], Choice(best=1))) == []
