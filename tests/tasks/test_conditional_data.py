"""Contexts of data: classes and covariates as columns, copies of one class, identities, baselines."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from jko.config import Config, parse_config
from jko.core.errors import InputError
from jko.disk.facts import write_facts
from jko.disk.identity import source_key
from jko.preparation.context import given_context, one_hot
from jko.preparation.facts import DataFacts, facts_of
from jko.preparation.prepare import prepare
from tasks.baselines import baseline_log_densities
from tasks.conditional_mixture import ConditionalMixture, marginal
from tasks.datasets.contexts import context_table
from tasks.datasets.sources import SOURCES
from tasks.report.pictures import row_per_class

#: settings -> the key they had before data could have a context
KEYS = [
    (
        {"data": {"source": "moons", "rows": 100}, "steps": {"count": 4}},
        "9e19ca81849ef0141670a57f1564216a787240bc93b42ebc7ae5dddaf7e4bb80",
    ),
    (
        {"data": {"source": "curve", "smoothing": 0.01}, "steps": {"count": 1}, "seed": 3},
        "19f0779c3a942579d5409663347cf188ba020c46ccf5189729272837986ddc67",
    ),
]


def config(**data: Any) -> Config:
    return parse_config({"data": data, "steps": {"count": 1}})


def table_file(folder: Path, rows: int = 300) -> str:
    draw = np.random.default_rng(0)
    age = draw.integers(20, 60, rows)
    x, y = age / 10 + draw.normal(size=rows), draw.normal(size=rows)
    pd.DataFrame({"x": x, "age": age, "name": "a", "y": y}).to_csv(folder / "t.csv", index=False)
    return str(folder / "t.csv")


@pytest.mark.parametrize(("values", "key"), KEYS)
def test_data_without_context_keep_their_identity(values: dict[str, Any], key: str) -> None:
    assert source_key(parse_config(values)) == key
    spelt = {**values, "data": {**values["data"], "context": None}}
    assert source_key(parse_config(spelt)) == key


def test_a_context_gives_data_another_identity() -> None:
    contexts = (None, "class", ["mean_area"])
    keys = {source_key(config(source="breast_cancer", context=value)) for value in contexts}
    assert len(keys) == 3


def test_classes_are_one_hot_and_stay_zeros_and_ones() -> None:
    settings = config(source="digits", context="class", augment={"copies": 3, "width": 0.2})
    loaded = SOURCES["digits"](settings.data, 0)
    prepared = prepare(loaded, settings)
    facts = facts_of(loaded, prepared)
    assert facts.context_columns == tuple(f"class={i}" for i in range(10))
    assert (facts.dim, facts.context) == (64, 10)
    train = prepared.arrays["train"]
    assert train.shape == (3 * 1437, 74)
    assert set(np.unique(train[:, 64:])) == {0.0, 1.0}
    assert np.array_equal(train[:, 64:].sum(1), np.ones(len(train)))
    # a copy has the class of its row, which its picture is near to
    assert np.array_equal(train[:1437, 64:], train[1437 : 2 * 1437, 64:])
    assert np.abs(train[:1437, :64] - train[1437 : 2 * 1437, :64]).mean() < 0.5
    plain = prepare(SOURCES["digits"](config(source="digits").data, 0), config(source="digits"))
    assert np.array_equal(plain.arrays["test"], prepared.arrays["test"][:, :64])


def test_covariates_are_standardised_and_never_dequantised(tmp_path: Path) -> None:
    settings = config(source="file", file=table_file(tmp_path), context=["age"])
    loaded = SOURCES["file"](settings.data, 0)
    assert (loaded.columns, loaded.context_columns) == (("x", "y"), ("age",))
    prepared = prepare(loaded, settings)
    train = prepared.arrays["train"]
    assert train.shape[1] == 3
    assert train[:, 2].mean() == pytest.approx(0, abs=1e-5)
    assert train[:, 2].std() == pytest.approx(1, abs=1e-5)
    back = train[:, 2] * prepared.scale[2] + prepared.shift[2]
    assert np.abs(back - np.rint(back)).max() < 1e-4
    assert not prepared.grid.any()


def test_a_constant_covariate_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"x": np.arange(30.0), "u": 1.0}).to_csv(tmp_path / "c.csv", index=False)
    settings = config(source="file", file=str(tmp_path / "c.csv"), context=["u"], kinds="off")
    with pytest.raises(InputError, match="'u' is constant"):
        prepare(SOURCES["file"](settings.data, 0), settings)


def test_facts_name_a_context_only_where_there_is_one(tmp_path: Path) -> None:
    facts = DataFacts("a", ("x",), (0.0,), (1.0,), (0.0,), (), {"train": 2}, None, None)
    write_facts(tmp_path, facts)
    assert "context" not in (tmp_path / "data.json").read_text()


def test_facts_name_marks_only_where_there_are_some(tmp_path: Path) -> None:
    facts = DataFacts("a", ("x",), (0.0,), (1.0,), (0.0,), (), {"train": 2}, None, None)
    write_facts(tmp_path, facts)
    assert "marks" not in (tmp_path / "data.json").read_text()
    write_facts(tmp_path, replace(facts, marks=(",", ".")))
    assert json.loads((tmp_path / "data.json").read_text())["marks"] == [",", "."]


def test_contexts_are_read_and_written_as_people_write_them() -> None:
    names = ("class=0", "class=3")
    assert np.array_equal(given_context(["class=3"], names), [0, 1])
    assert context_table(one_hot(np.array([3, 0]), names), names)["class"].tolist() == [3, 0]
    assert np.array_equal(given_context(["b=1", "a=2"], ("a", "b")), [2, 1])
    with pytest.raises(InputError, match="not conditional"):
        given_context(["class=3"], ())
    with pytest.raises(InputError, match=r"class 1\.5 is unknown"):
        given_context(["class=1.5"], names)


def test_baselines_are_conditional_densities() -> None:
    """x given u is N(u, 1) for a continuous u, and N(±2, 1) by class."""
    draw = np.random.default_rng(0)
    u = draw.normal(size=4000)
    spread = np.c_[u + draw.normal(size=4000), u]
    own = draw.integers(0, 2, 4000)
    classes = np.c_[4.0 * own - 2 + draw.normal(size=4000), own == 0, own == 1]
    for rows, mean in ((spread, spread[:, 1]), (classes, 4.0 * own - 2)):
        parts = {"train": rows[:3000], "validation": rows[3000:3500], "test": rows[3500:]}
        exact = norm.logpdf(rows[3500:, 0], mean[3500:])
        for name, values in baseline_log_densities(parts, [1, 2], 0, dim=1).items():
            assert np.abs(values - exact).mean() < 0.1, name


def test_a_mixture_over_its_marginal_integrates_to_one() -> None:
    draw = np.random.default_rng(1)
    rows = np.r_[draw.normal(size=(300, 2)), draw.normal(size=(300, 2)) * 0.5 + 2]
    found = ConditionalMixture(1, 2, ridge=1e-6, seed=0).fit(rows)
    assert found.whole is not None
    grid = np.linspace(-8, 10, 2001)
    for u in (-1.0, 2.0):
        values = np.exp(found.score_samples(np.c_[grid, np.full_like(grid, u)]))
        assert values.sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-3)
    whole = marginal(found.whole, slice(0, None)).score_samples(rows)
    assert np.allclose(whole, found.whole.score_samples(rows))


def test_a_class_that_was_never_seen_has_a_density() -> None:
    classes = np.repeat([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 50, 0)
    rows = np.c_[np.random.default_rng(0).normal(size=(100, 1)), classes]
    found = ConditionalMixture(1, 1, ridge=1e-6, seed=0).fit(rows)
    assert math.isfinite(found.score(np.array([[0.0, 0.0, 0.0, 1.0]])))


def test_pictures_are_shown_class_by_class() -> None:
    rows = np.arange(6.0)[:, None]
    context = np.eye(2)[[0, 1, 0, 1, 1, 1]]
    assert row_per_class(rows, context, across=3).ravel().tolist() == [0, 2, 0, 1, 3, 4]
