"""A CSV with holes by the command line: refused, described, trained, planned, scored, sampled, filled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

import jko
from tests.flows.schedules import jko as called
from tests.jko.faces import FEW, options, weights

SETTINGS: dict[str, Any] = {
    **FEW, "data.missing": "model", "measure.critic_centres": 3, "measure.reference_rows": 20,
    "measure.samples": 200, "measure.resolutions": [0.5],
    "evaluation.samples": 100, "evaluation.mixture_components": [1, 2],
}  # fmt: skip

#: all blocks and no more, where nothing of the evaluation and the report is asked for
BLOCKS = ("--stop-after", "2")


def frame(rows: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": rng.integers(17, 80, rows).astype(float),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "gain": np.where(rng.random(rows) < 0.6, 0.0, rng.gamma(2, 30, rows)),
            "day": [f"2025-01-{day:02d}" for day in rng.integers(1, 32, rows)],
        }
    )
    table = table.mask(rng.random(table.shape) < 0.25)
    table["height"] = rng.normal(170, 10, rows)
    return table


def words(**more: Any) -> list[str]:
    return options({**SETTINGS, **more})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with a chain of a CSV with holes."""
    place = tmp_path_factory.mktemp("holes")
    (place / "dvc.yaml").write_text("stages: {}\n")
    frame().to_csv(place / "t.csv", index=False)
    called(place, "train", "--data", "t.csv", "--chain", "c", *words())
    return place


def test_holes_are_refused_with_a_way_out(folder: Path) -> None:
    said = called(
        folder, "train", "--data", "t.csv", "--chain", "d", *words(**{"data.missing": "refuse"}), code=2
    )
    assert "has an empty cell at data row" in said
    assert "set data.missing=model" in said
    assert not (folder / "d").exists()
    assert "training refuses them" in called(folder, "describe", "t.csv")


def test_kinds_with_holes_are_described_written_and_used(folder: Path) -> None:
    said = called(folder, "describe", "t.csv", "--set", "data.missing=model", "--write", "columns.yaml")
    assert "missing + atoms + positive" in said
    assert "training refuses them" not in said
    assert said.count("% missing") == 5
    again = called(folder, "describe", "t.csv", "--columns", "columns.yaml")
    assert "missing + integer" in again
    of_chain = called(folder, "describe", "c")
    assert "missing + categorical" in of_chain
    plan = json.loads(called(
        folder, "plan", "--data", "t.csv", "--chain", "k", "--json",
        *words(**{"data.kinds": "columns.yaml", "data.missing": "refuse"}),
    ))  # fmt: skip
    assert plan["kinds"]["gain"].startswith("missing + atoms, 2")


def test_what_was_trained_has_nothing_to_do(folder: Path) -> None:
    before = weights(folder / "c")
    assert "nothing to do" in called(folder, "train", "--data", "t.csv", "--chain", "c", *words())
    plan = json.loads(called(folder, "plan", "--data", "t.csv", "--chain", "c", *words(), "--json"))
    assert plan["complete"]
    assert plan["kinds"]["age"].startswith("missing + integer, 2")
    assert plan["kinds"]["height"] == "continuous"
    assert weights(folder / "c") == before


def test_rows_with_holes_have_scores(folder: Path) -> None:
    said = called(folder, "score", "c", "t.csv", "-o", "scores.csv")
    assert "600 of 600 rows scored" in said
    found = pd.read_csv(folder / "scores.csv", float_precision="round_trip")
    values, errors = jko.load(folder / "c").log_prob_with_error(pd.read_csv(folder / "t.csv"))
    np.testing.assert_array_equal(found["log_density"], values)
    np.testing.assert_array_equal(found["log_density_se"], errors)
    rows = frame(20)
    rows.loc[3, "height"] = np.nan  # where the training rows have no hole
    rows.to_csv(folder / "new.csv", index=False)
    said = called(folder, "score", "c", "new.csv", "-o", "new_scores.csv")
    assert "1 with a missing cell" in said
    scores = pd.read_csv(folder / "new_scores.csv")["log_density"]
    assert scores.isna().tolist() == [i == 3 for i in range(20)]


