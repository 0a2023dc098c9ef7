"""Whole numbers with empty cells come back from a flow as they came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import jko
from tests.jko.faces import FEW
from tests.jko.test_given_columns import MAKERS

SETTINGS: dict[str, Any] = {**FEW, "data.missing": "model", "data.standardise": "marginals"}


def columns(rows: int = 300) -> dict[str, list[int | float | None]]:
    """A count, and a real number, both with holes."""
    rng = np.random.default_rng(0)
    counts = [None if rng.random() < 0.3 else int(n) for n in rng.poisson(20, rows)]
    return {"n": counts, "x": [None if rng.random() < 0.2 else float(x) for x in rng.normal(size=rows)]}


@pytest.mark.parametrize("kind", ["Int64", "float64"])
def test_in_pandas_the_type_is_that_of_the_rows(kind: str, tmp_path: Path) -> None:
    table = pd.DataFrame(columns()).astype({"n": kind})
    flow = jko.fit(table, settings=SETTINGS, progress=False)
    flow.save(tmp_path / "flow")
    for own in (flow, jko.load(tmp_path / "flow")):
        drawn = own.sample(200, seed=1)
        filled, _ = own.impute(table.head(30), steps=2)
        whole, _ = own.sample_complete(20, steps=2)
        assert [str(frame["n"].dtype) for frame in (drawn, filled, whole)] == [kind] * 3
        assert drawn["n"].isna().any()
        assert not filled["n"].isna().any()


def test_integers_that_stand_for_holes_become_some() -> None:
    """A column of NumPy's integers, of which one is said to mean that there is none."""
    table = pd.DataFrame(columns()).fillna({"n": -999}).astype({"n": np.int64})
    drawn = jko.fit(table, settings={**SETTINGS, "data.missing_values": [-999]}, progress=False).sample(200)
    assert str(drawn["n"].dtype) == "Int64"
    assert drawn["n"].isna().any()
    assert (drawn["n"].dropna() >= 0).all()


@pytest.mark.parametrize("name", MAKERS)
def test_other_frames_have_integers_and_none(name: str) -> None:
    table = MAKERS[name](columns())
    flow = jko.fit(table, settings=SETTINGS, progress=False)
    drawn = flow.sample(200, seed=1)
    assert type(drawn) is type(table)
    found = pa.table({one: drawn[one].to_arrow() if name == "polars" else drawn[one] for one in ("n", "x")})
    assert found.schema.field("n").type == pa.int64()
    assert 0 < found["n"].null_count < 200
    filled, _ = flow.impute(table, steps=2)
    assert type(filled) is type(table)
    assert set(map(type, np.asarray(filled["n"]).tolist())) == {int}


def test_a_frame_of_floats_stays_one_in_polars() -> None:
    polars = pytest.importorskip("polars")
    table = polars.DataFrame(columns()).with_columns(polars.col("n").cast(polars.Float64))
    drawn = jko.fit(table, settings=SETTINGS, progress=False).sample(50, seed=1)
    assert drawn["n"].dtype == polars.Float64
