"""A CSV as people have it, by the command line: trained, sampled, scored, planned, described."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jko
from tests.flows.schedules import jko as called
from tests.jko.faces import FEW, options, weights

SETTINGS: dict[str, Any] = {
    **FEW, "data.standardise": "auto", "measure.critic_centres": 3, "measure.reference_rows": 20,
    "evaluation.samples": 50, "evaluation.mixture_components": [1, 2],
}  # fmt: skip


def frame(rows: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    income = rng.choice(["<=50K", ">50K"], rows, p=[0.7, 0.3])
    return pd.DataFrame(
        {
            "": np.arange(rows),
            "age": rng.integers(17, 80, rows),
            "sex": rng.choice(["Male", "Female"], rows),
            "gain": np.where(rng.random(rows) < 0.8, 0, rng.integers(1, 400, rows) * 25),
            "day": [f"2025-01-{day:02d}" for day in rng.integers(1, 32, rows)],
            "height": np.round(rng.normal(170, 10, rows), 1),
            "name": [f"somebody {i} of {3 * i}" for i in range(rows)],
            "formula": rng.choice(["=1+1", "plain"], rows),
            "income": income,
        }
    )


KEPT = ["age", "sex", "gain", "day", "height", "formula", "income"]


def words(**more: Any) -> list[str]:
    return options({**SETTINGS, **more})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with a chain of a CSV whose columns have kinds."""
    place = tmp_path_factory.mktemp("adult")
    (place / "dvc.yaml").write_text("stages: {}\n")
    frame().to_csv(place / "t.csv", index=False)
    called(place, "train", "--data", "t.csv", "--chain", "c", *words())
    return place


def test_what_was_trained_has_nothing_to_do(folder: Path) -> None:
    before = weights(folder / "c")
    assert "nothing to do" in called(folder, "train", "--data", "t.csv", "--chain", "c", *words())
    assert "nothing to do" in called(folder, "resume", "c")
    plan = json.loads(called(folder, "plan", "--data", "t.csv", "--chain", "c", *words(), "--json"))
    assert plan["complete"]
    assert plan["kinds"] == {
        "Unnamed: 0": "index", "age": "integer", "sex": "categorical", "gain": "atoms", "day": "date",
        "height": "continuous", "name": "text", "formula": "categorical", "income": "categorical",
    }  # fmt: skip
    assert "start" in plan["choices"][0]
    assert weights(folder / "c") == before


def test_samples_are_rows_of_the_same_table(folder: Path) -> None:
    said = called(folder, "sample", "c", "-n", "300", "-o", "s.csv")
    assert "outside the range of the training rows" in said or "within the range" in said
    drawn, table = pd.read_csv(folder / "s.csv"), pd.read_csv(folder / "t.csv")
    assert list(drawn.columns) == KEPT
    assert dict(drawn.dtypes) == dict(table[KEPT].dtypes)
    for name in ("sex", "income"):
        assert set(drawn[name]) <= set(table[name])
    assert (pd.to_datetime(drawn["day"], format="%Y-%m-%d").dt.strftime("%Y-%m-%d") == drawn["day"]).all()
    assert set(drawn["formula"]) <= {"'=1+1", "plain"}  # no spreadsheet runs it
    assert (np.round(drawn["height"], 1) == drawn["height"]).all()
    assert 0.5 < (drawn["gain"] == 0).mean() <= 1
    called(folder, "sample", "c", "-n", "300", "-o", "s.feather")
    called(folder, "sample", "c", "-n", "300", "-o", "s.parquet")
    flow = jko.load(folder / "c").sample(300)
    pd.testing.assert_frame_equal(pd.read_feather(folder / "s.feather"), flow)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "s.parquet"), flow)


def test_plain_numbers_hold_no_text(folder: Path) -> None:
    said = called(folder, "sample", "c", "-n", "3", "-o", "s.npy", code=2)
    assert "column 'sex' holds no numbers" in said
    assert not (folder / "s.npy").exists()
    called(folder, "sample", "c", "-n", "3", "-o", "raw.npy", "--raw")
    flow = jko.load(folder / "c")
    np.testing.assert_array_equal(np.load(folder / "raw.npy"), flow.sample(3, raw=True).to_numpy())


def test_scores_are_those_of_the_flow_and_of_the_samples_file(folder: Path) -> None:
    said = called(folder, "score", "c", "t.csv", "-o", "scores.csv")
    assert "600 of 600 rows scored, mean log-probability" in said
    found = pd.read_csv(folder / "scores.csv", float_precision="round_trip")
    rows = pd.read_csv(folder / "t.csv")
    values, errors = jko.load(folder / "c").log_prob_with_error(rows)
    np.testing.assert_array_equal(found["log_density"], values)
    np.testing.assert_array_equal(found["log_density_se"], errors)
    called(folder, "sample", "c", "-n", "40", "-o", "own.csv", "--seed", "3")
    assert "40 of 40 rows scored" in called(folder, "score", "c", "own.csv", "-o", "own_scores.csv")


