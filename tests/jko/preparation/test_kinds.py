"""Kinds are told from training rows alone; held-out rows, copies and other tables keep to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from jko.columns.cells import cells_of, dtypes_of
from jko.columns.written import to_yaml
from jko.config import Config, parse_config
from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.fit import fitting
from jko.preparation.kinds import KindTable, kinds_table
from jko.preparation.known_rows import known_rows
from jko.preparation.prepare import prepare
from jko.preparation.split import split_rows
from jko.preparation.whole import Whole

SEED = 3


def config(**data: Any) -> Config:
    own = {"source": "file", "file": "rows.csv", "standardise": "on", **data}
    return parse_config({"seed": SEED, "data": own, "steps": {"count": 1}})


def frame(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "n": rng.poisson(4, rows),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "paid": np.where(rng.random(rows) < 0.5, 0.0, rng.gamma(2, 30, rows)),
        }
    )


def whole(table: pd.DataFrame, **more: Any) -> Whole:
    return Whole("rows", "rows.csv", cells_of(table), dtypes=dtypes_of(table), **more)


def made(table: pd.DataFrame, **data: Any) -> KindTable:
    settings = config(**data)
    return kinds_table(whole(table), settings.data, SEED)


def held_out(table: pd.DataFrame) -> int:
    return int(split_rows(len(table), config().data, SEED, "rows")["test"][0])


def test_columns_become_real_ones() -> None:
    table = made(frame())
    assert table.columns == ("x", "n", "city", "paid/atom", "paid")
    assert table.rows.shape == (400, 5)
    assert table.fits.all()
    back = table.schema.decode(table.rows)
    assert (back["city"] == frame()["city"]).all()
    assert (back["n"] == frame()["n"]).all()


def test_a_level_that_no_training_row_has_is_left_out_and_told() -> None:
    table = frame()
    row = held_out(table)
    table.loc[row, "city"] = "Paris"
    found = made(table)
    levels = next(one for one in found.schema.columns if one.name == "city")
    assert "Paris" not in levels.levels  # type: ignore[attr-defined]
    assert np.flatnonzero(~found.fits).tolist() == [row]
    assert any("1 held-out rows are left out" in note and "'city'" in note for note in found.notes)
    prepared = prepare(found, config())
    assert row not in prepared.arrays["test_rows"]
    assert len(prepared.arrays["test"]) == 39


def test_what_held_out_rows_hold_changes_no_kind() -> None:
    table = frame()
    parts = split_rows(len(table), config().data, SEED, "rows")
    plain = made(table).schema
    rows = np.concatenate([parts["test"], parts["validation"]])
    table.loc[rows, "x"] = 1e6
    table.loc[rows, "n"] = 7
    assert made(table).schema.content == plain.content


def test_known_kinds_that_do_not_fit_are_refused(tmp_path: Any) -> None:
    from jko.columns.infer import infer
    from jko.columns.written import to_yaml

    table = frame()
    path = tmp_path / "columns.yaml"
    path.write_text(to_yaml(infer(table)))
    assert made(table, kinds=str(path)).fits.all()
    table.loc[held_out(table), "city"] = "Paris"
    with pytest.raises(InputError, match=r"rows.csv: column 'city': 'Paris' \(1 of 400 cells\)"):
        made(table, kinds=str(path))
    with pytest.raises(InputError, match=r"no column .n., of which data\.kinds says the kind"):
        made(frame().drop(columns="n"), kinds=str(path))
    with pytest.raises(InputError, match="says nothing of its column 'more'"):
        made(frame().assign(more=1.0), kinds=str(path))
    assert made(frame()[["x", "city"]], kinds=str(path), columns=["x", "city"]).columns == ("x", "city")


def test_holes_are_refused_or_dropped_but_not_in_columns_that_are_left_out() -> None:
    table = frame().assign(name=[f"row {i} of many" for i in range(400)])
    table.loc[3, "name"] = None
    assert made(table).columns == ("x", "n", "city", "paid/atom", "paid")
    table.loc[5, "n"] = np.nan
    with pytest.raises(
        InputError, match=r"rows.csv: column 'n' has an empty cell at data row 6 \(1 in all\)"
    ):
        made(table)
    dropped = made(table, missing="drop")
    assert len(dropped.rows) == 399
    kinds = {one.name: one.kind for one in dropped.schema.columns}
    assert kinds == {
        "x": "continuous",
        "n": "integer",
        "city": "categorical",
        "paid": "atoms",
        "name": "text",
    }
    assert dropped.schema.decode(dropped.rows)["n"].dtype == np.int64
    table.loc[7, "x"] = np.inf
    with pytest.raises(InputError, match="column 'x' holds an infinite value at data row 8"):
        made(table)


def test_numbers_with_some_text_among_them_are_refused() -> None:
    table = frame().assign(x=lambda own: own["x"].astype(str))
    table.loc[9, "x"] = "1.2.3"
    with pytest.raises(InputError, match=r"column 'x' holds text '1\.2\.3' at data row 10"):
        made(table)


def test_a_table_without_a_column_to_model_is_refused() -> None:
    with pytest.raises(InputError, match="no column is left to model"):
        made(pd.DataFrame({"k": np.full(20, 3), "name": [f"a b {i}" for i in range(20)]}))


def test_copies_have_noise_of_their_own_and_the_cells_of_their_rows() -> None:
    settings = config(augment={"copies": 3, "width": 0.3})
    table = kinds_table(whole(frame()), settings.data, SEED)
    prepared = prepare(table, settings)
    train = prepared.arrays["train"].reshape(3, -1, 5) * prepared.scale + prepared.shift
    rows = prepared.arrays["train_rows"].reshape(3, -1)[0]
    cells = [table.schema.decode(part) for part in train]
    for own in cells:
        assert (own["city"] == frame()["city"].to_numpy()[rows]).all()
        assert (own["n"] == frame()["n"].to_numpy()[rows]).all()
    assert (np.abs(train[1] - train[0]) > 0).mean(axis=0)[1:3].min() > 0.99
    apart = cells[1]["x"] - frame()["x"].to_numpy()[rows]
    assert 0 < np.abs(apart).mean() < 0.5


def test_a_context_is_taken_out_of_the_columns() -> None:
    table = kinds_table(whole(frame(), context_columns=("n",)), config(context=["n"]).data, SEED)
    assert table.columns == ("x", "city", "paid/atom", "paid")
    assert table.context is not None
    assert (table.context[:, 0] == frame()["n"]).all()
    with pytest.raises(InputError, match=r"column 'city' of data\.context holds text"):
        kinds_table(whole(frame(), context_columns=("city",)), config(context=["city"]).data, SEED)


def test_rows_of_another_table_that_cannot_be_used() -> None:
    schema = made(frame()).schema
    other = frame(8).assign(n=lambda own: own["n"].astype(float))
    other.loc[1, "city"] = "Paris"
    other.loc[2, "n"] = 0.5
    other.loc[3, "x"] = np.nan
    other.loc[4, "x"] = np.inf
    known = known_rows(whole(other), schema)
    assert np.flatnonzero(known.strange).tolist() == [1, 2]
    assert (np.flatnonzero(known.empty).tolist(), np.flatnonzero(known.infinite).tolist()) == ([3], [4])
    assert known.usable.sum() == 4
    assert "'n': '0.5'" in known.why
    schema.encode(known.cells)  # some cells stand in place of those
    with pytest.raises(InputError, match="no column 'city'"):
        known_rows(whole(other.drop(columns="city")), schema)


def test_cells_that_another_file_shows_in_another_type_are_known() -> None:
    codes = pd.DataFrame(
        {"code": np.resize(["01", "02", "x"], 90), "y": np.random.default_rng(0).normal(size=90)}
    )
    schema = made(codes).schema
    numbers = known_rows(whole(pd.DataFrame({"code": ["01", "x"], "y": [0.1, 0.2]})), schema)
    assert numbers.usable.all()
    whole_numbers = pd.DataFrame({"k": np.resize([3, 8], 90), "y": np.random.default_rng(0).normal(size=90)})
    schema = made(whole_numbers).schema
    text = known_rows(whole(pd.DataFrame({"k": ["3", "8", "9"], "y": [0.1, 0.2, 0.3]})), schema)
    assert np.flatnonzero(text.strange).tolist() == [2]


def test_cells_that_fit_are_found_among_many() -> None:
    column = next(one for one in made(frame()).schema.columns if one.name == "n")
    cells = np.full(1000, 3.0)
    cells[[0, 499, 500, 999]] = 0.5
    assert np.flatnonzero(~fitting(column, cells)).tolist() == [0, 499, 500, 999]


@pytest.mark.parametrize(
    ("data", "used"),
    [
        ({"file": "rows.csv"}, "auto"), ({"file": "rows.parquet"}, "auto"), ({"file": "rows.npy"}, "off"),
        ({"file": "rows.csv", "kinds": "off"}, "off"), ({"file": "rows.csv", "kinds": False}, "off"),
        ({"file": "rows.csv", "smoothing": 0.01}, "off"), ({"file": "rows.csv", "dequantise": "off"}, "off"),
        ({"file": "rows.csv", "kinds": "c.yaml"}, "c.yaml"), ({"file": "rows.png"}, "off"),
        ({"source": "moons", "file": None}, "off"), ({"source": "digits", "file": None}, "off"),
    ],
)  # fmt: skip
def test_where_columns_have_kinds(data: dict[str, Any], used: str) -> None:
    assert config(**data).data.kinds_used == used


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"kinds": "on"}, "data.kinds = 'on': give auto, off or a .yaml"),
        ({"kinds": "c.yaml", "smoothing": 0.01}, "is for tables whose columns have names"),
        ({"kinds": "c.yaml", "file": "rows.npy"}, "is for tables whose columns have names"),
    ],
)
def test_kinds_that_cannot_be_are_refused(data: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        config(**data)


def test_a_bare_word_is_the_default() -> None:
    assert Data().kinds == "auto"


def ruled() -> pd.DataFrame:
    """A table in which the city tells the country."""
    table = frame(600)
    return table.assign(country=table["city"].map({"Rome": "it", "Oslo": "no", "Lima": "pe"}))


def test_a_row_beyond_the_training_rows_that_breaks_a_rule_is_left_out_and_told() -> None:
    table = ruled()
    row = int(split_rows(600, config().data, SEED, "rows")["test"][0])
    table.loc[row, "country"] = "no" if table.loc[row, "city"] != "Oslo" else "it"
    found = made(table)
    assert [one.name for one in found.schema.told] == ["country"]
    assert "country" not in found.columns
    assert np.flatnonzero(~found.fits).tolist() == [row]
    assert any("1 held-out rows are left out" in note and "'country'" in note for note in found.notes)
    assert any("'country' by 'city'" in note for note in found.notes)


def test_rows_of_another_table_that_break_a_rule_cannot_be_used() -> None:
    schema = made(ruled()).schema
    table = ruled().head(30)
    table.loc[4, "city"], table.loc[4, "country"] = "Rome", "no"
    table.loc[5, "country"] = "fr"
    table.loc[6, "country"] = None
    known = known_rows(whole(table), schema)
    assert np.flatnonzero(known.strange).tolist() == [4, 5]
    assert np.flatnonzero(known.empty).tolist() == [6]
    assert "does not fit its kind told" in known.why
    assert np.isfinite(schema.encode(known.cells).values).all()
    alone = known_rows(whole(table.drop(index=[5, 6])), schema)
    assert "'no' beside 'Rome' in column 'city'" in alone.why


def test_given_kinds_with_a_rule_that_a_row_breaks_are_refused(tmp_path: Any) -> None:
    path = tmp_path / "kinds.yaml"
    path.write_text(to_yaml(made(ruled()).schema), encoding="utf-8")
    assert made(ruled(), kinds=str(path)).schema.told
    table = ruled()
    table.loc[7, "country"] = "no" if table.loc[7, "city"] != "Oslo" else "it"
    with pytest.raises(InputError, match="breaks the rule of the training rows"):
        made(table, kinds=str(path))
    without = whole(ruled()[["x", "country"]])
    settings = config(kinds=str(path), columns=["x", "country"]).data
    assert not kinds_table(without, settings, SEED).schema.told
