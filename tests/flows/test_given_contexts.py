"""Holes of rows with a context: filled by the command line and in Python, each row under its own context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jko
from tests.flows.schedules import jko as called
from tests.jko.faces import FEW, options

SETTINGS: dict[str, Any] = {
    **FEW, "data.standardise": "mixture", "data.context": ["dose"], "measure.critic_centres": 3,
    "measure.reference_rows": 20, "measure.samples": 200, "measure.resolutions": [0.5],
    "evaluation.samples": 100, "evaluation.mixture_components": [1, 2],
    "training.flow_matching_iterations": 300,
}  # fmt: skip

#: all blocks and no more: nothing of the evaluation and the report is asked for
BLOCKS = ("--stop-after", "2")


def table(rows: int = 900) -> pd.DataFrame:
    """A count and a number that go with the dose, both with holes."""
    rng = np.random.default_rng(0)
    dose = rng.integers(0, 2, rows)
    frame = pd.DataFrame({"visits": rng.poisson(4 + 16 * dose), "x": 6 * dose + rng.normal(size=rows)})
    frame = frame.mask(rng.random(frame.shape) < 0.2)
    return frame.assign(dose=dose * 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with two conditional chains: one with holes in its law, one of plain numbers."""
    place = tmp_path_factory.mktemp("contexts")
    (place / "dvc.yaml").write_text("stages: {}\n")
    table().to_csv(place / "t.csv", index=False)
    called(place, "train", "--data", "t.csv", "--chain", "c", *options({**SETTINGS, "data.missing": "model"}))
    plain = {**SETTINGS, "data.missing": "drop", "data.kinds": "off"}
    called(place, "train", "--data", "t.csv", "--chain", "plain", *options(plain), *BLOCKS)
    return place


@pytest.mark.parametrize("chain", ["c", "plain"])
def test_holes_of_a_file_are_filled_under_their_context(chain: str, folder: Path) -> None:
    called(folder, "impute", chain, "t.csv", "--draws", "2", "-o", "filled.csv")
    found, given = pd.read_csv(folder / "filled.csv"), table()
    assert list(found) == ["draw", "visits", "x", "dose"]
    assert not found.isna().any().any()
    assert found["visits"].dtype == np.int64
    for _, one in found.groupby("draw"):
        own = one.reset_index(drop=True)
        assert (own["dose"] == given["dose"]).all()
        assert (own["visits"] == given["visits"])[given["visits"].notna()].all()
        for name, apart in (("visits", 16), ("x", 6)):
            means = own[given[name].isna()].groupby("dose")[name].mean()
            assert means[1.0] - means[0.0] == pytest.approx(apart, rel=0.35)
    assert f"{len(found)} of {len(found)} rows scored" in called(
        folder, "score", chain, "filled.csv", "-o", "scores.csv"
    )


def test_an_array_has_the_context_behind_its_columns(folder: Path) -> None:
    rows = table(50)
    rows.to_csv(folder / "some.csv", index=False)
    np.save(folder / "some.npy", rows.to_numpy(dtype=float))
    for name in ("some.csv", "some.npy"):
        assert "50 of 50 rows scored" in called(folder, "score", "c", name, "-o", f"{name}.scores.csv")
    one, other = (pd.read_csv(folder / f"some.{kind}.scores.csv") for kind in ("csv", "npy"))
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("chain", ["c", "plain"])
def test_a_context_has_no_holes(chain: str, folder: Path) -> None:
    rows = table(30)
    rows.loc[4, "dose"] = np.nan
    rows.to_csv(folder / "holes.csv", index=False)
    said = called(folder, "impute", chain, "holes.csv", "-o", "none.csv", code=2)
    assert "the context of data row 5 has an empty cell or an infinite number" in said
    table(30).drop(columns="dose").to_csv(folder / "without.csv", index=False)
    assert "no column 'dose'" in called(folder, "impute", chain, "without.csv", "-o", "none.csv", code=2)
    assert not (folder / "none.csv").exists()


def test_complete_samples_have_contexts(folder: Path) -> None:
    words = ("sample", "c", "-n", "200", "--complete", "-o", "whole.csv")
    called(folder, *words, "--given", "dose=1", "--steps", "50")
    whole = pd.read_csv(folder / "whole.csv")
    assert list(whole) == ["visits", "x", "dose"]
    assert not whole.isna().any().any()
    assert (whole["dose"] == 1).all()
    assert whole["visits"].mean() == pytest.approx(20, abs=3)
    called(folder, *words, "--steps", "5")
    assert set(pd.read_csv(folder / "whole.csv")["dose"]) == {0.0, 1.0}
    said = called(
        folder, "sample", "c", "-n", "9", "--complete", "--given", "dose=1", "--given", "x>1", "-o", "w.csv",
        code=2,
    )  # fmt: skip
    assert "--complete goes neither with conditions nor with --raw" in said


def test_python_takes_contexts_in_the_frame_or_apart(folder: Path) -> None:
    flow, rows = jko.load(folder / "c"), table().head(40)
    inside, how = flow.impute(rows, seed=1, steps=10)
    assert list(inside) == ["visits", "x"]
    assert not inside.isna().any().any()
    assert how.with_holes == int(rows.isna().any(axis=1).sum())
    beside, _ = flow.impute(rows[["visits", "x"]], context=rows[["dose"]].to_numpy(), seed=1, steps=10)
    pd.testing.assert_frame_equal(inside, beside)
    with pytest.raises(jko.InputError, match="has no column 'dose'"):
        flow.impute(rows[["visits", "x"]])
    with pytest.raises(jko.InputError, match="a number that is not finite"):
        flow.impute(rows.assign(dose=np.nan))
    with pytest.raises(jko.InputError, match="the flow is conditional: give context"):
        flow.sample_complete(3)
    whole, _ = flow.sample_complete(60, context=[1.0], steps=50)
    assert whole["visits"].mean() == pytest.approx(20, abs=4)
    plain = jko.load(folder / "plain")
    holes = np.array([[np.nan, 6.0], [3.0, np.nan]])
    filled, _ = plain.impute(holes, 50, context=[[1.0], [0.0]], seed=0)
    assert filled.shape == (50, 2, 2)
    assert filled[:, 0, 0].mean() == pytest.approx(20, abs=4)
    assert filled[:, 1, 1].mean() == pytest.approx(0, abs=1.5)
