"""Columns that another one tells: found where it is no chance, obeyed by samples, refused where broken."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jko.columns.conditions import COMPARED, Condition
from jko.columns.discrete import Gridded, Integer
from jko.columns.infer import infer
from jko.columns.levels import Categorical, Levels
from jko.columns.missing import Missing
from jko.columns.real import Continuous, Positive
from jko.columns.schema import Schema, parse_schema, schema_of
from jko.columns.telling import enough, log_luck
from jko.columns.told import Known, OneOf, Told, can_be
from jko.columns.written import described, from_yaml, to_yaml
from jko.core.errors import InputError

CITIES = ["Rome", "Oslo", "Lima", "Bern", "Kyiv"]
#: what each city tells
COUNTRY = np.array(["it", "no", "pe", "ch", "ua"], dtype=object)
POPULATION = np.array([2.8, 0.7, 10.1, 0.7, 2.9])
COAST = np.array([True, True, True, False, False])


def frame(rows: int = 1000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    city = rng.integers(0, 5, rows)
    return pd.DataFrame(
        {
            "population": POPULATION[city],
            "city": np.array(CITIES, dtype=object)[city],
            "n": rng.poisson(3, rows),
            "country": COUNTRY[city],
            "coast": COAST[city],
        }
    )


def told_in(table: pd.DataFrame) -> dict[str, str]:
    """Which column tells which."""
    return {one.name: one.by for one in infer(table).told}


def test_columns_that_a_city_tells_take_no_encoded_column() -> None:
    table = frame()
    schema = infer(table)
    assert told_in(table) == {"population": "city", "country": "city", "coast": "city"}
    assert schema.encoded_names == ("city", "n")
    assert (schema.meaning, schema.exactness) == ("mass", "bound")
    alone = infer(table[["city", "n"]]).encode(table[["city", "n"]], seed=1)
    encoded = schema.encode(table, seed=1)
    assert (encoded.values == alone.values).all()
    assert (encoded.log_det == alone.log_det).all()
    back = schema.decode(encoded.values)
    assert list(back) == list(table)
    for name in table:
        assert (back[name] == table[name].to_numpy()).all()
        assert back[name].dtype == table[name].to_numpy().dtype
    assert "told + " in described(schema)[0]
    assert "told by 'city'" in described(schema)[0]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_is_drawn_obeys_the_rule(seed: int) -> None:
    schema = infer(frame())
    drawn = schema.decode(np.random.default_rng(seed).normal(0, 5, (50, schema.width)))
    known = {city: i for i, city in enumerate(CITIES)}
    codes = [known[city] for city in drawn["city"]]
    assert (drawn["country"] == COUNTRY[codes]).all()
    assert (drawn["population"] == POPULATION[codes]).all()
    assert schema.encode(drawn).values.shape == (50, 2)


def test_a_schema_comes_back_through_a_file() -> None:
    table = frame()
    schema = infer(table)
    assert from_yaml(to_yaml(schema), "columns.yaml") == schema
    assert parse_schema(schema.plain(), "here") == schema
    assert infer(table, schema) == schema


def test_a_row_that_breaks_the_rule_is_refused() -> None:
    table = frame()
    schema = infer(table)
    table.loc[3, "city"], table.loc[3, "country"] = "Rome", "no"
    table.loc[3, "population"], table.loc[3, "coast"] = 2.8, True
    with pytest.raises(
        InputError, match=r"'no' beside 'Rome' in column 'city' .1 of 1000 rows. breaks the rule"
    ):
        schema.encode(table)
    table.loc[3, "country"] = "fr"
    with pytest.raises(InputError, match=r"'fr' .* does not fit its kind told"):
        schema.encode(table)
    table.loc[3, "country"] = "no"
    warned = {one.name for one in infer(table, schema).columns if one.seen and one.seen.warnings}
    assert warned == {"country"}


def edited(**changes: Any) -> pd.DataFrame:
    """The table with other cells in the rows named, by column."""
    table = frame()
    for name, (rows, cell) in changes.items():
        table.loc[rows, name] = cell
    return table


@pytest.mark.parametrize(
    ("table", "not_told"),
    [
        (edited(country=([999], "no")), {"country"}),
        (edited(country=([5], None)), {"country"}),
        (edited(city=([5], None)), {"country", "population", "coast"}),
        (frame(rows=300), {"country", "population", "coast"}),
        (frame().assign(city=lambda t: t["city"].astype("str") + (t.index // 80).astype(str)), {"coast"}),
    ],
    ids=["one row breaks it", "a hole", "a hole in the teller", "few rows", "many levels"],
)  # fmt: skip
def test_nothing_is_told(table: pd.DataFrame, not_told: set[str]) -> None:
    assert not not_told & {name for name, by in told_in(table).items() if by == "city"}


def test_a_rare_flag_is_told_by_luck_of_no_category() -> None:
    """A flag of one row, which any category of one row in that level tells."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"c": rng.choice(list("abcd"), 800), "flag": np.zeros(800, dtype=int)})
    table.loc[0, "c"], table.loc[0, "flag"] = "e", 1
    assert told_in(table) == {}
    table.loc[:60, "c"], table.loc[:60, "flag"] = "e", 1
    assert told_in(table) == {"flag": "c"}


def test_the_luck_of_independent_columns() -> None:
    """By brute force: rows of two levels that all agree within their level."""
    counts, told = np.array([3, 2]), np.array([0, 1])
    shares = np.array([0.6, 0.4])
    exact = (shares**3).sum() * (shares**2).sum()
    assert log_luck(counts, told) == pytest.approx(math.log(exact))
    assert log_luck(np.array([5, 5]), np.array([0, 0])) == pytest.approx(0)
    assert not enough(399, 20)
    assert enough(400, 20)
    assert not enough(301, 2)


