"""Whole numbers with empty cells: in a frame of pandas, in lists for others, as they came."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jko.columns.cells import cells_of
from jko.columns.circular import Circular
from jko.columns.discrete import Integer
from jko.columns.frames import float_types, in_lists, in_pandas, whole_types
from jko.columns.levels import Boolean, Categorical
from jko.columns.missing import missing_of
from jko.columns.real import Continuous
from jko.columns.schema import schema_of

COLUMNS = (
    Integer(name="n"), Integer(name="small", dtype="uint8"), Boolean(name="flag"),
    Boolean(name="bit", levels=(0, 1)), Categorical(name="code", levels=(5, 7, 2**60)), Continuous(name="x"),
    Circular(name="hour", period=24.0, step=1.0, dtype="int64"),
)  # fmt: skip


def test_columns_of_whole_numbers_with_holes_have_a_type_of_their_own() -> None:
    schema = schema_of([*(missing_of(one, np.empty(0)) for one in COLUMNS), Integer(name="whole")])
    assert whole_types(schema) == {
        "n": "Int64", "small": "UInt8", "bit": "Int64", "code": "Int64", "hour": "Int64",
    }  # fmt: skip


def test_whole_numbers_and_holes_are_such_in_pandas_and_in_lists() -> None:
    cells = {"n": np.array([3.0, np.nan]), "big": np.array([2**60, None], dtype=object)}
    frame = in_pandas(pd, cells, {"n": "Int64", "big": "Int64"}, ())
    assert [str(kind) for kind in frame.dtypes] == ["Int64", "Int64"]
    assert frame.to_csv(index=False) == f"n,big\n3,{2**60}\n,\n"
    assert in_lists(cells, {"n": "Int64"}) == {"n": [3, None], "big": [2**60, None]}
    assert type(in_lists(cells, {"n": "Int64"})["n"][0]) is int
    assert in_lists(cells, {"n": "float64"})["n"] is cells["n"]


def test_floats_that_are_whole_by_chance_stay_floats() -> None:
    cells = cells_of({
        "whole": np.array([3.0, np.nan]), "real": np.array([0.5, np.nan]), "full": np.array([3.0, 4.0]),
        "n": np.array([3.0, np.nan]), "text": np.array(["a", None], dtype=object),
    })  # fmt: skip
    assert float_types(cells, ("n",)) == {"whole": "float64"}
