"""How far data and model are apart: in certificate, status, report, comparison and gate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tasks.adapters.mlflow.tracking_store import own_name, told_as
from tests.projects import ROUGH, call

FIELDS = (
    "resolution", "upper", "upper_se", "upper_95", "lower", "lower_se", "lower_95", "rows", "samples",
    "density",
)  # fmt: skip


@pytest.fixture
def project(smoke_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project with the chain ``c``, as working directory."""
    shutil.copytree(smoke_project, tmp_path / "p", ignore=shutil.ignore_patterns(".jko"))
    monkeypatch.chdir(tmp_path / "p")
    return tmp_path / "p"


def said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str, code: int = 0
) -> str:
    """What a command prints."""
    capsys.readouterr()
    assert call(monkeypatch, *words) == code
    return capsys.readouterr().out


def test_the_certificate_brackets_the_model_and_all_views_say_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = json.loads(said(capsys, monkeypatch, "certify", "c", "--json"))["chain"]
    assert [one["resolution"] for one in whole["bracket"]] == [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9]
    for one in whole["bracket"]:
        assert set(one) == set(FIELDS)
        assert one["lower_95"] < one["lower"] <= one["upper"] < one["upper_95"]
        assert (one["rows"], one["samples"], one["density"]) == (200, 2000, "samples")
    certified = whole["certified_resolution"]
    assert certified == min(b["resolution"] for b in whole["bracket"] if b["upper"] - b["lower"] <= 0.1)
    assert [one["columns"] for one in whole["columns"]] == [["x"], ["y"]]
    assert [one["columns"] for one in whole["pairs"]] == [["x", "y"]]

    sentence = json.loads(said(capsys, monkeypatch, "status", "c", "--json"))["says"][0]
    assert sentence.startswith(f"At a resolution of {certified:g} standard deviations, data and model differ")
    for words in (("certify", "c"), ("status", "c")):
        assert sentence in " ".join(said(capsys, monkeypatch, *words).split())
    assert sentence in Path("c.report/report.html").read_text()
    assert {path.name for path in Path("c.report").glob("*.png")} >= {
        "resolution.png",
        "pairs.png",
        "worst.png",
    }


def test_a_gate_takes_the_level_itself_and_the_difference_with_a_sign(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    upper = json.loads(said(capsys, monkeypatch, "certify", "c", "--json"))["chain"]["bracket"][3]["upper"]
    for condition, code in (
        (f"bracket/upper@0.2 > {upper + 0.01:.4f}", 0),
        (f"bracket/upper@0.2 > {upper - 0.01:.4f}", 5),
        ("bracket/upper@0.2 > +0.01", 0),
        ("bracket/upper@0.2 < +0.01", 5),
        ("chain/certified_resolution > 0.9", 0),
        ("bracket/upper@0.33 > 0.1", 2),
    ):
        said(capsys, monkeypatch, "compare", "c", "c", "--fail-if", condition, code=code)
    table = said(capsys, monkeypatch, "compare", "c", "c")
    assert table.count("bracket/") == 2  # the levels at one resolution, not all figures


def test_the_baselines_are_bracketed_by_as_many_samples(project: Path) -> None:
    found = json.loads(Path("c.evaluation/figures.json").read_text())["baseline_brackets"]
    assert sorted(found) == ["gaussian", "mixture"]
    for brackets in found.values():
        assert [one["resolution"] for one in brackets] == [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9]
        assert {(one["density"], one["samples"]) for one in brackets} == {("samples", 2000)}
    # moons are no Gaussian, and what is known of that grows with the detail
    at = {one["resolution"]: one["lower_95"] for one in found["gaussian"]}
    assert at[0.2] > at[0.5] > at[0.9]
    assert at[0.2] > 0.1


def test_a_chain_stops_where_its_bracket_is_small_and_the_test_rows_are_asked(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train", "--preset", "smoke", "--chain", "b", "--set", "steps.count=2")
    rule = ("--set", "stop.bracket=3", "--set", "stop.resolution=0.45", *ROUGH)
    said(capsys, monkeypatch, *words, *rule)
    whole = json.loads(said(capsys, monkeypatch, "certify", "b", "--json"))
    assert whole["chain"]["steps"] == 1
    level, looks = (whole["blocks"][0][name] for name in ("bracket_upper_95", "bracket_looks"))
    assert 0 < level <= 3
    assert looks == 2
    at = next(one for one in whole["chain"]["bracket"] if one["resolution"] == 0.45)
    assert whole["chain"]["stopped"] == (
        f"data and model differ by at most {level:.3g} ≤ 3 nats at 0.45 standard deviations (95 % for "
        f"all 2 blocks together, validation rows); the test rows confirm it: at most {at['upper_95']:.3g} "
        "nats at 0.45"
    )


def test_names_in_mlflow_lead_back() -> None:
    assert told_as("bracket/upper@0.2") == "bracket/upper:0.2"
    assert own_name(told_as("bracket/upper@0.2")) == "bracket/upper@0.2"
