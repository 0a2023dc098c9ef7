"""Data frames of other packages: tables of Arrow, and polars where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import jko
from jko.columns.infer import infer
from jko.given_columns import is_foreign
from tests.jko.faces import FEW, fitted, rows

COLUMNS = {
    "id": np.arange(300) + 5, "x": rows().numpy()[:, 0].astype(np.float64),
    "n": np.random.default_rng(0).integers(0, 9, 300),
}  # fmt: skip


class Bare:
    """The least that a data frame has: Arrow's interface, names, columns and a number of rows."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.table = pa.table(columns)

    @property
    def columns(self) -> list[str]:
        return self.table.column_names

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        return self.table[name]

    def __len__(self) -> int:
        return self.table.num_rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def plain(x: Any, *, columns: list[str] | None = None, **more: Any) -> jko.Flow:
    """A flow of numbers without kinds."""
    settings = {**FEW, "data.kinds": "off", "data.columns": columns}
    return jko.fit(x, settings=settings, progress=False, **more)


def polars(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("polars").DataFrame(columns)


MAKERS: dict[str, Callable[[dict[str, Any]], Any]] = {"Arrow": pa.table, "bare": Bare, "polars": polars}


@pytest.mark.parametrize("name", MAKERS)
def test_a_frame_of_another_package_is_used_as_one_of_pandas(name: str) -> None:
    """The same flow to the last bit, samples in the form of the rows, scores as an array."""
    given, frame = MAKERS[name](COLUMNS), pd.DataFrame(COLUMNS)
    flow, same = plain(given), plain(frame)
    assert flow.columns == same.columns == ("x", "n")
    assert [note for note in flow.facts.notes if "left out, an index: column 'id'" in note]
    np.testing.assert_array_equal(flow.log_prob(given), same.log_prob(frame).to_numpy())
    drawn, wanted = flow.sample(20, seed=3), same.sample(20, seed=3)
    assert type(drawn) is type(given)
    for column in ("x", "n"):
        values = np.asarray(drawn[column])
        assert values.dtype == wanted[column].dtype
        np.testing.assert_array_equal(values, wanted[column])


@pytest.mark.parametrize("name", MAKERS)
def test_columns_of_such_a_frame_are_chosen_and_refused_by_name(name: str) -> None:
    make = MAKERS[name]
    assert plain(make(COLUMNS), context=["n"]).columns == ("x",)
    with pytest.raises(jko.InputError, match=r"column 'w' holds .*not numbers"):
        plain(make({"w": ["u", "v"] * 15, "x": np.arange(30.0)}))
    with pytest.raises(jko.InputError, match="row 3 holds a number that is not finite"):
        plain(make({"x": [0.5, 1, 2, None] * 10, "y": np.arange(40.0) ** 2}))


@pytest.mark.parametrize("name", MAKERS)
def test_a_frame_with_words_comes_back_with_words(name: str) -> None:
    columns = {**COLUMNS, "w": ["u", "v", "w"] * 100}
    given, frame = MAKERS[name](columns), pd.DataFrame(columns)
    flow, same = fitted(given), fitted(frame)
    np.testing.assert_array_equal(flow.log_prob(given), same.log_prob(frame).to_numpy())
    drawn, wanted = flow.sample(20, seed=3), same.sample(20, seed=3)
    assert type(drawn) is type(given)
    for column in ("x", "n", "w"):
        assert np.asarray(drawn[column]).tolist() == wanted[column].tolist()


@pytest.mark.parametrize("name", MAKERS)
def test_kinds_are_told_of_such_a_frame(name: str) -> None:
    found = infer(MAKERS[name]({**COLUMNS, "w": ["u", "v", "w"] * 100, "hole": [1, None, 3] * 100}))
    assert [(column.name, column.kind) for column in found.columns] == [
        ("id", "index"), ("x", "continuous"), ("n", "integer"), ("w", "categorical"), ("hole", "categorical"),
    ]  # fmt: skip


def test_what_is_no_such_frame(recwarn: pytest.WarningsRecorder) -> None:
    assert not is_foreign(pd.DataFrame(COLUMNS))
    assert not is_foreign(pd.Series([1.0]))
    assert not is_foreign(pa.array([1.0, 2.0]))
    assert not is_foreign(np.zeros((3, 2)))
    if importlib.util.find_spec("polars"):
        assert not is_foreign(polars(COLUMNS)["x"])


def test_all_columns_stay_where_they_number_the_rows_together() -> None:
    """A frame of an index alone is no table without it; columns that are asked for stay."""
    assert plain(pd.DataFrame(COLUMNS), columns=["id", "x"]).columns == ("id", "x")
    assert plain(pd.DataFrame(COLUMNS)["id"]).columns == ("id",)