def test_of_two_that_tell_each_other_one_stays() -> None:
    table = frame()
    table["code"] = pd.Series(np.array([1.5, 2.25, 9.1, 4.0, 4.7])[pd.factorize(table["city"])[0]])
    assert told_in(table[["code", "country", "city", "n"]]) == {"code": "country", "city": "country"}
    region = table["country"].replace(
        {"it": "south", "pe": "south", "no": "north", "ch": "north", "ua": "north"}
    )
    chain = told_in(table[["city", "country", "n"]].assign(region=region))
    assert chain == {"country": "city", "region": "city"}


def told(value: Any, cells: list[Any], **more: Any) -> Told:
    table = tuple(zip(CITIES, cells, strict=True))
    return Told.model_validate({"name": "v", "by": "city", "value": value, "table": table, **more})


VALUES = {
    "integer": (Integer(name="v", low=0), [3, 0, 5, 3, 9], "int64"),
    "gridded": (Gridded(name="v", step=0.25), [0.25, 1.5, 0.5, 0.25, -2.0], "float64"),
    "positive": (Positive(name="v"), [0.1, 1.7, 33.3, 0.1, 4.0], "float64"),
    "continuous": (Continuous(name="v"), [-0.1, 1.7, 33.3, 0.3, 4.0], "float64"),
}


@settings(max_examples=80, deadline=None)
@given(
    which=st.sampled_from(sorted(VALUES)),
    op=st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "in"]),
    codes=st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True),
)
def test_conditions_are_those_on_the_column_that_tells_it(which: str, op: Any, codes: list[int]) -> None:
    value, cells, dtype = VALUES[which]
    column = told(value, cells, dtype=dtype)
    values = [cells[code] for code in (codes if op == "in" else codes[:1])]
    wanted = {city for city, cell in zip(CITIES, cells, strict=True) if COMPARED[op](cell, values)}
    condition = Condition("v", op, tuple(map(str, values)))
    if not wanted:
        with pytest.raises(InputError, match="no cell can be"):
            column.translated([condition])
        return
    found = column.translated([condition])
    assert (found.column, found.op, set(found.values)) == ("city", "in", wanted)
    assert column.constraint([condition]).cell is None


def test_what_is_never_told_is_refused() -> None:
    column = told(Integer(name="v"), [3, 0, 5, 3, 9], dtype="int64")
    with pytest.raises(InputError, match="v = 4; column 'city' tells it, and never tells this"):
        column.translated([Condition("v", "=", (4,))])


def test_without_the_column_that_tells_it_a_column_is_what_it_is_alone() -> None:
    schema = infer(frame())
    own = {one.name: one for one in schema.columns}
    alone = schema_of([own["population"], own["n"]])
    assert [one.kind for one in alone.columns] == ["gridded", "integer"]
    assert "told by" not in alone.columns[0].why
    holed = Missing(name="city", value=own["city"])
    assert not schema_of([holed, own["country"]]).told


def test_files_that_tell_nothing_are_refused() -> None:
    column = told(Integer(name="v"), [3, 0, 5, 3, 9])
    with pytest.raises(InputError, match="'v' is told by 'city', which is no column of levels"):
        parse_schema(Schema.model_construct(columns=(column, Integer(name="city"))).plain(), "here")
    city = Categorical(name="city", levels=("Rome", "Oslo", "Lima", "Bern", "Paris"))
    with pytest.raises(InputError, match="only one of both has the level 'Kyiv'"):
        parse_schema(Schema.model_construct(columns=(column, city)).plain(), "here")


def test_levels_that_a_row_can_have_by_what_they_tell() -> None:
    city = Categorical(name="city", levels=tuple(CITIES))
    population = told(Positive(name="v"), POPULATION.tolist(), dtype="float64")
    coast = told({"kind": "boolean"}, COAST.tolist(), dtype="bool").model_copy(update={"name": "w"})
    every = np.ones(3, dtype=bool)
    given_cells = [
        Known(population, np.array([0.7, 0.7, 9.9]), np.array([True, True, False])),
        Known(coast, np.array([False, True, True]), every),
    ]
    found = can_be(city, given_cells, 3)
    assert list(found) == [("Bern",), ("Oslo",), ("Rome", "Oslo", "Lima")]
    assert can_be(city, [], 1)[0] == tuple(CITIES)
    with pytest.raises(InputError, match="no level of column 'city' tells"):
        can_be(
            city,
            [Known(population, np.array([2.8]), every[:1]), Known(coast, np.array([False]), every[:1])],
            1,
        )
    rng = np.random.default_rng(0)
    many = np.empty(4000, dtype=object)
    for row in range(4000):
        many[row] = found[2]
    z, log_det = OneOf(city).encode(many, rng.uniform(size=(4000, 2)))
    drawn = city.decode(z)
    assert np.allclose(log_det, math.log(3))
    assert set(drawn) == {"Rome", "Oslo", "Lima"}
    assert abs((drawn == "Lima").mean() - 1 / 3) < 0.03


def test_levels_of_an_order_that_no_row_has_tell_nothing() -> None:
    table = frame()
    table["city"] = pd.Categorical(table["city"], [*CITIES, "Paris"], ordered=True)
    assert told_in(table) == {"population": "country", "city": "country", "coast": "country"}
    assert told_in(table[["city", "population", "n"]]) == {}
    assert isinstance(infer(table[["city", "population", "n"]]).columns[0], Levels)
