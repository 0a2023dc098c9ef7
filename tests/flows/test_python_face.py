"""The library and the pipeline are one: equal weights, equal numbers, and folders that each other reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import flows
import jko
from jko.disk.layout import Layout
from tests.flows.schedules import jko as called
from tests.jko.faces import FEW, options, rows, weights

SETTINGS: dict[str, Any] = {
    **FEW, "measure.critic_centres": 3, "measure.reference_rows": 20, "evaluation.samples": 50,
    "measure.samples": 200, "measure.resolutions": [0.5],
    "evaluation.mixture_components": [1, 2],
    "data.split": {"validation": 0.3, "test": 0.1},
}  # fmt: skip


def frame() -> pd.DataFrame:
    """Three measurements, and one that is counted."""
    counted = torch.poisson(torch.full((900,), 5.0), generator=torch.Generator().manual_seed(1))
    return pd.DataFrame(rows(900).numpy(), columns=["a", "b", "c"]).assign(n=counted.numpy().astype(int))


def words() -> list[str]:
    """The settings as options of the command line."""
    return options(SETTINGS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with a chain of the command line and a flow of the library, of the same rows."""
    place = tmp_path_factory.mktemp("both")
    (place / "dvc.yaml").write_text("stages: {}\n")
    frame().to_csv(place / "t.csv", index=False)
    called(place, "train", "--data", "t.csv", "--chain", "c", *words())
    jko.fit(frame(), settings=SETTINGS, folder=place / "f", progress=False)
    return place


def test_both_train_the_same_weights(folder: Path) -> None:
    by_command, by_library = weights(folder / "c"), weights(folder / "f")
    assert len(by_command) == 2
    assert by_command == by_library


