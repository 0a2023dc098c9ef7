"""Whole tables: random schemas come back, through YAML too; bad ones are refused by name."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from jko.columns.atoms import Atoms
from jko.columns.circular import Circular
from jko.columns.column import Column
from jko.columns.discrete import Gridded, Integer
from jko.columns.infer import infer
from jko.columns.levels import Categorical
from jko.columns.real import Continuous, Positive
from jko.columns.schema import Schema, parse_schema
from jko.columns.written import from_yaml, to_yaml
from jko.core.errors import InputError
from tests.jko.columns.test_kinds import KINDS, apart

#: names of columns that a file can have, those that YAML could take for something else among them
NAMES = st.text(
    st.characters(exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")), min_size=1, max_size=8
)
TRICKY = st.sampled_from(
    ["yes", "null", "1", "2025-01-01", "~", "a: b", "# x", "é", " x ", "1e5", "0x1F", "'", '"']
)


def called(name: str, column: Column) -> Column:
    """A column of another name."""
    value = {"value": column.value.model_copy(update={"name": name})} if isinstance(column, Atoms) else {}
    return column.model_copy(update={"name": name, **value})


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(NAMES | TRICKY, min_size=1, max_size=6, unique=True),
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=6, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_table_of_a_random_schema_comes_back(names: list[str], kinds: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = [(name, *KINDS[kind]) for name, kind in zip(names, kinds, strict=False)]
    schema = Schema(columns=tuple(called(name, column) for name, column, _ in made))
    table = {name: draw(rng, 30) for name, _, draw in made}
    encoded = schema.encode(table, seed=1)
    assert encoded.values.shape == (30, schema.width)
    assert len(set(encoded.names)) == len(encoded.names) == schema.width
    back = schema.decode(encoded.values)
    assert list(back) == names
    for name, column, _ in made:
        assert back[name].dtype == table[name].dtype
        if column.meaning == "mass":
            assert (back[name] == table[name]).all()
        else:
            assert apart(column, back[name], table[name]).max() < 1e-6
    assert from_yaml(to_yaml(schema), "columns.yaml") == schema
    assert parse_schema(json.loads(json.dumps(schema.plain())), "here") == schema


@settings(max_examples=40, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), rows=st.integers(6, 60))
def test_whatever_table_there_is_has_a_schema_that_takes_it(
    data: st.DataObject, seed: int, rows: int
) -> None:
    """Columns of random words, numbers and dates: the schema that is inferred gives them back."""
    rng = np.random.default_rng(seed)
    cells = st.one_of(
        st.lists(TRICKY | NAMES, min_size=1, max_size=4),
        st.lists(st.integers(-5, 5), min_size=1, max_size=6),
        st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
        st.lists(st.booleans(), min_size=1, max_size=2),
        st.lists(st.dates().map(str), min_size=1, max_size=9),
    )  # fmt: skip
    pools = data.draw(st.lists(cells, min_size=1, max_size=4))
    frame = pd.DataFrame(
        {f"c{i}": [pool[j] for j in rng.integers(0, len(pool), rows)] for i, pool in enumerate(pools)}
    )
    schema = infer(frame)
    back = schema.decode(schema.encode(frame).values)
    assert list(back) == [column.name for column in schema.columns if column.kept]
    for column in schema.kept:
        own = frame[column.name].to_numpy()
        if column.meaning == "mass":
            assert (back[column.name] == own).all(), column
        else:
            assert apart(column, back[column.name], own).max() < 1e-6, column
    assert from_yaml(to_yaml(schema), "columns.yaml") == schema
    assert infer(frame, schema) == schema


def test_noise_goes_by_seed_draw_and_name_alone() -> None:
    a, b = Integer(name="a"), Integer(name="b")
    table = {"a": np.arange(5), "b": np.arange(5)}
    both = Schema(columns=(a, b)).encode(table, seed=3).values
    assert (Schema(columns=(b, a)).encode(table, seed=3).values[:, ::-1] == both).all()
    assert not (both[:, 0] == both[:, 1]).any()
    assert not (Schema(columns=(a, b)).encode(table, seed=3, draw=1).values == both).any()
    assert not (Schema(columns=(a, b)).encode(table, seed=4).values == both).any()


def test_a_mixed_law_has_mass_one_and_the_probabilities_that_it_was_made_of() -> None:
    """A category and a number beside it, under a Gaussian in which they depend on each other."""
    schema = Schema(columns=(Categorical(name="c", levels=("u", "v")), Positive(name="x")))
    law = multivariate_normal([0.3, 0.1], [[1.0, 0.5], [0.5, 1.2]])
    points, draws = np.exp(np.linspace(-5, 5, 120)), 400
    total = 0.0
    for level in ("u", "v"):
        table = {"c": np.array([level] * len(points) * draws, dtype=object), "x": np.repeat(points, draws)}
        encoded = schema.encode(table)
        logs = (law.logpdf(encoded.values) + encoded.log_det).reshape(len(points), draws)
        total += trapezoid(np.exp(logsumexp(logs, axis=1) - math.log(draws)), points)
    assert total == pytest.approx(1, abs=0.01)
    assert (schema.meaning, schema.exactness) == ("mixed", "bound")


def test_what_a_probability_means_goes_by_the_columns() -> None:
    real, count = Continuous(name="a"), Integer(name="b")
    turn = Circular(name="c", period=24, step=1)
    zeros = Atoms(name="d", atoms=(0.0,), value=Gridded(name="d", step=0.1))
    assert (Schema(columns=(real,)).meaning, Schema(columns=(real,)).exactness) == ("density", "exact")
    assert (Schema(columns=(count, turn, zeros)).meaning, Schema(columns=(turn,)).exactness) == (
        "mass",
        "bound",
    )
    assert Schema(columns=(real, count)).meaning == "mixed"


def test_encoded_names_differ() -> None:
    schema = Schema(
        columns=(Categorical(name="a", levels=("x", "y", "z"), spread="simplex"), Continuous(name="a/1"))
    )
    assert schema.encoded_names == ("a/1", "a/2", "a/1'")


def one(**fields: object) -> dict[str, object]:
    """A schema of one column."""
    return {"columns": [{"name": "a", **fields}]}


GOOD: dict[str, list[object]] = {
    "columns": [{"name": "a", "kind": "integer"}, {"name": "b", "kind": "positive"}]
}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({}, "columns: Field required"),
        ([], "valid dictionary"),
        ({"columns": []}, "columns: Tuple should have at least 1"),
        ({**GOOD, "version": 2}, "version: Input should be 1"),
        ({**GOOD, "more": 1}, "more: Extra inputs"),
        (one(), "column 'a': .*kind"),
        (one(kind="odd"), "column 'a': .*'odd'"),
        (one(kind="integer", lwo=0), "column 'a': lwo: Extra inputs"),
        (one(kind="bounded", low=1, high=1), "column 'a': .*below high"),
        (one(kind="gridded", step=0), "column 'a': step: .*greater than 0"),
        (one(kind="circular", period=7, step=2), "column 'a': .*whole ones"),
        (one(kind="ordinal", levels=["x", "x"]), "column 'a': .*there twice"),
        (one(kind="date", origin="soon"), "column 'a': origin: .*no date"),
        (one(kind="atoms", atoms=[0], value={"kind": "date"}), "column 'a': value: "),
        ({"columns": [*GOOD["columns"], {"name": "a", "kind": "text"}]}, "two columns are called 'a'"),
    ],
)  # fmt: skip
def test_a_schema_that_is_none_is_refused_in_one_sentence(value: object, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        parse_schema(value, "columns.yaml")
    assert str(caught.value).startswith("columns.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("columns: !!python/object x", "tag"),
        ("a: [", "columns.yaml: "),
        ("columns: 2025-01-01", "quotes round it"),
    ],
)
def test_yaml_that_is_no_schema_is_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        from_yaml(text, "columns.yaml")


def test_rows_that_do_not_fit_are_refused() -> None:
    schema = parse_schema(GOOD, "here")
    with pytest.raises(InputError, match="no column 'b'"):
        schema.encode({"a": [1]})
    with pytest.raises(InputError, match="column 'b' has an empty cell in 1 of 2 rows"):
        schema.encode({"a": [1, 2], "b": [1.0, None]})
    with pytest.raises(InputError, match="columns of 1 and 2 rows"):
        schema.encode({"a": [1], "b": [1.0, 2.0]})
    with pytest.raises(InputError, match=r"shape \(3, 1\) for a schema of 2"):
        schema.decode(np.zeros((3, 1)))
