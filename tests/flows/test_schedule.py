"""Runs by the clock: a schedule of seconds on a real server, and what bad input is told.

What a run does that fires is in ``test_scheduled.py``, in this process; here it is fired by ``jko up``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jko.disk.sealed import read_json
from tests.flows.schedules import (
    TINY,
    client_of,
    family,
    jko,
    new_project,
    runs_of,
    states_of,
    still_running,
    up_record,
    wait_for,
)
from tests.projects import call

NAME = "every few seconds"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_project(tmp_path_factory.mktemp("by clock"))


@pytest.fixture(scope="module")
def fired(folder: Path, server: str) -> Iterator[str]:
    """A schedule that nobody served for a while, then ``jko up``, then two runs that ended."""
    said = jko(folder, "schedule", *TINY, "--interval", "4s", "--name", NAME)
    assert "run `jko up` so that it fires" in said
    wait_for(lambda: len(overdue(server)) >= 3, "three missed runs")
    jko(folder, "up")
    try:
        done = {"Completed", "Skipped"}
        wait_for(lambda: done <= set(states_of(NAME, server)), "a run that trains and one that skips")
        jko(folder, "schedule", "pause", NAME)
        # a late run may be on its way to the runner while the schedule is paused
        ended = {"Completed", "Skipped", "Cancelled"}
        wait_for(lambda: set(states_of(NAME, server)) <= ended, "the end of every run")
        yield server
    finally:
        processes = family(folder)
        said = jko(folder, "down")
        assert "the runner of schedules" in said
        assert "MLflow's server" in said
        assert not still_running(processes)


def overdue(server: str) -> list[str]:
    now = datetime.now(UTC)
    return [str(run.id) for run in runs_of(NAME, server) if run.expected_start_time < now]


@pytest.mark.slow
def test_one_run_trains_and_the_next_has_nothing_to_do(
    fired: str, folder: Path, inside: Callable[..., str]
) -> None:
    runs = [run for run in runs_of(NAME, fired) if run.state_name in ("Completed", "Skipped")]
    runs.sort(key=lambda run: run.start_time)
    assert [run.state_name for run in runs[:2]] == ["Completed", "Skipped"]
    assert all(run.state_name == "Skipped" for run in runs[1:])
    assert all(run.state_type == "COMPLETED" for run in runs)
    assert "committed under these settings" in runs[1].state.message
    assert (folder / ".jko" / "chains" / NAME / "chain.json").is_file()
    assert json.loads(inside("status", f".jko/chains/{NAME}", "--json"))["state"] == "complete"


@pytest.mark.slow
def test_of_the_missed_runs_one_stands_for_all(fired: str) -> None:
    runs = runs_of(NAME, fired)
    first = min((run for run in runs if run.state_name == "Completed"), key=lambda run: run.start_time)
    missed = [run for run in runs if run.expected_start_time < first.start_time and run.id != first.id]
    assert len(missed) >= 2
    assert {run.state_name for run in missed} == {"Cancelled"}
    assert all(str(first.id) in run.state.message for run in missed)
    assert all("one run stands for all" in run.state.message for run in missed)


@pytest.mark.slow
def test_mlflow_shows_the_run_on_its_page(fired: str, folder: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(up_record(folder)["mlflow"])
    chain = folder / ".jko" / "chains" / NAME
    query = f"tags.`jko.chain` = '{chain.resolve()}'"
    runs = client.search_runs([client.get_experiment_by_name("jko").experiment_id], query)
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert "test/nll" in runs[0].data.metrics


@pytest.mark.slow
def test_the_deployment_holds_the_validated_settings_as_a_form(fired: str, folder: Path) -> None:
    with client_of(fired) as client:
        deployment = client.read_deployment_by_name(f"jko-scheduled/{NAME}")
    schema = deployment.parameter_openapi_schema
    assert deployment.enforce_parameter_schema
    assert deployment.entrypoint == "flows.scheduled.jko_scheduled"
    assert str(folder) not in f"{deployment.path}{deployment.pull_steps}"
    assert set(schema["properties"]) == {"name", "config", "root", "on_change"}
    assert schema["properties"]["on_change"]["enum"] == ["retrain", "warm", "score"]
    sections = schema["definitions"]
    assert {"Config", "Data", "Steps", "Training"} <= set(sections)
    assert sections["Training"]["properties"]["iterations"]["default"] == 300
    assert sections["SolverSettings"]["properties"]["method"]["enum"] == ["euler", "midpoint", "rk4"]
    assert deployment.parameters["config"]["training"]["iterations"] == 5


@pytest.mark.slow
def test_the_server_refuses_parameters_that_are_none(fired: str) -> None:
    from prefect.exceptions import PrefectHTTPStatusError

    with client_of(fired) as client:
        found = client.read_deployment_by_name(f"jko-scheduled/{NAME}")
        wrong = {**found.parameters, "config": {"solver": {"method": "guess"}}}
        with pytest.raises(PrefectHTTPStatusError, match="guess"):
            client.create_flow_run_from_deployment(found.id, parameters=wrong)


@pytest.mark.slow
def test_the_list_says_when_and_how_it_went(fired: str, inside: Callable[..., str]) -> None:
    (entry,) = json.loads(inside("schedule", "list", "--json"))
    assert entry["name"] == NAME
    assert entry["when"] == "every 4s"
    assert entry["interval_seconds"] == 4
    assert entry["paused"] is True
    assert entry["next_run"] is None
    assert entry["last_run"]["state"] == "Skipped"
    assert entry["data"] == "moons"
    inside("schedule", "resume", NAME)
    (entry,) = json.loads(inside("schedule", "list", "--json"))
    assert entry["paused"] is False
    assert datetime.fromisoformat(entry["next_run"]) > datetime.now(UTC)
    inside("schedule", "pause", NAME)
    said = inside("schedule", "list")
    assert "every" in said
    assert "paused" in said


@pytest.mark.slow
def test_up_again_says_so_and_starts_nothing(fired: str, folder: Path, inside: Callable[..., str]) -> None:
    before = up_record(folder)
    found = json.loads(inside("up", "--json"))
    assert found["already_up"] is True
    assert found["pid"] == before["pid"]
    assert up_record(folder)["children"] == before["children"]
    assert f"{found['prefect']}/api" == fired
    said = inside("up", "--mlflow-port", "1234", code=2)
    assert "it is up already" in said


def test_a_schedule_is_replaced_and_removed(server: str, inside: Callable[..., str]) -> None:
    inside("schedule", *TINY, "--cron", "0 3 * * *", "--name", "night")
    said = inside(
        "schedule", *TINY, "--cron", "30 4 * * 1", "--name", "night",
        "--timezone", "Europe/Berlin", "--on-change", "score",
    )  # fmt: skip
    assert "30 4 * * 1 (Europe/Berlin), next " in said
    entry = next(
        entry for entry in json.loads(inside("schedule", "list", "--json")) if entry["name"] == "night"
    )
    coming = datetime.fromisoformat(entry["next_run"])
    assert (coming.hour, coming.minute, coming.weekday()) == (4, 30, 0)
    assert entry["on_change"] == "score"
    inside("schedule", "remove", "night")
    assert "night" not in inside("schedule", "list", "--json")
    assert "no schedule 'night' here" in inside("schedule", "remove", "night", code=2)


def test_a_file_is_scheduled_by_its_absolute_path(
    server: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "\n".join(f"{i % 7 + 0.1 * i},{(i * i) % 11 - 0.03 * i}" for i in range(60))
    (project / "my rows.csv").write_text(f"a,b\n{rows}\n")
    assert call(monkeypatch, "schedule", "--data", "my rows.csv", "--interval", "1d") == 0
    capsys.readouterr()
    assert call(monkeypatch, "schedule", "list", "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["name"] == "my rows"
    assert entry["data"] == str(project / "my rows.csv")
    assert call(monkeypatch, "schedule", "remove", "my rows") == 0


def test_another_project_on_the_same_server_keeps_its_schedule(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        new_project(tmp_path / name)
    monkeypatch.chdir(tmp_path / "one")
    assert call(monkeypatch, "schedule", *TINY, "--interval", "1d", "--name", "shared") == 0
    monkeypatch.chdir(tmp_path / "two")
    assert call(monkeypatch, "schedule", *TINY, "--interval", "1d", "--name", "shared") == 2
    assert f"belongs to {tmp_path / 'one'}" in capsys.readouterr().err
    assert call(monkeypatch, "schedule", "remove", "shared") == 2
    monkeypatch.chdir(tmp_path / "one")
    assert call(monkeypatch, "schedule", "remove", "shared") == 0


@pytest.fixture
def inside(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The command line in this process and the folder of the schedule; what it says."""
    monkeypatch.chdir(folder)

    def run(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert call(monkeypatch, *words) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


BAD = {
    "no time": ([], ('--cron "0 3 * * *" or --interval 1h',)),
    "two times": (["--cron", "0 3 * * *", "--interval", "1h"], ("either",)),
    "cron of four fields": (["--cron", "0 3 * *"], ("'0 3 * *'", "five fields")),
    "cron of six fields": (["--cron", "0 0 3 * * *"], ("five fields",)),
    "cron out of range": (["--cron", "61 * * * *"], ("'61 * * * *'", "ever fires")),
    "cron of words": (["--cron", "every day at noon ok"], ("ever fires",)),
    "cron of a day that never comes": (["--cron", "0 0 30 2 *"], ("ever fires",)),
    "cron at random": (["--cron", "R 3 * * *"], ("ever fires",)),
    "unknown alias": (["--cron", "@never"], ("'@never'",)),
    "interval without unit": (["--interval", "30"], ("'30'", "30s or 1h")),
    "interval of weeks": (["--interval", "1w"], ("'1w'",)),
    "interval of nothing": (["--interval", "0s"], ("'0s'", "between 1s and")),
    "negative interval": (["--interval", "-5m"], ("'-5m'",)),
    "interval of centuries": (["--interval", "999999999d"], ("between 1s and",)),
    "unknown timezone": (["--interval", "1h", "--timezone", "Mars"], ("'Mars'", "Europe/Berlin")),
    "timezone with cron": (["--cron", "0 3 * * *", "--timezone", "CEST+9"], ("'CEST+9'",)),
    "name of a path": (["--interval", "1h", "--name", "../x"], ("'../x'", "letters")),
    "empty name": (["--interval", "1h", "--name", " "], ("cannot name",)),
    "unknown way": (["--interval", "1h", "--on-change", "ignore"], ("ignore", "retrain")),
    "setting out of range": (["--interval", "1h", "--set", "steps.count=0"], ("steps.count",)),
    "missing file": (["--interval", "1h", "--data", "no.csv"], ("no.csv", "no such file")),
    "list with options": (["--interval", "1h", "list"], ("--preset", "jko schedule list")),
    "unknown subcommand": (["lisst"], ("lisst",)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_sentence_and_schedules_nothing(
    name: str, home: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, says = BAD[name]
    preset = [] if "no.csv" in words else ["--preset", "smoke"]
    # an address where nothing listens: a wish that gets as far as a server would wait for it
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert call(monkeypatch, "schedule", *preset, *words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert all(part in said[-1] for part in says), said
    assert "Traceback" not in "\n".join(said)
    assert not list((project / ".jko").rglob("*"))


def test_down_without_up_says_so(
    home: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "down") == 0
    assert capsys.readouterr().out.strip() == "nothing was up"


def test_a_port_that_is_taken_is_refused(
    home: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert call(monkeypatch, "up", "--mlflow-port", port) == 2
    assert f"--mlflow-port {port}: another program listens there" in capsys.readouterr().err
    assert read_json(project / ".jko" / "up" / "up.json") is None


def test_an_embedded_server_is_not_started_beside_a_named_one(
    server: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    assert call(monkeypatch, "up", "--port", "4321") == 2
    assert "PREFECT_API_URL names another" in capsys.readouterr().err
    assert time.monotonic() - begun < 5
