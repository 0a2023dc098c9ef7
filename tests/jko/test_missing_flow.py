"""Flows of tables with holes: what was observed has its probability, holes come back, and are filled."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm

import jko
from jko.chain.kinds import log_probabilities
from jko.columns.missing import Missing
from tests.jko.faces import FEW, weights

#: a chain that is short, and long enough for its law
LAW: dict[str, Any] = {
    **FEW, "data.standardise": "marginals", "data.missing": "model", "steps.sizes": [0.3, 4.0],
    "network.hidden": [32, 32], "solver.probes": 2,
    "training": {"flow_matching_iterations": 400, "iterations": 5, "batch_size": 256, "validate_every": 100},
}  # fmt: skip
MEAN, COVARIANCE = np.array([1.0, -2.0]), np.array([[1.0, 0.6], [0.6, 1.5]])


def empty_given(x: np.ndarray, pattern: str) -> np.ndarray:
    """The probability that y is empty: .3, or one that grows with x, .3 in the middle."""
    return np.full(len(x), 0.3) if pattern == "completely" else norm.cdf(-0.53 + 1.2 * (x - 1))


def gaussian(rows: int, pattern: str, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    both = rng.multivariate_normal(MEAN, COVARIANCE, size=rows)
    both[rng.random(rows) < empty_given(both[:, 0], pattern), 1] = np.nan
    return pd.DataFrame(both, columns=["x", "y"])


def truth(rows: pd.DataFrame, pattern: str) -> np.ndarray:
    """log P(empty | x) p(x), or log (1 − P(empty | x)) p(x, y)."""
    x, y = rows["x"].to_numpy(), rows["y"].to_numpy()
    share = empty_given(x, pattern)
    alone = np.log(share) + norm.logpdf(x, MEAN[0], 1)
    whole = np.log1p(-share) + multivariate_normal(MEAN, COVARIANCE).logpdf(
        np.column_stack([x, np.where(np.isnan(y), 0, y)])
    )
    return np.where(np.isnan(y), alone, whole)


@pytest.fixture(scope="module", params=["completely", "by the other column"])
def known(request: pytest.FixtureRequest) -> tuple[str, jko.Flow]:
    pattern = str(request.param)
    flow = jko.fit(gaussian(5000, pattern, 0), settings=LAW, progress=False)
    return pattern, flow


def test_the_log_likelihood_of_what_was_observed_is_the_true_one(known: tuple[str, jko.Flow]) -> None:
    pattern, flow = known
    assert [column.kind for column in flow.facts.kinds.kept] == ["continuous", "missing"]
    rows = gaussian(1000, pattern, 1)
    values, errors = flow.log_prob_with_error(rows)
    assert (errors > 0).all()
    short = truth(rows, pattern) - values.to_numpy()
    error = short.std(ddof=1) / math.sqrt(len(short))
    assert -3 * error < short.mean() < 0.1 + 3 * error
    empty = rows["y"].isna().to_numpy()
    for part in (empty, ~empty):
        assert abs(short[part].mean()) < 0.2


def test_samples_have_the_share_of_holes_that_the_data_have(known: tuple[str, jko.Flow]) -> None:
    pattern, flow = known
    drawn, rows = flow.sample(3000, seed=1), gaussian(20_000, pattern, 2)
    assert list(drawn.columns) == ["x", "y"]
    assert not drawn["x"].isna().any()
    share = rows["y"].isna().mean()
    assert drawn["y"].isna().mean() == pytest.approx(share, abs=0.03)
    upper = drawn["x"] > 1
    expected = rows.loc[rows["x"] > 1, "y"].isna().mean()
    assert drawn.loc[upper, "y"].isna().mean() == pytest.approx(expected, abs=0.1)


def test_rare_holes_stay_rare() -> None:
    """Of halves of the line that were alike, a flow gave the rarer one twice its share and more."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(5000, 2)), columns=["x", "y"])
    table.loc[:14, "y"] = np.nan
    flow = jko.fit(table, settings=LAW, progress=False)
    assert flow.sample(20_000, seed=1)["y"].isna().mean() == pytest.approx(0.003, abs=0.0015)


