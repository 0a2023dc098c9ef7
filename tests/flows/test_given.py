"""jko sample --given and jko impute on a small trained chain, by the command line and in Python."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import jko
from jko.core.errors import InputError
from tests.flows.test_partial import answer
from tests.flows.test_partial import jko as command
from tests.flows.test_scoring import table, trained

EXACT: dict[str, Any] = {
    "solver": {"steps": 3, "probes": 2, "divergence": "exact"}, "runtime": {"threads": 1},
}  # fmt: skip


#: what a start map that fits at once leaves to train
FEW: dict[str, Any] = {
    "steps.sizes": [0.5], "network.hidden": [8], "training.flow_matching_iterations": 5,
    "training.iterations": 1, "data.augment.copies": 1, "solver.steps": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain of counts, visits ~ Poisson(4), and amount = visits + N(0, 1)."""
    return trained(tmp_path_factory.mktemp("given"), data={"standardise": "mixture"}, **EXACT)


@pytest.fixture(scope="module")
def plain() -> jko.Flow:
    """The same law as an array: columns of plain numbers, of which one is dequantised."""
    x = table(1500, 0).to_numpy(dtype=float)
    return jko.fit(x, settings={"data.standardise": "mixture", **FEW}, seed=0, progress=False)


def sampled(
    folder: Path, *given: str, rows: int = 200, more: tuple[str, ...] = ()
) -> tuple[Any, pd.DataFrame]:
    words = [word for one in given for word in ("--given", one)]
    found = answer(folder, "sample", "chain", "-n", str(rows), "-o", "samples.csv", *words, *more)
    return found, pd.read_csv(folder / "samples.csv")


def test_a_count_is_given(folder: Path) -> None:
    worth, drawn = sampled(folder, "visits=4")
    assert (worth["method"], worth["effective"], worth["output"]) == ("rejection", 200, "samples.csv")
    assert drawn["visits"].dtype == np.int64
    assert (drawn["visits"] == 4).all()
    assert drawn["amount"].mean() == pytest.approx(4, abs=0.5)
    assert worth["share"] == pytest.approx(0.195, abs=0.05)  # Poisson


def test_a_real_number_and_a_range_are_given(folder: Path) -> None:
    worth, drawn = sampled(folder, "amount=6.25", "2<=visits<9")
    assert worth["method"] in ("importance", "markov chains")
    assert (drawn["amount"] == 6.25).all()
    assert drawn["visits"].between(2, 8).all()
    ks = np.arange(2, 9)
    weights = np.array([4.0**k / math.factorial(k) * math.exp(-0.5 * (6.25 - k) ** 2) for k in ks])
    assert drawn["visits"].mean() == pytest.approx(float((weights * ks).sum() / weights.sum()), abs=0.6)


def test_other_files_hold_the_same(folder: Path) -> None:
    _, drawn = sampled(folder, "visits>=6", rows=50)
    for ending in ("npy", "parquet"):
        command(folder, "sample", "chain", "-n", "50", "--given", "visits>=6", "-o", f"samples.{ending}")
    np.testing.assert_allclose(np.load(folder / "samples.npy"), drawn.to_numpy(), rtol=1e-12)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "samples.parquet"), drawn)
    _, continuous = sampled(folder, "visits>=6", rows=50, more=("--continuous",))
    assert (continuous["visits"].round() == drawn["visits"]).all()
    assert (continuous["visits"] != drawn["visits"]).any()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("vists=3",), "no column 'vists'; there are visits, amount"),
        (("visits=3.5",), "no cell can be visits = 3.5; steps of 1 from 0 are allowed"),
        (("visits<3", "visits>4"), "no cell can be visits < 3 and visits > 4"),
        (("amount>1e9",), "no sample of 2000 has amount > 1e9: the model gives it less than 0.002"),
        (("amount=many",), "column 'amount' holds numbers, and 'many' is none"),
        (("amount",), "the form is COLUMN=VALUE"),
        (("amount in [1, 2]",), "have no mass beside each other"),
    ],
)
def test_a_condition_that_cannot_be_is_one_sentence_and_no_file(
    folder: Path, given: tuple[str, ...], sentence: str
) -> None:
    words = [word for one in given for word in ("--given", one)]
    said = command(folder, "sample", "chain", "-n", "5", "-o", "none.csv", "--tries", "2000", *words, code=2)
    assert sentence in said
    assert not (folder / "none.csv").exists()


