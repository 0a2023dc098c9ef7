"""The commands for any file, with budgets of a second, and the page of tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from benchmarks import side_by_side, tables
from benchmarks.cell import Cell, run_cell
from benchmarks.figures import stored
from benchmarks.methods import METHODS
from benchmarks.picture import main as picture
from benchmarks.tabular import main as tabular
from tests.benchmarks.recorded import write_record

#: without the peers, and without ours, which has tests of its own
OURS_ONLY = ("gaussian", "mixture")


@pytest.fixture(autouse=True)
def few_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "SHOWN", OURS_ONLY)


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    draws = np.random.default_rng(0).standard_normal((300, 3))
    draws[:, 2] = draws[:, 0] * 2 + 0.1 * draws[:, 1] + 0.1 * draws[:, 2]
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c\n" + "".join(f"{a},{b},{c}\n" for a, b, c in draws))
    return path


@pytest.fixture
def picture_file(tmp_path: Path) -> Path:
    grey = np.full((12, 16), 255, dtype=np.uint8)
    grey[3:6, 4:12] = 40
    path = tmp_path / "bar.png"
    Image.fromarray(grey).save(path)
    return path


def ended_well(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_table_gives_rows_in_json(rows_file: Path) -> None:
    said = ended_well(CliRunner().invoke(tabular, [str(rows_file), "--seconds", "0.3", "--json"]))
    found = json.loads(said)["rows"]
    assert {row["name"] for row in found} == {"one Gaussian", "Gaussian mixture"}
    assert all(isinstance(row["ours"], bool) and row["nll"] < 3 and row["se"] > 0 for row in found)
    assert all(row["core_s"] > 0 for row in found)


def test_a_picture_gives_gaps(picture_file: Path) -> None:
    said = ended_well(CliRunner().invoke(picture, [str(picture_file), "--peer-seconds", "0.3", "--json"]))
    found = {row["name"]: row for row in json.loads(said)["rows"]}
    assert set(found) == {"one Gaussian", "Gaussian mixture"}  # published figures are of another picture
    assert 0 < found["Gaussian mixture"]["gap"] < found["one Gaussian"]["gap"]


def test_the_table_on_the_terminal_has_a_row_a_method(rows_file: Path) -> None:
    said = ended_well(CliRunner().invoke(tabular, [str(rows_file), "--seconds", "0.3", "--columns", "a,b"]))
    assert "one Gaussian" in said
    assert "NLL, nats" in said


def test_a_peer_that_is_not_installed_is_a_row_that_says_so(
    rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "SHOWN", ("gaussian", "nsf"))
    absent = replace(METHODS["nsf"], packages=("no-such-package",))
    monkeypatch.setattr(side_by_side, "METHODS", {**METHODS, "nsf": absent})
    said = ended_well(CliRunner().invoke(tabular, [str(rows_file), "--seconds", "0.3", "--json"]))
    found = {row["name"]: row for row in json.loads(said)["rows"]}
    assert found["NSF (zuko)"]["note"] == "not installed"
    assert found["NSF (zuko)"]["nll"] is None


@pytest.mark.parametrize(
    ("command", "name", "content", "sentence"),
    [
        (picture, "absent.png", None, "no such file"),
        (picture, "text.png", "hello", "not a readable picture"),
        (picture, "rows.csv", "a,b\n1,2\n", "not a picture"),
        (tabular, "absent.csv", None, "no such file"),
        (tabular, "bar.png", "hello", "benchmarks.picture"),
        (tabular, "words.csv", "a,b\nx,y\n", "no numeric column"),
        (tabular, "short.csv", "a,b\n1,2\n3,4\n", "at least 6"),
    ],
)
def test_bad_files_end_with_one_sentence_and_exit_code_2(
    tmp_path: Path, command: object, name: str, content: str | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    result = CliRunner().invoke(command, [str(tmp_path / name)])  # type: ignore[arg-type]
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_page_gets_its_tables_and_keeps_its_text(tmp_path: Path) -> None:
    results = tmp_path / "results"
    record = write_record(tmp_path / "tuning.json")
    for seed in range(3):
        run_cell(Cell("breast_cancer", "gaussian", seed=seed, seconds=120), None, results, record=record)
    page = tmp_path / "README.md"
    names = list(tables.contents(stored()))
    marks = "".join(f"<!-- {name} -->old<!-- /{name} -->\nkept\n" for name in names)
    page.write_text(marks)
    ended_well(CliRunner().invoke(tables.main, ["--results", str(results), "--readme", str(page)]))
    text = page.read_text()
    assert "old" not in text
    assert text.count("kept") == len(names)
    assert "| one Gaussian | " in text
    assert "JKO-iFlow, published | 0.154" in text
    assert "…" in text  # several seeds: the smallest and the largest


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing")
    result = CliRunner().invoke(tables.main, ["--results", str(tmp_path), "--readme", str(page)])
    assert result.exit_code == 2
    assert "no marks" in result.stderr
