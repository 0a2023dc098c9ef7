"""Folders that commands name: what cannot be a chain's is one sentence, and nothing is written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.places import chain_at, new_chain_at
from jko.core.errors import InputError
from tests.projects import call


def link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


CASES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "a file": ("x", "it is a file", lambda path: path.write_text("x")),
    "a pipe": ("x", "it is a file", os.mkfifo),
    "in a file": ("dvc.yaml/x", "a part of this path is a file", lambda path: None),
    "a device": ("/dev/null", "it is a file", lambda path: None),
    "a link to nothing": ("x", "leads to nothing", link("nowhere")),
    "links in a circle": ("x", "cannot be followed", link("x")),
    "300 letters": ("x" * 300, "too long", lambda path: None),
    "230 bytes in 115 letters": ("ä" * 115, "too long", lambda path: None),
    "a long path": ("/".join(["x" * 100] * 40), "too long", lambda path: None),
    "the root": ("/", "cannot be a chain's", lambda path: None),
    "an escape": ("a\x1b[31m", "control characters", lambda path: None),
    "two lines": ("a\nb", "control characters", lambda path: None),
    "no UTF-8": ("a\udcff", "control characters", lambda path: None),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("words", ["train --preset smoke --chain", "status", "sample -n 3 -o s.csv", "plan"])
def test_what_can_be_no_chain(
    name: str, words: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, said, make = CASES[name]
    if not place.startswith("/") and len(place) < 10:
        make(project / place)
    before = sorted(os.listdir(project))
    assert call(monkeypatch, *words.split(), place) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1]
    assert len(lines) == 1
    assert "\x1b" not in lines[0]
    assert sorted(os.listdir(project)) == before


def test_an_empty_path_is_none(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["train", "--preset", "smoke", "--chain", ""], ["status", ""], ["plan", ""]):
        assert call(monkeypatch, *words) == 2
        assert "an empty path names nothing" in capsys.readouterr().err


def chain(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "chain.json").write_text(json.dumps({"format": 1}))
    return folder


@pytest.mark.parametrize("place", ["c/x", "c/x/y", "no/../c/x", "c.run/x", "c.report/x", "c.evaluation/x/y"])
def test_no_chain_inside_another(place: str, project: Path) -> None:
    chain(project / "c")
    with pytest.raises(InputError, match="belongs to the chain c;"):
        new_chain_at(Path(place), project)


@pytest.mark.parametrize("place", ["c.run", "c.report", "x/c.evaluation"])
def test_no_chain_where_one_leaves_its_results(place: str, project: Path) -> None:
    with pytest.raises(InputError, match="lie beside chains"):
        new_chain_at(Path(place), project)


def test_folders_that_only_look_so_are_none(project: Path) -> None:
    """A project in a folder named annual.report, say."""
    (project / "annual.report").mkdir()
    assert new_chain_at(Path("annual.report/c"), project).chain == Path("annual.report/c")


def test_every_way_to_name_a_chain_is_the_same_chain(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (chain(project / "a" / "c") / "blocks").mkdir()
    ways = ["a/c", "a/c/", "./a//c", "a/c/blocks/..", str(project / "a/c")]
    assert {chain_at(Path(way), project).chain.absolute() for way in ways} == {project / "a" / "c"}
    monkeypatch.chdir(project / "a" / "c")
    assert chain_at(Path("."), project).run == project / "a" / "c.run"
    monkeypatch.chdir(project / "a" / "c" / "blocks")
    assert chain_at(Path(".."), project).run == project / "a" / "c.run"


def test_other_places_too(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "circle.csv").symlink_to("circle.csv")
    long = "x" * 300
    for words in (
        ["train", "--data", f"{long}.csv", "--chain", "c"], ["train", "--data", "circle.csv", "--chain", "c"],
        ["compare", long, "c"], ["compare", "c", "d", "-o", f"{long}/x"], ["compare", "c", "d", "-o", long],
        ["sample", "c", "-n", "1", "-o", f"{long}.csv"], ["sample", "c", "-n", "1", "-o", "dvc.yaml/x.csv"],
        ["sweep", long, "--grid", "training.iterations=1"], ["experiment", "cltx", "-o", long],
    ):  # fmt: skip
        assert call(monkeypatch, *words) == 2, words
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert said.strip().splitlines()[-1]
    assert sorted(os.listdir(project)) == ["circle.csv", "dvc.yaml"]
