"""Servers that refuse, hang, trickle or are busy: one sentence or one warning, in bounded time."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Command, command, started
from tests.flows.schedules import TINY, jko
from tests.servers import busy, hanging, trickling

CHAIN = ("--chain", "chain")


@contextmanager
def refusing() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as own:
        address = f"http://127.0.0.1:{own.getsockname()[1]}"
    yield address


def digest(folder: Path) -> str:
    said = jko(folder, "status", "chain", "--json", PREFECT_API_URL="")
    found = json.loads(said[said.index("{") :])
    assert found["state"] == "complete"
    return found["digest"]


COMMANDS = {"train": ("train", *TINY, *CHAIN), "schedule": ("schedule", "list"), "up": ("up",)}
#: bad servers, with what is said of them and the seconds that it may take
KINDS: dict[str, tuple[Callable[[], Any], str, float]] = {
    "refuses": (refusing, "cannot be reached: Connection refused", 10),
    "hangs": (hanging, "did not answer within", 30),
    "trickles": (trickling, "did not answer within", 30),
}


@pytest.mark.parametrize(
    "kinds", [("refuses",), pytest.param(("hangs", "trickles"), marks=pytest.mark.slow)], ids=" and ".join
)
def test_a_named_prefect_server_that_does_not_answer_is_one_sentence(
    tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    """All commands wait at the same time, each in a project of its own."""
    with ExitStack() as stack:
        addresses = {kind: stack.enter_context(KINDS[kind][0]()) for kind in kinds}
        command(tmp_path, "--version")  # what all are forked from is started before the clock
        begun = time.monotonic()
        asked = {
            (kind, name): begin(tmp_path / f"{kind}-{name}", words, addresses[kind])
            for kind in kinds
            for name, words in COMMANDS.items()
        }
        for (kind, name), run in asked.items():
            _, why, seconds = KINDS[kind]
            done = run.end()
            assert time.monotonic() - begun < seconds
            assert done.returncode == 2, (name, done.stderr)
            said = done.stdout + done.stderr
            (line,) = [line for line in said.splitlines() if line.startswith("jko: ")]
            assert f"the Prefect server at {addresses[kind]}/api (PREFECT_API_URL) {why}" in line
            assert "Traceback" not in said
            assert "secret" not in said


def begin(folder: Path, words: tuple[str, ...], address: str) -> Command:
    """Start a command in a new project that names this Prefect server."""
    folder.mkdir()
    (folder / "dvc.yaml").write_text("stages: {}\n")
    named = address.replace("//", "//user:secret@") + "/api"
    return Command(folder, *words, environment={"PREFECT_API_URL": named})


@pytest.mark.slow
@pytest.mark.parametrize("kind", [refusing, hanging, trickling], ids=["refuses", "hangs", "trickles"])
def test_an_mlflow_server_that_does_not_answer_costs_one_warning(
    project: Path, server: str, kind: Callable[[], Any]
) -> None:
    with kind() as address:
        named = address.replace("//", "//user:secret@")
        begun = time.monotonic()
        said = jko(project, "train", *TINY, *CHAIN, MLFLOW_TRACKING_URI=named)
        assert time.monotonic() - begun < 90
        assert said.count("tracking stopped, the run goes on") == 1
        begun = time.monotonic()
        listed = jko(project, "runs", code=1, MLFLOW_TRACKING_URI=named)
        assert time.monotonic() - begun < 25
    assert "the tracking store does not answer: MLflow's server at" in listed
    for text in (said, listed):
        assert "Traceback" not in text
        assert "secret" not in text
    assert digest(project)


@pytest.mark.slow
def test_an_mlflow_server_that_is_found_well_and_then_trickles_costs_one_warning(
    project: Path, server: str
) -> None:
    """Its health is told at once; every other answer comes one byte a second."""
    with trickling() as slow, busy(slow, lambda path, count: False) as (address, proxy):
        proxy.quick = "/health"
        begun = time.monotonic()
        said = jko(project, "train", *TINY, *CHAIN, MLFLOW_TRACKING_URI=address)
        assert time.monotonic() - begun < 90
    assert said.count("tracking stopped, the run goes on") == 1
    assert "has not answered in full within 20 s" in said
    assert digest(project)


@pytest.mark.slow
def test_a_busy_prefect_server_is_asked_again(project: Path, server: str) -> None:
    with busy(server, lambda path, count: 3 <= count < 6) as (address, proxy):
        said = jko(project, "train", *TINY, *CHAIN, PREFECT_API_URL=address)
        assert proxy.refused == 3
    assert "Prefect cannot take this run on" not in said
    assert digest(project)


@pytest.mark.slow
def test_without_a_prefect_server_that_does_anything_the_run_is_the_same(project: Path, server: str) -> None:
    jko(project, "train", *TINY, "--chain", "tracked")
    with busy(server, lambda path, count: not path.endswith("/health")) as (address, proxy):
        begun = time.monotonic()
        said = jko(project, "train", *TINY, *CHAIN, PREFECT_API_URL=address)
        assert time.monotonic() - begun < 200
        assert proxy.refused > 3
    assert said.count("Prefect cannot take this run on") == 1
    assert "Traceback" not in said
    tracked = json.loads(jko(project, "status", "tracked", "--json"))["digest"]
    assert digest(project) == tracked


@pytest.mark.slow
def test_a_prefect_server_that_becomes_busy_for_ever_does_not_end_the_run(project: Path, server: str) -> None:
    """From the first state that is set on."""
    with busy(server, lambda path, count: path.endswith("set_state")) as (address, proxy):
        said = jko(project, "train", *TINY, *CHAIN, PREFECT_API_URL=address)
        assert proxy.refused
    assert "Traceback" not in said
    assert digest(project)


@pytest.mark.slow
def test_what_is_asked_of_this_machine_goes_through_no_proxy(project: Path) -> None:
    """With servers of its own; the proxy that everything else would go through refuses."""
    with refusing() as address:
        where = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"), address)
        nowhere = address.replace("http", "socks5")
        own = {
            **where, "ALL_PROXY": nowhere, "all_proxy": nowhere, "no_proxy": "", "NO_PROXY": "example.org",
            "PREFECT_API_URL": "", "PREFECT_HOME": str(project / ".jko" / "prefect"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{project}/.jko/mlflow.db",
        }  # fmt: skip
        begun = time.monotonic()
        said = jko(project, "train", *TINY, *CHAIN, **own)
        assert time.monotonic() - begun < 150
    assert "warning" not in said
    assert digest(project)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PREFECT_CLIENT_MAX_RETRIES", "many", ("train", *TINY, *CHAIN)),
        pytest.param("PREFECT_CLIENT_MAX_RETRIES", "-1", ("schedule", "list"), marks=pytest.mark.slow),
        pytest.param("PREFECT_API_REQUEST_TIMEOUT", "soon", ("up",), marks=pytest.mark.slow),
        ("PREFECT_API_URL", "nonsense", ("train", *TINY, *CHAIN)),
        pytest.param("PREFECT_API_URL", "http://127.0.0.1:99999/api", ("up",), marks=pytest.mark.slow),
        ("PREFECT_API_URL", "ftp://127.0.0.1/api", ("schedule", "list")),
    ],
)
def test_settings_that_prefect_does_not_understand_are_one_sentence(
    project: Path, server: str, name: str, value: str, words: tuple[str, ...]
) -> None:
    done = started(*words, environment={name: value})  # Prefect reads them when it is imported
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    (line,) = [line for line in said.splitlines() if line.startswith("jko: ")]
    assert f"{name} = {value!r}" in line
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_TRACKING_URI", "nonsense://x"),
        ("MLFLOW_TRACKING_URI", "http://"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "soon"),
    ],
)
def test_settings_that_mlflow_does_not_understand_cost_one_warning(
    project: Path, server: str, name: str, value: str
) -> None:
    own = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"} if name != "MLFLOW_TRACKING_URI" else {}
    said = jko(project, "train", *TINY, *CHAIN, **{**own, name: value})
    assert said.count("tracking stopped, the run goes on") == 1
    assert "Traceback" not in said
    said = jko(project, "runs", code=1, **{**own, name: value})
    assert "Traceback" not in said
    assert "jko: the tracking store does not answer: " in said