def test_a_level_that_is_not_known_has_no_score(folder: Path) -> None:
    rows = frame(20).drop(columns=["", "name"])
    rows.loc[[3, 8], "sex"] = "Robot"
    rows.to_csv(folder / "new.csv", index=False)
    said = called(folder, "score", "c", "new.csv", "-o", "new_scores.csv")
    assert "column 'sex': 'Robot' (2 of 20 cells) does not fit its kind categorical" in said
    assert "2 left empty (2 with a cell that is none of its kind)" in said
    found = pd.read_csv(folder / "new_scores.csv")
    assert list(np.flatnonzero(found["log_density"].isna())) == [3, 8]
    refused = called(folder, "score", "c", "new.csv", "-o", "none.csv", "--missing", "refuse", code=2)
    assert "'Robot'" in refused
    assert not (folder / "none.csv").exists()
    rows["sex"] = "Robot"
    rows.to_csv(folder / "new.csv", index=False)
    assert "no row can be scored" in called(folder, "score", "c", "new.csv", "-o", "none.csv", code=2)


def test_the_test_nll_says_what_it_is(folder: Path) -> None:
    found = json.loads(called(folder, "status", "c", "--json"))
    assert (found["nll"]["unit"], found["nll"]["bound"]) == ("mixed", True)
    metrics = found["metrics"]
    assert metrics["test/nll_draws"] < metrics["test/nll"]
    assert metrics["test/nll_draws_se"] > 0
    words_of = "the NLL is of probabilities of discrete cells times densities of the others; with one draw"
    assert words_of in " ".join(called(folder, "status", "c").split())
    assert words_of[1:] in (folder / "c.report" / "report.html").read_text()
    scores = pd.read_csv(folder / "scores.csv") if (folder / "scores.csv").exists() else None
    if scores is not None:
        assert metrics["test/nll_draws"] == pytest.approx(-scores["log_density"].mean(), abs=1.0)


def test_a_chain_is_described(folder: Path) -> None:
    lines = called(folder, "describe", "c", "--write", "known.yaml").splitlines()
    assert lines[1].split()[:2] == ["age", "integer"]
    assert any(line.startswith("c: start ") for line in lines)
    told = json.loads(called(folder, "describe", "c", "--json"))
    assert told["start"] in ("marginals", "on", "whiten")
    assert told["log_probability"] == {"of": "mixed", "one_draw": "bound"}


def test_kinds_of_a_file_are_another_chain_when_they_are_edited(folder: Path) -> None:
    few = {"steps.sizes": [0.5], "data.standardise": "on", "data.kinds": "k.yaml"}
    called(folder, "describe", "t.csv", "--write", "k.yaml")
    called(folder, "train", "--data", "t.csv", "--chain", "k", "--stop-after", "1", *words(**few))
    job = ["plan", "--data", "t.csv", "--chain", "k", *words(**few), "--json"]
    assert json.loads(called(folder, *job))["blocks"][1]["action"] == "done"
    text = (folder / "k.yaml").read_text()
    (folder / "k.yaml").write_text(text.replace("text, 2 different ones", "for another reason"))
    assert json.loads(called(folder, *job))["blocks"][1]["action"] == "done"
    assert text.count("\n  high: 79\n") == 1  # ages are of all numbers up to it
    (folder / "k.yaml").write_text(text.replace("\n  high: 79\n", "\n  high: 120\n"))
    plan = json.loads(called(folder, *job))
    assert plan["blocks"][0]["reason"] == "the data or their settings changed"
    assert plan["blocks"][1]["action"] == "retrain"
    (folder / "k.yaml").unlink()
    plan = json.loads(called(folder, *job))  # the kinds that were trained with are stored
    assert [block["action"] for block in plan["blocks"]] == ["done", "done"]
    assert "k.yaml: no such file" in called(
        folder, "train", "--data", "t.csv", "--chain", "o", *words(**few), code=2
    )


def test_kinds_that_are_off_leave_text_out(folder: Path) -> None:
    few = {"steps.sizes": [0.5], "data.standardise": "on", "data.kinds": "off"}
    said = called(
        folder, "train", "--data", "t.csv", "--chain", "off", "--stop-after", "1", *words(**few), code=2
    )
    assert "'income' holds numbers in a format that is not read" in said
    few["data.columns"] = ["age", "height"]
    called(folder, "train", "--data", "t.csv", "--chain", "off", "--stop-after", "1", *words(**few))
    assert "plain numbers" in called(folder, "describe", "off", code=2)
