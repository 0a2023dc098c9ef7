"""What is given to ``jko.fit``: rows, contexts and settings that are used, and others that are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import jko
from tests.jko.faces import FEW, fitted, rows


@pytest.fixture(scope="module")
def flow() -> jko.Flow:
    return fitted(rows())


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (["a", "b"], "rows of numbers are expected"),
        (np.zeros((20, 2, 2, 2)), r"rows of shape \(rows, columns\) are expected"),
        (np.array([[1.0, np.nan]] * 30), "row 0 holds a number that is not finite"),
        (np.ones((30, 2)), "constant"),
        (np.zeros((3, 1)), "at least 6"),
        (pd.DataFrame({"a": ["x"] * 30, "b": [2] * 30}), "no column is left to model"),
        (pd.DataFrame({"a": [*map(str, range(29)), "x"]}), "column 'a' holds text 'x' at data row 30"),
        (torch.zeros(30, 2, dtype=torch.complex64), "holds no rows of numbers"),
    ],
)
def test_rows_that_cannot_be_used_are_one_sentence(x: object, said: str) -> None:
    with pytest.raises(jko.InputError, match=said):
        fitted(x)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        ("data.csv", "is text: read a file first, or use flows.train"),
        (torch.zeros(30, 2).to_sparse(), "give a dense one"),
        (torch.zeros(30, 2, device="meta"), "give a dense one"),
        (pd.DataFrame({"a\x1b[31m": range(30), "b": range(30)}), "holds a control character"),
    ],
)
def test_other_things_than_rows_are_one_sentence(x: object, said: str) -> None:
    with pytest.raises(jko.InputError, match=said):
        fitted(x)


def test_masked_cells_are_missing() -> None:
    masked = np.ma.MaskedArray(rows().numpy(), mask=np.arange(900).reshape(300, 3) == 4)
    with pytest.raises(jko.InputError, match="row 1 holds a number that is not finite"):
        fitted(masked)


def test_names_of_columns_come_back_as_they_were(recwarn: pytest.WarningsRecorder) -> None:
    frame = pd.DataFrame(rows().numpy(), columns=[10, "b", 2.5])
    assert list(fitted(frame).sample(2).columns) == [10, "b", 2.5]
    assert fitted(frame, context=[10]).columns == ("b", "2.5")
    heights = fitted(frame["b"])
    assert list(heights.sample(2).columns) == ["b"]
    assert heights.log_prob(frame["b"]).shape == (300,)
    read_only = rows().numpy()
    read_only.setflags(write=False)
    fitted(read_only)
    assert not [found for found in recwarn if "not writable" in str(found.message)]
    twice = pd.DataFrame(rows().numpy(), columns=["a", "b", "a"])
    with pytest.raises(jko.InputError, match="two columns are named 'a'"):
        fitted(twice)


def test_what_looks_wrong_in_the_rows_is_a_warning() -> None:
    frame = pd.DataFrame(rows().numpy(), columns=["a", "b", "c"])
    frame.loc[:20, "b"] = -999.0
    with pytest.warns(UserWarning, match="-999"):
        fitted(frame)


def test_a_context_of_every_column_leaves_nothing() -> None:
    with pytest.raises(jko.InputError, match="none is left to model"):
        fitted(pd.DataFrame({"a": range(30)}), context=["a"])


def test_settings_that_cannot_be_used_are_one_sentence(flow: jko.Flow) -> None:
    with pytest.raises(jko.InputError, match=r"unknown key training\.iteration"):
        jko.fit(rows(), settings={"training.iteration": 3})
    with pytest.raises(jko.InputError, match="unknown preset"):
        jko.fit(rows(), preset="tables")
    with pytest.raises(jko.InputError, match=r"need the pipeline: flows\.train"):
        jko.fit(rows(), settings={**FEW, "stop.movement": 0.1})
    with pytest.raises(jko.InputError, match="2 columns; the flow has 3"):
        flow.log_prob(torch.zeros(4, 2))
    with pytest.raises(jko.InputError, match="the flow is not conditional"):
        flow.log_prob(torch.zeros(4, 3), context=1)
    with pytest.raises(jko.InputError, match="no chain there"):
        jko.load("/nowhere")


@pytest.mark.parametrize("name", ["source", "file", "context", "separator", "rows"])
def test_settings_that_would_do_nothing_are_refused(name: str) -> None:
    value = {"source": "moons", "rows": 50, "context": ["a"]}.get(name, "comma")
    with pytest.raises(jko.InputError, match=rf"data\.{name} is a setting of files and drawn laws"):
        jko.fit(rows(), settings={**FEW, f"data.{name}": value})


def test_settings_choose_columns_and_rows() -> None:
    frame = pd.DataFrame(rows().numpy(), columns=["a", "b", "c"])
    two = jko.fit(frame, settings={**FEW, "data.columns": ["c", "a"]}, progress=False)
    assert two.columns == ("c", "a")
    frame.loc[3, "b"] = -999.0
    marked = {**FEW, "data.missing_values": [-999], "data.missing": "drop"}
    dropped = jko.fit(frame, settings=marked, progress=False)
    assert dropped.facts.notes[0] == "dropped 1 of 300 rows with empty cells"
    rest = fitted(frame.drop(index=3).reset_index(drop=True))
    np.testing.assert_array_equal(dropped.sample(5).to_numpy(), rest.sample(5).to_numpy())
    with pytest.raises(jko.InputError, match=r"or data\.missing=drop"):
        jko.fit(frame, settings={**FEW, "data.missing_values": [-999]}, progress=False)
    with pytest.raises(jko.InputError, match="no column 'z'; it has a, b, c"):
        jko.fit(frame, settings={**FEW, "data.columns": ["z"]})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"context": torch.arange(300.0, requires_grad=True)}, None),
        ({"context": pd.DataFrame({"age": range(300)})}, None),
        ({"context": [0]}, "a context of 1 rows beside 300 rows"),
        ({"context": ["a"] * 300}, "context: rows of numbers are expected"),
        ({"context": np.arange(300) > 9}, "context: rows of numbers are expected"),
        ({"context": torch.empty(300, device="meta")}, "context: a sparse or empty"),
        ({"context": {"a": [1, 2], "b": [1]}}, "its columns have different lengths"),
        ({"settings": ["steps.count=3"]}, "give a dict"),
        ({"settings": {**FEW, "runtime.device": "cuda:77"}}, "is not usable here"),
        ({"on_block": 3}, "on_block = 3 cannot be called"),
        ({"folder": 3}, "folder = 3: give the path of a folder"),
        ({"folder": ""}, "folder = '': give the path of a folder"),
        ({"folder": "a\0b"}, "no folder can be made or used there"),
        ({"folder": "a" * 300}, "File name too long"),
        ({"folder": "/proc/flow"}, "no folder can be made or used there"),
    ],
)
def test_what_else_is_given_is_used_or_refused(more: dict[str, object], said: str | None) -> None:
    if said is None:
        jko.fit(rows(), **{"settings": FEW, "progress": False, **more})  # type: ignore[arg-type]
    else:
        with pytest.raises(jko.InputError, match=said):
            jko.fit(rows(), **{"settings": FEW, "progress": False, **more})  # type: ignore[arg-type]
