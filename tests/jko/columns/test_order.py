"""Categories on a line stand beside levels that are like them in the other columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jko.columns.cells import cells_of
from jko.columns.infer import infer
from jko.columns.levels import Categorical
from jko.columns.order import ROWS, first_axis, in_order
from jko.columns.real import Continuous


def levels_of(frame: pd.DataFrame, name: str = "c") -> tuple[object, ...]:
    column = next(one for one in infer(frame).columns if one.name == name)
    assert isinstance(column, Categorical)
    return column.levels


@settings(max_examples=25, deadline=None)
@given(place=st.permutations(range(6)), seed=st.integers(0, 2**32 - 1))
def test_levels_whose_numbers_ascend_stand_in_their_order_or_beside_it(place: list[int], seed: int) -> None:
    """A number grows with a place that the levels have; shares and names of the levels say nothing of it."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(6, 3000, p=rng.dirichlet(np.full(6, 5.0)))
    frame = pd.DataFrame(
        {"c": np.array(list("uvwxyz"))[codes], "x": np.array(place)[codes] + rng.normal(0, 0.5, 3000)}
    )
    found = [
        place["uvwxyz".index(str(level))] for level in levels_of(frame) if (frame["c"] == level).sum() > 30
    ]
    ranks = [sorted(found).index(one) for one in found]
    best = min((ranks, ranks[::-1]), key=lambda order: sum(abs(i - rank) for i, rank in enumerate(order)))
    # the numbers are taken in eight groups, so two levels at an end may change places
    assert all(abs(i - rank) <= 1 for i, rank in enumerate(best))
    assert sum(i != rank for i, rank in enumerate(best)) <= 2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(20, 300))
def test_the_order_is_one_of_the_same_levels_and_goes_by_the_rows_alone(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "c": rng.choice(list("abcde"), rows),
            "d": rng.choice(["k", "l", "m"], rows),
            "n": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
            "b": rng.random(rows) < 0.5,
        }
    )
    found, mixed = levels_of(frame), levels_of(frame.iloc[rng.permutation(rows)])
    assert sorted(map(str, found)) == sorted(set(frame["c"]))
    assert found == mixed


def test_scores_are_a_fixed_point_of_reciprocal_averaging() -> None:
    """A score is, up to a factor, the mean over a level's rows of the mean scores of what is beside it."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, 4000)
    other = np.clip(codes + rng.integers(-1, 3, 4000), 0, 6)
    scores = first_axis(codes, 5, [other])
    table = np.zeros((5, 7))
    np.add.at(table, (codes, other), 1)
    table += 5.0 * table.sum(axis=0) / 4000
    beside = (table * scores[:, None]).sum(axis=0) / table.sum(axis=0)
    again = (table * beside).sum(axis=1) / table.sum(axis=1)
    ratio = again / scores
    assert np.allclose(ratio, ratio[0])
    assert 0 < ratio[0] < 1


def test_a_level_of_one_row_makes_no_axis_of_its_own() -> None:
    rng = np.random.default_rng(0)
    codes = np.r_[rng.integers(0, 4, 3000), 4]
    other = np.r_[np.clip(codes[:-1] + rng.integers(0, 2, 3000), 0, 4), 9]
    scores = first_axis(codes, 5, [other])
    assert abs(scores[4]) < np.abs(scores[:4]).max()
    assert (np.diff(scores[:4]) > 0).all() or (np.diff(scores[:4]) < 0).all()


def test_empty_cells_count_as_a_level_of_the_others_alone() -> None:
    """A number that is there for half of the levels alone: these stand together."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 2000)
    frame = pd.DataFrame(
        {
            "c": np.array(list("abcd"))[codes],
            "x": np.where(np.isin(codes, [0, 3]), np.nan, rng.normal(size=2000)),
        }
    )
    frame.loc[:50, "c"] = None
    found = levels_of(frame)
    assert set(found[:2]) in ({"a", "d"}, {"b", "c"})


def test_what_is_no_category_on_a_line_stays() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "two": rng.choice(["u", "v"], 500),
            "size": rng.choice(["small", "large", "medium"], 500),
            "x": rng.normal(size=500),
        }
    )
    schema = infer(frame)
    assert in_order(schema.columns, cells_of(frame)) == list(schema.columns)
    alone = infer(frame[["size"]].assign(size=rng.choice(["k", "l", "m"], 500, p=[0.5, 0.3, 0.2])))
    assert alone.columns[0].levels == ("k", "l", "m")  # type: ignore[attr-defined]


def test_a_simplex_keeps_its_order_and_a_file_says_its_own() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 900)
    frame = pd.DataFrame({"c": np.array(list("abc"))[codes], "x": np.array([0.0, 9, 1])[codes]})
    frame["x"] += rng.normal(size=900)
    assert levels_of(frame)[1] == "c"
    own = Categorical(name="c", levels=("a", "b", "c"), spread="simplex")
    assert in_order([own, Continuous(name="x")], cells_of(frame))[0] == own
    given_schema = infer(frame).model_copy(update={"columns": (own, infer(frame).columns[1])})
    assert infer(frame, given_schema).columns[0].levels == ("a", "b", "c")  # type: ignore[attr-defined]


@pytest.mark.parametrize("rows", [ROWS, 3 * ROWS])
def test_many_rows_are_judged_by_some(rows: int) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, rows)
    frame = pd.DataFrame({"c": np.array(list("dbeac"))[codes], "x": codes + rng.normal(size=rows)})
    assert levels_of(frame) in (tuple("dbeac"), tuple("caebd"))