def test_holes_of_a_file_are_filled(folder: Path) -> None:
    rng = np.random.default_rng(3)
    visits = rng.poisson(4, 120)
    whole = pd.DataFrame({"note": ["x"] * 120, "amount": visits + rng.normal(size=120), "visits": visits})
    holes = whole.copy()
    holes["visits"] = holes["visits"].astype(float)
    holes.loc[0:39, "visits"] = np.nan
    holes.loc[40:59, "amount"] = np.nan
    holes.loc[60, ["visits", "amount"]] = np.nan
    holes.to_csv(folder / "holes.csv", index=False)
    found = answer(folder, "impute", "chain", "holes.csv", "--draws", "20", "-o", "filled.csv")
    assert (found["rows"], found["with_holes"], found["holes"], found["draws"]) == (120, 61, 62, 20)
    filled = pd.read_csv(folder / "filled.csv")
    assert list(filled) == ["draw", "visits", "amount"]
    assert (filled["draw"] == np.repeat(np.arange(1, 21), 120)).all()
    assert filled["visits"].dtype == np.int64
    for _, one in filled.groupby("draw"):
        kept = holes["visits"].notna().to_numpy()
        assert (one["visits"].to_numpy()[kept] == holes["visits"][kept]).all()
        kept = holes["amount"].notna().to_numpy()
        np.testing.assert_array_equal(one["amount"].to_numpy()[kept], holes["amount"][kept])
    means = filled.groupby(np.tile(np.arange(120), 20))[["visits", "amount"]].mean()
    assert np.corrcoef(means["visits"][:40], whole["visits"][:40])[0, 1] > 0.8
    assert np.abs(means["amount"][40:60] - whole["visits"][40:60]).mean() < 0.7
    command(folder, "impute", "chain", "holes.csv", "-o", "once.csv")
    assert list(pd.read_csv(folder / "once.csv")) == ["visits", "amount"]
    assert len(pd.read_csv(folder / "once.csv")) == 120


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("visits,amount\n3,inf\n,2\n", "column 'amount' holds a number that is not finite"),
        ("visits\n3\n", "no column 'amount'"),
        ("visits,amount\n3,text\n4,2\n", "holds text"),
    ],
)
def test_a_file_that_cannot_be_filled_is_refused(folder: Path, text: str, sentence: str) -> None:
    (folder / "bad.csv").write_text(text)
    assert sentence in command(folder, "impute", "chain", "bad.csv", "-o", "none.csv", code=2)
    assert not (folder / "none.csv").exists()


def test_the_file_itself_is_not_written_over(folder: Path) -> None:
    (folder / "own.csv").write_text("visits,amount\n3,\n")
    assert "name another one" in command(folder, "impute", "chain", "own.csv", "-o", "own.csv", code=2)


