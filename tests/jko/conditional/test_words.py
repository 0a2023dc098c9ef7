"""Conditions as people write them."""

from __future__ import annotations

import numpy as np
import pytest

from jko.columns.conditions import Condition
from jko.conditional.words import Given, conditions_of
from jko.core.errors import InputError

COLUMNS = ("age", "age of car", "income", "a<b", "city", "in")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("age=40", [("age", "=", "40")]),
        ("age == 40", [("age", "=", "40")]),
        (" age  !=  40 ", [("age", "!=", "40")]),
        ("age of car>=3", [("age of car", ">=", "3")]),
        ("income=<=50K", [("income", "=", "<=50K")]),
        ("income=>50K", [("income", "=", ">50K")]),
        ("30<=age<40", [("age", ">=", "30"), ("age", "<", "40")]),
        ("40 > age of car >= 30", [("age of car", "<", "40"), ("age of car", ">=", "30")]),
        ("a<b < 3", [("a<b", "<", "3")]),
        ("1 < a<b < 3", [("a<b", ">", "1"), ("a<b", "<", "3")]),
        ("city in [Rome, Paris]", [("city", "in", "Rome", "Paris")]),
        ('city in ["Rome, Italy", Paris]', [("city", "in", "Rome, Italy", "Paris")]),
        ("in = 3", [("in", "=", "3")]),
        ("city=in [x]", [("city", "=", "in [x]")]),
        ("age is empty", [("age", "is empty")]),
        (" age of car  is  not empty ", [("age of car", "is not empty")]),
        ("city = is empty", [("city", "=", "is empty")]),
    ],
)
def test_a_text_is_read(word: str, found: list[tuple[str, ...]]) -> None:
    assert [(one.column, one.op, *one.values) for one in conditions_of(word, COLUMNS)] == found


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("agee=40", "no column 'agee'; there are age, age of car"),
        ("weight in [1]", "no column 'weight'"),
        ("weight is empty", "no column 'weight'; there are age"),
        ("age is full", "or COLUMN is empty"),
        ("age", "the form is COLUMN=VALUE"),
        ("age=", "the form is COLUMN=VALUE"),
        ("", "the form is COLUMN=VALUE"),
        ("30<age>40", "the form is COLUMN=VALUE"),
        ("city in []", "the list is empty"),
        ({"weight": 3}, "no column 'weight'"),
        ({"age": []}, "the list is empty"),
        (3, "give text as 'age=40'"),
        ([3], "give text as 'age=40'"),
    ],
)
def test_what_is_no_condition_is_refused(given: Given, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        conditions_of(given, COLUMNS)


def test_a_dict_has_cells_and_lists_of_cells() -> None:
    found = conditions_of({"age": np.int64(40), "city": ("Rome", "Paris")}, COLUMNS)
    assert found == (Condition("age", "=", (40,)), Condition("city", "in", ("Rome", "Paris")))
    assert type(found[0].values[0]) is int
    assert str(found[1]) == "city in [Rome, Paris]"
    for nothing in (None, float("nan"), np.nan):
        (hole,) = conditions_of({"age": nothing}, COLUMNS)
        assert (hole.op, str(hole)) == ("is empty", "age is empty")


def test_several_texts_are_all_to_be_fulfilled() -> None:
    assert len(conditions_of(["age=40", "1<income<2"], COLUMNS)) == 3