def test_samples_have_holes_as_the_data_have_or_none(folder: Path) -> None:
    called(folder, "sample", "c", "-n", "400", "-o", "s.csv")
    drawn, table = pd.read_csv(folder / "s.csv"), pd.read_csv(folder / "t.csv")
    assert list(drawn.columns) == list(table.columns)
    assert dict(drawn.dtypes) == dict(table.dtypes)
    assert (drawn.isna().mean()[:-1] > 0.05).all()
    ages = pd.read_csv(folder / "s.csv", dtype=str)["age"].dropna()
    assert ages.str.fullmatch(r"\d+").all()  # as text, for pandas reads 3 beside a hole as 3.0
    assert not drawn["height"].isna().any()
    assert set(drawn["city"].dropna()) <= {"Rome", "Oslo", "Lima"}
    assert "400 of 400 rows scored" in called(folder, "score", "c", "s.csv", "-o", "own.csv")
    said = called(folder, "sample", "c", "-n", "60", "--complete", "--steps", "5", "-o", "whole.csv")
    assert "holes in" in said
    whole = pd.read_csv(folder / "whole.csv")
    assert whole.shape == (60, 5)
    assert not whole.isna().any().any()
    said = called(folder, "sample", "c", "-n", "9", "--complete", "--raw", "-o", "whole.csv", code=2)
    assert "--complete goes neither with conditions nor with --raw" in said


@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_whole_numbers_with_holes_are_such_in_other_files(folder: Path, ending: str) -> None:
    called(folder, "sample", "c", "-n", "200", "-o", f"s.{ending}")
    read = {"parquet": parquet.read_table, "feather": feather.read_table}[ending]
    found = read(folder / f"s.{ending}")
    assert found.schema.field("age").type == pa.int64()
    assert found["age"].null_count > 0
    called(folder, "train", "--data", f"s.{ending}", "--chain", f"c-{ending}", *words(), *BLOCKS)
    assert jko.load(folder / f"c-{ending}").facts.dtypes == {}
    called(folder, "sample", f"c-{ending}", "-n", "200", "-o", f"t.{ending}")
    assert read(folder / f"t.{ending}").schema.field("age").type == pa.int64()


def test_numbers_with_holes_are_an_array_with_nan(folder: Path) -> None:
    frame()[["age", "gain", "height"]].to_csv(folder / "numbers.csv", index=False)
    called(folder, "train", "--data", "numbers.csv", "--chain", "numbers", *words(), *BLOCKS)
    called(folder, "sample", "numbers", "-n", "100", "-o", "s.npy")
    found = np.load(folder / "s.npy")
    assert (found.dtype, found.shape) == (np.float64, (100, 3))
    assert np.isnan(found[:, 0]).any()
    called(folder, "sample", "numbers", "-n", "100", "-o", "s.csv")
    np.savez(folder / "s.npz", rows=found)
    for name in ("s.npy", "s.csv", "s.npz"):  # columns of arrays go by their places
        assert "100 of 100 rows scored" in called(folder, "score", "numbers", name, "-o", f"{name}.csv")
        called(folder, "impute", "numbers", name, "--steps", "2", "-o", f"filled-{name}.csv")
        for result in (f"{name}.csv", f"filled-{name}.csv"):
            pd.testing.assert_frame_equal(
                pd.read_csv(folder / result), pd.read_csv(folder / result.replace(name, "s.npy"))
            )
    np.save(folder / "wide.npy", np.zeros((5, 4)))
    said = called(folder, "score", "numbers", "wide.npy", "-o", "none.csv", code=2)
    assert "wide.npy: 4 columns without names; the chain has 3 ('age', 'gain', 'height'), in this" in said


def test_holes_of_a_file_are_filled(folder: Path) -> None:
    called(folder, "impute", "c", "t.csv", "--draws", "2", "--steps", "2", "-o", "filled.csv")
    found, table = pd.read_csv(folder / "filled.csv"), pd.read_csv(folder / "t.csv")
    assert len(found) == 1200
    assert not found.isna().any().any()
    first = found[found["draw"] == 1].reset_index(drop=True)
    for name in table:
        there = table[name].notna()
        assert (first.loc[there, name] == table.loc[there, name]).all() or name == "gain"
    assert np.allclose(first["gain"], table["gain"].fillna(first["gain"]))


def test_empty_cells_are_given(folder: Path) -> None:
    asked = ("sample", "c", "-n", "50", "-o", "g.csv", "--given")
    called(folder, *asked, "age is empty", "--given", "city is not empty")
    drawn = pd.read_csv(folder / "g.csv")
    assert drawn["age"].isna().all()
    assert drawn["city"].notna().all()
    assert drawn["gain"].isna().any()
    said = called(folder, *asked, "height is empty", code=2)
    assert "height is empty: column 'height' has no empty cells in this model" in said
    called(folder, *asked, "age is empty", "--given", "height=171.5")  # of mass zero
    drawn = pd.read_csv(folder / "g.csv")
    assert drawn["age"].isna().all()
    assert np.allclose(drawn["height"], 171.5)


def test_the_report_shows_empty_cells_of_data_and_samples(folder: Path) -> None:
    pages = list(folder.rglob("report/*.html")) + list(folder.rglob("report.html"))
    assert pages
    assert any("Empty cells" in page.read_text(encoding="utf-8") for page in pages)