def test_python_gives_the_form_that_was_given(folder: Path, plain: jko.Flow) -> None:
    rows, worth = plain.sample_given(30, {"x0": [3, 5]}, seed=4)
    assert isinstance(rows, np.ndarray)
    assert set(rows[:, 0].tolist()) <= {3.0, 5.0}
    assert json.loads(worth.model_dump_json())["method"] == "rejection"
    holes = np.array([[3.0, np.nan], [np.nan, 2.5], [1.0, 2.0]])
    filled, how = plain.impute(holes, 4, seed=1)
    assert isinstance(filled, np.ndarray)
    assert filled.shape == (4, 3, 2)
    assert (filled[:, 2] == [1, 2]).all()
    assert (filled[:, 0, 0] == 3).all()
    assert (filled[:, 1, 0] == np.round(filled[:, 1, 0])).all()  # on the grid
    assert how.holes == 2
    same, _ = plain.impute(torch.from_numpy(holes), 4, seed=1)
    assert isinstance(same, torch.Tensor)
    np.testing.assert_allclose(np.asarray(same), filled)
    nothing, told = plain.impute(holes[2:])
    assert np.asarray(nothing).tolist() == [[1.0, 2.0]]
    assert told.holes == 0
    flow = jko.load(folder / "chain")
    rows, _ = flow.sample_given(30, {"visits": [3, 5]}, seed=4)
    assert isinstance(rows, pd.DataFrame)
    assert set(rows["visits"]) <= {3, 5}
    rows, _ = flow.sample_given(30, {"visits": [3, 5]}, seed=4, raw=True)
    assert isinstance(rows, pd.DataFrame)
    assert set(rows["visits"].round()) <= {3, 5}
    assert (rows["visits"] != rows["visits"].round()).any()
    frame = pd.DataFrame(holes, columns=["visits", "amount"], index=["a", "b", "c"])
    one, _ = flow.impute(frame, seed=1)
    assert isinstance(one, pd.DataFrame)
    assert list(one.index) == ["a", "b", "c"]
    many, _ = flow.impute(frame, 2, seed=1)
    assert isinstance(many, pd.DataFrame)
    assert list(many) == ["draw", "visits", "amount"]
    assert list(many.index) == ["a", "b", "c"] * 2


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda flow: flow.sample_given(0, "visits=3"), "rows = 0 is not allowed"),
        (lambda flow: flow.sample_given(5, []), "no condition is given"),
        (lambda flow: flow.sample_given(5, {"visits": 3}, tries=0), "tries = 0 is not allowed"),
        (lambda flow: flow.impute(np.zeros((2, 2)), 0), "draws = 0 is not allowed"),
        (lambda flow: flow.impute(np.zeros((2, 3))), "3 columns; the flow has 2"),
        (lambda flow: flow.impute(np.full((2, 2), np.inf)), "infinite"),
        (lambda flow: flow.impute(pd.DataFrame({"visits": [3, None], "amount": [np.inf, 1]})), "not finite"),
        (lambda flow: flow.sample_given(5, {"visits": 3}, context=[1.0]), "not conditional"),
    ],
)
def test_python_refuses_in_one_sentence(folder: Path, call: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        call(jko.load(folder / "chain"))


def test_a_conditional_chain_takes_conditions_beside_its_context(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dose = rng.integers(0, 2, 1000) * 1.0
    doses = pd.DataFrame({"dose": dose, "x": 3 * dose + rng.normal(size=1000), "y": rng.normal(size=1000)})
    flow = jko.fit(doses, context="dose", preset="smoke", folder=tmp_path / "chain", progress=False)
    rows, _ = flow.sample_given(100, "y > 1", context=[1.0])
    assert isinstance(rows, pd.DataFrame)
    assert (rows["y"] > 1).all()
    assert rows["x"].mean() == pytest.approx(3, abs=1)
    with pytest.raises(InputError, match="give one context for all rows"):
        flow.sample_given(3, "y > 1", context=np.array([[0.0], [1.0], [1.0]]))
    with pytest.raises(InputError, match="the flow is conditional"):
        flow.impute(np.zeros((2, 2)))
    words = ("sample", "chain", "-n", "40", "-o", "s.csv", "--given", "y > 1")
    command(tmp_path, *words, "--given", "dose=1")
    drawn = pd.read_csv(tmp_path / "s.csv")
    assert (drawn["dose"] == 1).all()
    assert (drawn["y"] > 1).all()
    assert "name the context, too, as --given dose=3" in command(tmp_path, *words, code=2)


def test_a_chain_with_a_schema_is_given_cells_of_its_table() -> None:
    rng = np.random.default_rng(0)
    channel = rng.choice(np.array(["shop", "online", "phone"], dtype=object), 1500, p=[0.5, 0.3, 0.2])
    visits = rng.poisson(np.where(channel == "shop", 2, 8))
    paid = np.where(rng.random(1500) < 0.4, 0.0, rng.gamma(2, 30, 1500))
    orders = pd.DataFrame({"channel": channel, "visits": visits, "paid": paid, "kind": "a"})
    flow = jko.fit(orders, settings={"data.standardise": "mixture", **FEW}, progress=False)
    assert flow.facts.kinds is not None
    assert [column.kind for column in flow.facts.kinds.columns] == [
        "categorical", "integer", "atoms", "constant",
    ]  # fmt: skip
    rows, worth = flow.sample_given(80, ["channel = shop", "kind = a"])
    assert isinstance(rows, pd.DataFrame)
    assert list(rows) == ["channel", "visits", "paid", "kind"]
    assert set(rows["channel"]) == {"shop"}
    assert rows["visits"].dtype == np.int64
    assert rows["visits"].mean() < 4
    assert worth.method == "rejection"
    rows, worth = flow.sample_given(80, {"paid": 55.5, "channel": "online"})
    assert isinstance(rows, pd.DataFrame)
    assert np.allclose(rows["paid"], 55.5)
    assert set(rows["channel"]) == {"online"}
    assert 5.5 < rows["visits"].mean() < 10
    rows, _ = flow.sample_given(50, "paid = 0")
    assert isinstance(rows, pd.DataFrame)
    assert (rows["paid"] == 0).all()
    with pytest.raises(InputError, match="has no level 'mail'"):
        flow.sample_given(5, "channel = mail")
    holes = orders.head(30).copy()
    holes.loc[0:9, "channel"] = None
    holes["visits"] = holes["visits"].astype("Int64")
    holes.loc[5:14, "visits"] = pd.NA
    holes.loc[15:19, "paid"] = np.nan
    filled, how = flow.impute(holes, 3)
    assert isinstance(filled, pd.DataFrame)
    assert len(filled) == 90
    assert not filled.isna().any().any()
    assert (filled["channel"][10:30] == orders["channel"][10:30]).all()
    assert (filled["visits"][:5] == orders["visits"][:5]).all()
    assert set(filled["channel"]) <= {"shop", "online", "phone"}
    assert how.holes == 25
