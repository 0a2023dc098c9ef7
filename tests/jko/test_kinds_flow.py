"""Flows of tables whose columns have kinds: rows come back as they came, and masses are masses."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import jko
from jko.chain.kinds import log_mean, log_probabilities
from jko.columns.infer import infer
from jko.columns.written import to_yaml
from tests.jko.faces import FEW, weights

SETTINGS: dict[str, Any] = {**FEW, "data.standardise": "conditionals", "data.missing": "drop"}
LEVELS = ["S", "M", "L"]


def frame(rows: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    city = rng.choice(["Rome", "Oslo", "Lima"], rows, p=[0.6, 0.3, 0.1])
    days = rng.integers(0, 60, rows).astype("timedelta64[D]")
    table = pd.DataFrame(
        {
            "x": rng.normal(size=rows) + 2.0 * (city == "Rome"),
            "city": city,
            "visits": rng.poisson(3, rows),
            "small": rng.integers(0, 40, rows).astype(np.int8),
            "price": np.round(0.25 * rng.integers(1, 60, rows), 2),
            "paid": np.where(rng.random(rows) < 0.4, 0.0, rng.gamma(2, 30, rows)),
            "share": rng.beta(2, 3, rows),
            "wind_dir": rng.uniform(0, 360, rows),
            "day": np.datetime64("2025-03-01", "us") + days,
            "written": [str(day) for day in np.datetime64("2024-01-01") + days],
            "yes": rng.random(rows) < 0.3,
            "size": pd.Categorical(rng.choice(LEVELS, rows), categories=LEVELS, ordered=True),
            "group": pd.Categorical(rng.choice(["b", "a"], rows), categories=["a", "b", "c"]),
            "whole": pd.array(rng.integers(0, 9, rows), dtype="Int64"),
            "k": 7,
        }
    )
    return table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kinds") / "flow"
    jko.fit(frame(), settings=SETTINGS, folder=place, progress=False)
    return place


@pytest.fixture(scope="module")
def flow(folder: Path) -> jko.Flow:
    """A flow as it is read again."""
    return jko.load(folder)


def test_samples_are_rows_of_the_table(flow: jko.Flow) -> None:
    table, drawn = frame(), flow.sample(400, seed=1)
    assert isinstance(drawn, pd.DataFrame)
    assert list(drawn.columns) == list(table.columns) == list(flow.columns)
    assert dict(drawn.dtypes) == dict(table.dtypes)
    for name in ("city", "yes", "size", "k"):
        assert set(drawn[name]) <= set(table[name])
    assert set(drawn["group"]) <= {"a", "b"}
    assert (drawn["visits"] >= 0).all()
    assert (drawn["price"] / 0.25 % 1 == 0).all()
    assert (drawn["paid"] >= 0).all()
    assert 0.2 < (drawn["paid"] == 0).mean() < 0.6
    assert drawn["share"].between(0, 1).all()
    assert drawn["wind_dir"].between(0, 360).all()
    assert (drawn["day"] == drawn["day"].dt.normalize()).all()
    assert (pd.to_datetime(drawn["written"]).dt.strftime("%Y-%m-%d") == drawn["written"]).all()


def test_a_flow_that_was_just_trained_gives_the_same(folder: Path, flow: jko.Flow) -> None:
    again = jko.fit(frame(), settings=SETTINGS, folder=folder, progress=False)
    pd.testing.assert_frame_equal(again.sample(30, seed=2), flow.sample(30, seed=2))


def test_rows_go_to_noise_and_come_back(flow: jko.Flow) -> None:
    rows = frame(20)
    z = flow.forward(rows)
    assert isinstance(z, pd.DataFrame)
    assert tuple(z.columns) == flow.raw_columns
    back = flow.inverse(z)
    for name in rows.columns:
        if rows[name].dtype.kind == "f" and name != "price":
            np.testing.assert_allclose(back[name], rows[name], rtol=1e-3, atol=1e-3)
        else:
            assert (back[name] == rows[name]).all()


def test_a_row_has_one_log_probability_wherever_it_stands(flow: jko.Flow) -> None:
    rows = frame(40)
    values, errors = flow.log_prob_with_error(rows)
    assert isinstance(values, pd.Series)
    assert np.isfinite(values).all()
    assert (errors > 0).all()
    order = np.random.default_rng(0).permutation(40)
    mixed = flow.log_prob(rows.iloc[order])
    assert list(mixed.index) == list(order)
    np.testing.assert_allclose(mixed.to_numpy(), values.to_numpy()[order], rtol=1e-5)
    np.testing.assert_allclose(flow.log_prob(rows.iloc[3:5]), values[3:5], rtol=1e-5)
    columns = {name: rows[name].to_numpy() for name in rows.columns}
    np.testing.assert_allclose(flow.log_prob(columns), values, rtol=1e-6)  # type: ignore[call-overload]


def test_the_chains_own_numbers_have_a_density(flow: jko.Flow) -> None:
    raw, log_p = flow.sample(20, return_log_prob=True)
    assert tuple(raw.columns) == flow.raw_columns == flow.facts.columns
    pd.testing.assert_frame_equal(raw, flow.sample(20, raw=True))
    x = torch.tensor(raw.to_numpy()).requires_grad_()
    values = flow.log_prob(x)
    np.testing.assert_allclose(values.detach().numpy(), log_p.to_numpy(), rtol=1e-5)
    assert torch.isfinite(torch.autograd.grad(values.sum(), x)[0]).all()
    kinds = flow.facts.kinds
    assert kinds is not None
    decoded = kinds.decode(raw.to_numpy())
    assert (flow.sample(20)["visits"] == decoded["visits"]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"city": "Paris"}, "column 'city': 'Paris' \\(5 of 5 cells\\) does not fit its kind categorical"),
        ({"visits": 0.5}, "column 'visits': '0.5' .* does not fit its kind integer"),
        ({"visits": -1}, "column 'visits': '-1' .* does not fit its kind integer"),
        ({"share": 1.5}, "column 'share': '1.5' .* does not fit its kind bounded"),
        ({"k": 8}, "column 'k': '8' .* does not fit its kind constant"),
        ({"x": np.nan}, "column 'x' has an empty cell in 5 of 5 rows"),
        ({"x": "word"}, "column 'x' holds text"),
        ({"x": np.inf}, "column 'x' holds a number that is not finite"),
    ],
)
def test_cells_that_have_no_probability_are_one_sentence(
    flow: jko.Flow, change: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(jko.InputError, match=said):
        flow.log_prob(frame(5).assign(**change))


def test_a_missing_column_is_one_sentence(flow: jko.Flow) -> None:
    with pytest.raises(jko.InputError, match="no column 'city'; there are 'x'"):
        flow.log_prob(frame(5).drop(columns="city"))


def test_an_interrupted_training_goes_on_with_the_same_bits(tmp_path: Path, folder: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(block: jko.TrainedBlock) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        jko.fit(frame(), settings=SETTINGS, folder=tmp_path / "f", progress=False, on_block=stop)
    assert len(weights(tmp_path / "f")) == 1
    jko.fit(frame(), settings=SETTINGS, folder=tmp_path / "f", progress=False)
    assert weights(tmp_path / "f") == weights(folder)


def test_other_kinds_are_another_chain(tmp_path: Path) -> None:
    few = {**SETTINGS, "steps.sizes": [0.5], "training.flow_matching_iterations": 2, "training.iterations": 1}
    rows = frame(100)[["x", "visits"]]
    path = tmp_path / "columns.yaml"

    def digest(kinds: str) -> str:
        return jko.fit(rows, settings={**few, "data.kinds": kinds}, progress=False).data_digest

    told = digest("auto")
    text = to_yaml(infer(rows.iloc[:10], infer(rows)))
    path.write_text(text)
    known = digest(str(path))
    path.write_text(text.replace("whole numbers", "I say so"))
    assert "I say so" in path.read_text()
    assert digest(str(path)) == known
    path.write_text(text.replace("kind: integer\n", "kind: integer\n  high: 40\n"))
    assert len({told, digest(str(path)), digest("off")}) == 3


def test_kinds_are_for_data_frames() -> None:
    with pytest.raises(jko.InputError, match=r"data\.kinds = 'c\.yaml' is for data frames"):
        jko.fit(frame()[["x"]].to_numpy(), settings={"data.kinds": "c.yaml"}, progress=False)
    plain = jko.fit(frame()[["x"]].to_numpy(), settings={**FEW, "data.kinds": "auto"}, progress=False)
    assert plain.config.data.kinds == "off"
    assert plain.facts.kinds is None


def test_a_flow_is_used_without_pandas(folder: Path) -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "import jko, numpy as np\n"
        f"flow = jko.load({str(folder)!r})\n"
        "drawn = flow.sample(6, seed=1)\n"
        "print(type(drawn).__name__, list(drawn) == list(flow.columns))\n"
        "print(drawn['city'][0] in ('Rome', 'Oslo', 'Lima'))\n"
        "print(np.isfinite(flow.log_prob(drawn)).all(), flow.sample(2, raw=True).shape[1] == flow.dim)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.stdout.split() == ["dict", "True", "True", "True", "True"], done.stderr


def scored(flow: jko.Flow, cells: dict[str, Any], draws: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    kinds = flow.facts.kinds
    assert kinds is not None
    count = len(next(iter(cells.values())))
    found = log_probabilities(flow.chain, kinds, cells, np.empty((count, 0)), seed=0, draws=draws)
    return np.exp(found[:, 0])


#: a chain that is short, and long enough for its law
LAW: dict[str, Any] = {
    **FEW, "data.standardise": "marginals", "steps.sizes": [0.3, 4.0], "network.hidden": [32, 32],
    "training": {"flow_matching_iterations": 300, "iterations": 5, "batch_size": 256, "validate_every": 100},
}  # fmt: skip


def test_masses_of_a_category_are_those_of_its_law() -> None:
    rng = np.random.default_rng(0)
    known = {"a": 0.5, "b": 0.25, "c": 0.15, "d": 0.1}
    rows = pd.DataFrame({"c": rng.choice(list(known), 4000, p=list(known.values()))})
    with pytest.warns(UserWarning, match="one dimension only"):
        flow = jko.fit(rows, settings=LAW, progress=False)
    masses = scored(flow, {"c": np.array(list(known), dtype=object)}, 200)
    assert masses.sum() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(masses, list(known.values()), atol=0.03)


def test_masses_of_a_mixed_law_in_the_plane_are_those_of_its_law() -> None:
    """P(c) N(x; μ_c, σ_c²): integrated over x and summed over c it is 1, and each part is P(c)."""
    rng = np.random.default_rng(1)
    p, means, spreads = np.array([0.5, 0.3, 0.2]), np.array([-1.0, 1.0, 0.0]), np.array([0.5, 0.7, 1.0])
    code = rng.choice(3, 4000, p=p)
    levels = np.array(["a", "b", "c"], dtype=object)
    rows = pd.DataFrame({"c": levels[code], "x": means[code] + spreads[code] * rng.normal(size=4000)})
    flow = jko.fit(rows, settings=LAW, progress=False)
    at = np.linspace(-6, 6, 181)
    cells = {"c": np.repeat(levels, len(at)), "x": np.tile(at, 3)}
    density = scored(flow, cells, 64).reshape(3, -1)
    masses = np.trapezoid(density, at, axis=1)
    assert masses.sum() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(masses, p, atol=0.04)
    new = rng.choice(3, 500, p=p)
    x = means[new] + spreads[new] * rng.normal(size=500)
    truth = np.log(p[new]) - 0.5 * ((x - means[new]) / spreads[new]) ** 2 - np.log(spreads[new])
    truth -= 0.5 * math.log(2 * math.pi)
    found = flow.log_prob(pd.DataFrame({"c": levels[new], "x": x})).to_numpy()
    assert -0.02 < (truth - found).mean() < 0.3


def test_what_one_column_says_of_another_is_kept() -> None:
    """Wives are women: an edge that a field of few iterations could not learn."""
    rng = np.random.default_rng(0)
    role = rng.choice(["husband", "wife", "child", "other"], 2000, p=[0.4, 0.06, 0.24, 0.3])
    woman = np.where(role == "wife", True, np.where(role == "husband", False, rng.random(2000) < 0.5))
    hours = np.where(rng.random(2000) < 0.5, 40, rng.integers(1, 90, 2000))
    table = pd.DataFrame({"role": role, "woman": woman, "hours": hours})
    flow = jko.fit(table, settings=SETTINGS, seed=0, progress=False)
    assert flow.facts.start_kind == "conditionals"
    (said,) = [note for note in flow.facts.notes if note.startswith("start conditionals: ")]
    assert "'woman' given 'role'" in said or "'role' given 'woman'" in said
    drawn = flow.sample(4000, seed=1)
    assert isinstance(drawn, pd.DataFrame)
    assert drawn["woman"][drawn["role"] == "wife"].mean() > 0.95
    assert drawn["woman"][drawn["role"] == "husband"].mean() < 0.03
    assert 0.4 < drawn["woman"][drawn["role"] == "other"].mean() < 0.6
    assert (drawn["hours"] == 40).mean() == pytest.approx(0.5, abs=0.05)


def test_auto_tries_conditionals_where_there_are_levels() -> None:
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c"], 600)
    table = pd.DataFrame(
        {
            "kind": kind,
            "like": np.where((kind == "a") ^ (rng.random(600) < 0.1), "x", "y"),
            "n": rng.normal(size=600),
        }
    )
    quick = {**SETTINGS, "data.standardise": "auto"}
    told = jko.fit(table, settings=quick, progress=False).facts.choices
    assert told
    assert told[0].startswith("start conditionals, chosen by short trials")
    (said,) = jko.fit(
        table[["n"]].assign(m=1.0 * rng.normal(size=600)), settings=quick, progress=False
    ).facts.choices
    assert "conditionals" not in said


def test_the_log_of_a_mean_and_its_error() -> None:
    values = np.log(np.array([[1.0, 3.0, 2.0, 2.0], [1e-300, 1e-300, 1e-300, 1e-300]]))
    found = log_mean(values)
    np.testing.assert_allclose(found[:, 0], [math.log(2), -300 * math.log(10)])
    np.testing.assert_allclose(found[:, 1], [np.std([1, 3, 2, 2], ddof=1) / 2 / 2, 0.0], atol=1e-12)
    assert log_mean(np.array([[0.5]])).tolist() == [[0.5, 0.0]]