def test_a_loaded_chain_samples_and_scores_as_the_command_does(folder: Path) -> None:
    called(folder, "sample", "c", "-n", "30", "-o", "drawn.csv", "--seed", "4")
    called(folder, "score", "c", "t.csv", "-o", "scores.csv")
    flow = jko.load(folder / "c")
    drawn = pd.read_csv(folder / "drawn.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(drawn, flow.sample(30, seed=4), check_exact=True)
    assert pd.read_csv(folder / "drawn.csv")["n"].dtype == int
    called(folder, "sample", "c", "-n", "30", "-o", "between.csv", "--seed", "4", "--continuous")
    between = pd.read_csv(folder / "between.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(between, flow.sample(30, seed=4, raw=True), check_exact=True)
    assert (between["n"] % 1 != 0).all()
    scores = pd.read_csv(folder / "scores.csv", float_precision="round_trip")
    values, errors = flow.log_prob_with_error(frame())
    np.testing.assert_array_equal(scores["log_density"].to_numpy(), values.to_numpy())
    np.testing.assert_array_equal(scores["log_density_se"].to_numpy(), errors.to_numpy())


def test_the_command_reads_a_folder_of_the_library(folder: Path) -> None:
    said = called(folder, "status", "f")
    assert "f.run" not in said
    called(folder, "sample", "f", "-n", "5", "-o", "of_f.csv")
    assert len(pd.read_csv(folder / "of_f.csv")) == 5


def test_the_command_takes_a_folder_of_the_library_over(folder: Path) -> None:
    said = called(folder, "train", "--from", "f", "--chain", "taken")
    assert "taken from f: blocks 1..2" in said
    assert weights(folder / "taken") == weights(folder / "c")
    assert (folder / "taken.report" / "report.html").is_file()
    again = called(folder, "train", "--from", "f", "--chain", "taken")
    assert "nothing to do" in again
    assert "rows of block 2" in called(folder, "verify", "taken")
    jko.load(folder / "f").save(folder / "bare")
    assert "saved without its rows" in called(folder, "train", "--from", "bare", "--chain", "no", code=2)


def test_training_through_the_pipeline_from_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    flow = flows.train(frame(), folder="piped", settings=SETTINGS)
    assert weights(folder / "piped") == weights(folder / "c")
    assert isinstance(flow.sample(3), pd.DataFrame)
    page = folder / "piped.report" / "report.html"
    before = page.stat().st_mtime_ns
    flows.train(frame(), folder="piped", settings=SETTINGS)
    assert page.stat().st_mtime_ns == before
    of_file = flows.train("t.csv", folder="filed", settings=SETTINGS)
    assert weights(folder / "filed") == weights(folder / "c")
    pd.testing.assert_frame_equal(of_file.sample(3), jko.load(folder / "piped").sample(3))


def test_a_flow_is_certified_as_its_chain(folder: Path) -> None:
    whole = json.loads(called(folder, "certify", "c", "--json"))
    assert whole["chain"]["kl_lower_bound"] is not None
    for flow in (jko.load(folder / "c"), jko.load(folder / "f")):
        assert flow.certify()["chain"] == whole["chain"]
    other = jko.load(folder / "f").certify(frame().iloc[:300])
    assert other["chain"]["kl_lower_bound"] not in (None, whole["chain"]["kl_lower_bound"])
    with pytest.raises(jko.InputError, match="saved without its rows"):
        bare(folder).certify()


def test_rows_that_are_certified_stay_as_they_are(folder: Path) -> None:
    held_out = torch.from_numpy(frame().iloc[:300].to_numpy(dtype=float))  # real columns of the chain
    before, shown = held_out.clone(), frame().iloc[:300]
    by_tensor = jko.load(folder / "f").certify(held_out)
    assert torch.equal(held_out, before)
    by_frame = jko.load(folder / "f").certify(shown)
    pd.testing.assert_frame_equal(shown, frame().iloc[:300])
    # a frame's counts get noise, and those of a tensor have what they have
    assert by_frame["chain"]["nll"] == pytest.approx(by_tensor["chain"]["nll"], abs=0.2)
    assert by_frame["chain"]["nll"] != by_tensor["chain"]["nll"]


@pytest.mark.slow
def test_a_flow_of_classes_is_certified_on_a_frame_with_their_column() -> None:
    classes = np.arange(300) % 2
    settings = {**SETTINGS, "data.split": {"validation": 0.3, "test": 0.2}}
    flow = jko.fit(rows(), context=classes, settings=settings, progress=False)
    held_out = pd.DataFrame(rows(seed=5).numpy(), columns=list(flow.columns))
    by_frame = flow.certify(held_out.assign(**{"class": classes}))
    assert by_frame["chain"] == flow.certify(held_out.to_numpy(), context=classes)["chain"]


@pytest.mark.slow
def test_a_flow_writes_the_report_page(folder: Path, tmp_path: Path) -> None:
    page = jko.load(folder / "f").report(tmp_path / "page")
    assert page.is_file()
    assert "<html" in page.read_text()[:500]
    with pytest.raises(jko.InputError, match="not empty"):
        jko.load(folder / "f").report(tmp_path / "page")


def bare(folder: Path) -> jko.Flow:
    if not (folder / "alone").exists():
        jko.load(folder / "f").save(folder / "alone")
    return jko.load(folder / "alone")


def test_rows_of_a_folder_without_its_rows_are_asked_for(folder: Path) -> None:
    """A chain whose rows came from Python, and are gone: the sentence names the way on."""
    layout = Layout(folder / "lost")
    jko.fit(frame(), settings=SETTINGS, folder=layout.chain, progress=False)
    for path in layout.chain.glob("blocks/*/rows.safetensors"):
        path.unlink()
    said = called(folder, "resume", "lost", code=2)
    assert "given from Python" in said


@pytest.mark.parametrize(
    ("x", "more", "said"),
    [
        ("none.csv", {}, "no such file"),
        ("letter.csv", {"context": ["a"]}, r"context: of a file, name its columns"),
        ("letter.csv", {"settings": ["steps.count=3"]}, "give a dict"),
        ("letter.csv", {"folder": 3}, "give the path of a folder"),
        ("letter.csv", {"folder": "letter.csv"}, "no folder can be made or used there"),
    ],
)
def test_a_training_that_cannot_begin_is_one_sentence(
    x: str, more: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("letter.csv").write_text("mine")
    with pytest.raises(jko.InputError, match=said):
        flows.train(x, **{"folder": "c", **more})
    assert [path.name for path in tmp_path.iterdir()] == ["letter.csv"]
