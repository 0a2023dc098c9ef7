"""Flows of tables in which one column tells another: rows, conditions and holes keep to the rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jko
from jko.core.errors import InputError
from jko.sklearn import JKOFlow
from tests.jko.faces import FEW

SETTINGS: dict[str, Any] = {**FEW, "data.standardise": "marginals"}
CODES = {"Rome": 39, "Oslo": 47, "Lima": 51, "Bern": 41, "Baar": 41}


def frame(rows: int = 700) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    city = rng.choice(list(CODES), rows, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    code = np.array([CODES[name] for name in city])
    return pd.DataFrame({"code": code, "city": city, "x": rng.normal(size=rows) + 0.1 * code})


def obeys(table: pd.DataFrame) -> bool:
    return bool((table["code"] == table["city"].map(CODES)).all())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("told") / "flow"
    jko.fit(frame(), settings=SETTINGS, folder=place, progress=False)
    return place


@pytest.fixture(scope="module")
def flow(folder: Path) -> jko.Flow:
    return jko.load(folder)


def test_samples_obey_the_rule_and_have_all_columns(flow: jko.Flow) -> None:
    drawn = flow.sample(500, seed=1)
    assert isinstance(drawn, pd.DataFrame)
    assert list(drawn.columns) == ["code", "city", "x"]
    assert dict(drawn.dtypes) == dict(frame().dtypes)
    assert obeys(drawn)
    assert flow.raw_columns == ("city", "x")
    assert any("'code' by 'city'" in note for note in flow.facts.notes)


def test_a_log_probability_is_that_of_the_other_columns(flow: jko.Flow) -> None:
    rows = frame(40)
    values = flow.log_prob(rows)
    assert np.isfinite(values).all()
    back = flow.inverse(flow.forward(rows))
    assert isinstance(back, pd.DataFrame)
    assert (back["code"] == rows["code"]).all()
    rows.loc[3, "code"] = 39 if rows.loc[3, "code"] != 39 else 47
    with pytest.raises(InputError, match=r"in column 'city' .1 of 40 rows. breaks the rule"):
        flow.log_prob(rows)


@pytest.mark.parametrize(
    ("given", "cities"),
    [
        ("code = 41", {"Bern", "Baar"}),
        ("code < 41", {"Rome"}),
        (["code > 40", "city != Baar"], {"Oslo", "Lima", "Bern"}),
        (["code = 41", "x = 4.0"], {"Bern", "Baar"}),
        ({"code": 47}, {"Oslo"}),
    ],
)
def test_conditions_on_what_is_told(flow: jko.Flow, given: Any, cities: set[str]) -> None:
    rows, _ = flow.sample_given(60, given, seed=0)
    assert isinstance(rows, pd.DataFrame)
    assert set(rows["city"]) <= cities
    assert obeys(rows)


def test_conditions_that_no_row_fulfils_are_refused(flow: jko.Flow) -> None:
    with pytest.raises(InputError, match="code = 40; column 'city' tells it"):
        flow.sample_given(5, "code = 40")
    with pytest.raises(InputError, match="no cell can be"):
        flow.sample_given(5, ["code = 41", "city = Rome"])


def test_holes_are_filled_by_the_rule(flow: jko.Flow) -> None:
    table = frame(60).astype({"code": float})
    table.loc[:19, "code"] = np.nan
    table.loc[10:39, "city"] = None
    table.loc[30:49, "x"] = np.nan
    filled, how = flow.impute(table, draws=2, seed=1)
    assert isinstance(filled, pd.DataFrame)
    assert not filled.isna().any().any()
    assert obeys(filled)
    there = table["code"].notna().to_numpy()
    assert (filled["code"].to_numpy()[:60][there] == table["code"][there]).all()
    assert how.holes == 70
    table.loc[59, "city"], table.loc[59, "code"] = "Rome", 47
    with pytest.raises(InputError, match="breaks the rule"):
        flow.impute(table)


def test_without_the_column_that_tells_it_a_column_is_modelled(tmp_path: Path) -> None:
    chosen = {**SETTINGS, "data.columns": ["code", "x"]}
    flow = jko.fit(frame(), settings=chosen, progress=False)
    assert flow.raw_columns == ("code", "x")


def test_holes_in_the_law_are_no_rule() -> None:
    table = frame()
    table.loc[:30, "city"] = None
    flow = jko.fit(table, settings={**SETTINGS, "data.missing": "model"}, progress=False)
    assert "code" in flow.raw_columns
    assert np.isfinite(flow.log_prob(table.head(50))).all()


def test_the_estimator_takes_such_tables() -> None:
    model = JKOFlow(settings=SETTINGS).fit(frame())
    assert np.isfinite(model.score_samples(frame(20))).all()
    assert obeys(model.sample(50))
