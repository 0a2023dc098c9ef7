"""Planning takes what doing takes, says the same of it, and writes nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest

from flows.cli.main import cli
from tests.projects import call


def options(name: str) -> set[str]:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return {word for one in command.params if isinstance(one, click.Option) for word in one.opts}


def test_planning_has_every_option_of_doing() -> None:
    assert options("train") <= options("plan")
    assert options("resume") <= options("plan")


@pytest.fixture
def chain(smoke_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in smoke_project.iterdir():
        if path.name != ".jko":
            copy = shutil.copytree if path.is_dir() else shutil.copy2
            copy(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> list[tuple[int, str]]:
    assert call(monkeypatch, "plan", *words, "--json") == 0
    return [(block["index"], block["action"]) for block in json.loads(capsys.readouterr().out)["blocks"]]


PLANS = {
    "c": ["done", "done", "done"],
    "c --extend 2": ["done", "done", "done", "train", "train"],
    "c --set steps.count=1": ["done", "done"],
    "c --set training.iterations=41": ["done", "retrain", "retrain"],
    "c --from-block 2": ["done", "done", "retrain"],
    "c --from-block 1 --stop-after 1": ["done", "retrain", "later"],
    "c --extend 2 --stop-after 3 --wait 1": ["done", "done", "done", "train", "later"],
    "c --extend 1 --from-block 2": ["done", "done", "retrain", "train"],
    "--preset smoke --chain n": ["train"] * 4,
    "--preset smoke --chain n --from c": ["take", "take", "take", "train"],
    "--preset smoke --chain n --from c --stop-after 1": ["take", "take", "later", "later"],
    "--preset smoke --chain n --start-from c --seed 1": ["train"] * 4,
}


@pytest.mark.parametrize("words", PLANS)
def test_a_plan_with_the_options_of_doing(
    words: str, chain: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(chain.rglob("*"))
    assert planned(capsys, monkeypatch, *words.split()) == list(enumerate(PLANS[words]))
    assert sorted(chain.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    ["--from c c", "c --from nowhere", "c --stop-after 3", "c --from-block 3", "c --set steps.number=3"],
)
def test_what_doing_refuses_planning_refuses(
    words: str, chain: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    for command in ("resume", "plan"):
        assert call(monkeypatch, command, *words.split()) == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]


@pytest.mark.parametrize(
    "word", ["--preset smoke", "--data x.csv", "--chain d", "--seed 3", "--start-from c"]
)
def test_a_chain_is_planned_with_its_own_settings(
    word: str, chain: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(monkeypatch, "plan", "c", *word.split()) == 2
    assert f"leave {word.split(maxsplit=1)[0]} out" in capsys.readouterr().err