def test_complete_rows_are_those_of_the_whole_law(known: tuple[str, jko.Flow]) -> None:
    """Also where rows with holes are others: those that are whole by chance have another mean."""
    pattern, flow = known
    drawn, filled = flow.sample_complete(2000, seed=3)
    assert isinstance(drawn, pd.DataFrame)
    assert not drawn.isna().any().any()
    assert filled.rows == 2000
    assert filled.holes == pytest.approx(600, abs=150)
    assert drawn["x"].mean() == pytest.approx(MEAN[0], abs=0.12)
    assert drawn["y"].mean() == pytest.approx(MEAN[1], abs=0.2)
    if pattern != "completely":
        there = flow.sample(3000, seed=3)["y"].dropna()
        assert there.mean() < MEAN[1] - 0.2


def test_holes_are_filled_by_the_conditional_law(known: tuple[str, jko.Flow]) -> None:
    _, flow = known
    rows = pd.DataFrame({"x": [0.0, 1.0, 2.0, 1.0], "y": [np.nan, np.nan, np.nan, -3.25]})
    found, filled = flow.impute(rows, draws=200, seed=1)
    assert filled.holes == 3
    assert not found.isna().any().any()
    last = found.iloc[3::4]
    assert (last["y"] == -3.25).all()
    deviation = math.sqrt(1.5 - 0.36)
    for at, x in enumerate([0.0, 1.0, 2.0]):
        own = found.iloc[at::4]
        assert (own["x"] == x).all()
        assert own["y"].mean() == pytest.approx(-2 + 0.6 * (x - 1), abs=0.4)
        assert own["y"].std() == pytest.approx(deviation, abs=0.3)


def test_a_given_cell_is_there(known: tuple[str, jko.Flow]) -> None:
    _, flow = known
    drawn, worth = flow.sample_given(50, "y > -2")
    assert (drawn["y"] > -2).all()
    assert worth.method == "rejection"
    drawn, _ = flow.sample_given(50, "y = -1.5")
    assert (drawn["y"] == -1.5).all()


def mixed(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    code = rng.choice(2, rows, p=[0.6, 0.4])
    x = np.array([-1.0, 1.0])[code] + np.array([0.5, 0.7])[code] * rng.normal(size=rows)
    city = np.array(["a", "b"], dtype=object)[code]
    city[rng.random(rows) < 0.2] = None
    x[rng.random(rows) < np.where(code == 0, 0.4, 0.1)] = np.nan
    return pd.DataFrame({"c": city, "x": x})


def test_the_mass_of_everything_that_can_be_observed_is_one() -> None:
    """Levels and none, times numbers and none: sums and integrals of all four patterns."""
    rows = mixed(4000)
    flow = jko.fit(rows, settings=LAW, progress=False)
    at = np.linspace(-6, 6, 151)
    levels = np.array(["a", "b", None], dtype=object)
    cells = {"c": np.repeat(levels, len(at) + 1), "x": np.tile(np.r_[at, np.nan], 3)}
    found = log_probabilities(flow.chain, flow.facts.kinds, cells, np.empty((3 * 152, 0)), seed=0, draws=400)
    density = np.exp(found[:, 0]).reshape(3, -1)
    masses = np.c_[np.trapezoid(density[:, :-1], at, axis=1), density[:, -1]]
    assert masses.sum() == pytest.approx(1, abs=0.01)
    shares = [
        [((rows["c"] == level) if level else rows["c"].isna())[rows["x"].isna() == empty].sum() / len(rows)
         for empty in (False, True)]
        for level in levels
    ]  # fmt: skip
    np.testing.assert_allclose(masses, shares, atol=0.05)


#: what trains in a second
SHORT: dict[str, Any] = {**FEW, "data.missing": "model", "data.augment.copies": 2, "data.augment.width": 0.5}


def everything(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "visits": rng.poisson(3, rows).astype(float),
            "paid": np.where(rng.random(rows) < 0.4, 0.0, rng.gamma(2, 30, rows)),
            "wind_dir": rng.uniform(0, 360, rows),
            "day": np.datetime64("2025-03-01", "us") + rng.integers(0, 60, rows).astype("timedelta64[D]"),
            "yes": rng.choice([True, False], rows).astype(object),
            "whole": pd.array(rng.integers(0, 9, rows), dtype="Int64"),
            "flag": 1.0,
        }
    )
    table = table.mask(rng.random(table.shape) < 0.15)
    table["full"] = rng.normal(size=rows)
    return table


