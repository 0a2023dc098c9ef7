"""Chains that start behind a fitted map: every figure and sample is in the units of the table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from jko.config import parse_config
from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chains import load_chain
from tests.projects import call

ROWS = 600
QUICK = (
    "training.flow_matching_iterations=60", "training.iterations=0", "training.batch_size=128",
    "network.hidden=[16,16]", "steps.sizes=[0.5,4.0]", "solver.steps=4", "evaluation.samples=300",
    "evaluation.mixture_components=[1]", "measure.samples=200", "measure.resolutions=[0.5]",
)  # fmt: skip


def table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """A percentage with many zeros, a skewed amount that goes with it, a heavy tail."""
    draw = np.random.default_rng(seed)
    percent = np.where(draw.random(rows) < 0.45, 0, np.round(100 * draw.beta(2, 7, rows), 1))
    amount = np.exp(3 + 0.02 * percent + 0.7 * draw.normal(size=rows))
    return pd.DataFrame({"percent": percent, "amount": amount, "heavy": draw.standard_t(2, rows)})


@pytest.fixture(scope="module", params=["marginals", pytest.param("whiten", marks=pytest.mark.slow)])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp(str(request.param))
    table().to_csv(place / "t.csv", index=False)
    (place / "dvc.yaml").write_text("stages: {}\n")
    settings = [f"data.standardise={request.param}", "data.kinds=off", *QUICK]
    words = [word for text in settings for word in ("--set", text)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert call(patch, "train", "--data", "t.csv", "--chain", "chain", *words) == 0
    return place


def test_stored_figures_are_those_of_the_table(folder: Path) -> None:
    """The NLL that blocks measure goes by stored log-determinants, the test NLL by the chain itself."""
    layout = Layout(folder / "chain")
    chain = required_manifest(layout).fingerprints
    facts, config = read_facts(layout, chain[0]), stored_config(layout)
    model = load_chain(layout, config, chain)
    stored = read_samples(layout, 0, chain[0], "test")
    x = facts.in_data_units(stored)
    raw = table().to_numpy()[read_samples(layout, 0, chain[0], "test_rows")]
    assert (np.abs(x - raw) <= np.array(facts.grid) / 2 + 1e-4 * (1 + np.abs(raw))).all()
    np.testing.assert_allclose(facts.log_det(stored), model.start_log_det(torch.from_numpy(x)), atol=1e-3)
    pushed = model(torch.from_numpy(x))  # the blocks alone, as they are measured
    nll = -float((model.reference_log_prob(pushed.x) + pushed.log_det).mean())
    measured = json.loads(layout.measures(2, chain[2]).read_text())
    assert _find(measured, "nll") == pytest.approx(nll, abs=2e-3)


def _find(record: dict[str, object], name: str) -> float:
    """A figure, wherever in a sealed record it stands."""
    for key, value in record.items():
        if key == name and isinstance(value, float):
            return value
        if isinstance(value, dict) and (found := _find(value, name)) == found:
            return found
    return float("nan")


def test_samples_are_like_the_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert call(monkeypatch, "sample", "chain", "-n", "2000", "--continuous", "-o", "s.csv") == 0
    drawn = pd.read_csv("s.csv")
    assert list(drawn.columns) == ["percent", "amount", "heavy"]
    wanted = table(20_000, 1)
    for name in drawn.columns:
        near = 0.25 * (wanted[name].quantile(0.75) - wanted[name].quantile(0.25))
        assert drawn[name].median() == pytest.approx(wanted[name].median(), abs=3 * near)
    if "marginals" in str(folder):  # its columns are right from the start
        assert (drawn["percent"].abs() < 0.06).mean() == pytest.approx(0.45, abs=0.08)


def test_it_verifies_and_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert call(monkeypatch, "verify", "chain") == 0
    assert call(monkeypatch, "certify", "chain") == 0


def test_a_damaged_map_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    file = next(path for path in (folder / "chain").rglob("start.safetensors"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    try:
        assert call(monkeypatch, "score", "chain", "t.csv", "-o", "scores.csv") == 2
        assert "start.safetensors" in capsys.readouterr().err
    finally:
        file.write_bytes(whole)


def test_the_default_keeps_its_identity() -> None:
    """Chains of before are not behind a map, and their data's settings are the same words."""
    assert parse_config({}).data.model_dump()["standardise"] == "on"
    assert parse_config({"data": {"standardise": True}}).data.standardise == "on"
