"""The benchmark of chains to unnormalised targets: its cases, its table, and how it goes on."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import sampling
from benchmarks.sampling import CASES, FILE, RATE, TARGETS, Case, main, table
from flows.places import project_root
from flows.settings import build_request


def figures(case: Case) -> dict[str, Any]:
    """Made-up figures of a case without exact samples."""
    found = {"name": case.name, "core_s": 7.0, "target/log_z": -1.5, "target/log_z_se": 0.01}
    found |= {"target/effective_share": 0.5}
    return found | ({"target/redrawn": 0.19} if case.correction else {})


def test_every_target_stands_once_without_and_once_with_corrections() -> None:
    names = [case.name for case in CASES]
    assert names[::2] == [target.name for target in TARGETS]
    assert names[1::2] == [f"{target.name}, corrected" for target in TARGETS]
    assert {case.correction for case in CASES[1::2]} == {RATE}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_settings_are_valid(case: Case) -> None:
    changes = case.settings()[1::2]
    config = build_request(project_root(), preset="targets", assignments=changes).config
    assert config.target.correction == case.correction
    assert len(config.data.mean) == case.dim


def test_the_table_says_how_many_rows_were_drawn_again() -> None:
    lines = table([figures(TARGETS[0]), figures(TARGETS[0].corrected)]).splitlines()
    assert "redrawn between blocks" in lines[0]
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["–", "0.190"]


def test_it_goes_on_case_by_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def run(case: Case) -> dict[str, Any]:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(case.name)
        return figures(case)

    page = tmp_path / "README.md"
    page.write_text("<!-- sampling -->\n<!-- /sampling -->\n")
    monkeypatch.setattr(sampling, "run", run)
    monkeypatch.setattr(sampling, "keep", partial(sampling.keep, readme=page))
    CliRunner().invoke(main, ["--results", str(tmp_path)])
    assert set(json.loads((tmp_path / FILE).read_text())["rows"]) == {case.name for case in CASES[:3]}
    done.clear()
    CliRunner().invoke(main, ["--results", str(tmp_path), "--only", "banana"])
    assert done == [case.name for case in CASES if "banana" in case.name]
    assert "banana, d = 2, corrected" in page.read_text()