def test_every_kind_goes_there_and_back(tmp_path: Path) -> None:
    rows = everything()
    flow = jko.fit(rows, settings=SHORT, folder=tmp_path / "f", progress=False)
    kinds = {column.name: column for column in flow.facts.kinds.kept}
    assert all(isinstance(column, Missing) == (name != "full") for name, column in kinds.items())
    drawn = flow.sample(300, seed=0)
    assert list(drawn.columns) == list(rows.columns)
    assert {name: drawn[name].dtype for name in drawn} == {name: rows[name].dtype for name in rows}
    assert (drawn.isna().mean()[:-1] > 0).all()
    assert set(drawn["city"].dropna()) <= {"Rome", "Oslo", "Lima"}
    assert set(drawn["yes"].dropna()) <= {True, False}
    assert set(drawn["flag"].dropna()) <= {1.0}
    values = jko.load(tmp_path / "f").log_prob(rows)
    assert np.isfinite(values).all()
    pd.testing.assert_series_equal(values, flow.log_prob(rows))
    whole, _ = flow.sample_complete(40, seed=1, steps=2)
    assert not whole.isna().any().any()
    filled, _ = flow.impute(rows.head(20), seed=1, steps=2)
    there = rows.head(20).notna()
    for name in rows:
        assert (filled.loc[there[name], name] == rows.head(20).loc[there[name], name]).all()
    assert not filled.isna().any().any()


def test_a_training_that_was_stopped_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(block: jko.TrainedBlock) -> None:
        raise Stopped

    rows = everything()[["x", "city", "paid"]]
    jko.fit(rows, settings=SHORT, folder=tmp_path / "one", progress=False)
    with pytest.raises(Stopped):
        jko.fit(rows, settings=SHORT, folder=tmp_path / "two", progress=False, on_block=stop)
    assert len(weights(tmp_path / "two")) == 1
    jko.fit(rows, settings=SHORT, folder=tmp_path / "two", progress=False)
    assert weights(tmp_path / "two") == weights(tmp_path / "one")


def test_rows_that_differ_in_two_levels_alone_have_their_own_scores() -> None:
    """A middle of all levels' regions once stood for each of them, so that they shared one score."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.normal(size=400), "yes": rng.random(400) < 0.1})
    flow = jko.fit(rows, settings=LAW | {"data.missing": "refuse"}, progress=False)
    both = flow.log_prob(pd.DataFrame({"x": [0.3, 0.3], "yes": [True, False]}))
    assert both[1] - both[0] == pytest.approx(math.log(9), abs=1.0)


def test_what_cannot_be_is_one_sentence() -> None:
    rows = everything(60)[["x", "full"]]
    with pytest.raises(jko.InputError, match=r"set data\.missing=model, by which .* or data\.missing=drop"):
        jko.fit(rows, settings=FEW, progress=False)
    with pytest.raises(jko.InputError, match=r"data\.missing = model is for tables"):
        jko.fit(rows.to_numpy(), settings=SHORT, progress=False)
    with pytest.raises(jko.InputError, match=r"data\.missing = model is for tables whose columns have kinds"):
        jko.fit(rows, settings={**SHORT, "data.kinds": "off"}, progress=False)
    with pytest.raises(jko.InputError, match="a context has no holes"):
        jko.fit(rows, context=["x"], settings=SHORT, progress=False)
    flow = jko.fit(rows[["full", "x"]].dropna(), settings=FEW, progress=False)
    with pytest.raises(jko.InputError, match="no column of the flow has empty cells"):
        flow.sample_complete(3)
