"""Conditions as people write them: ``age = 40``, ``30 <= age < 40``, ``city in [Rome, Paris]``."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np

from jko.columns.cells import is_nothing
from jko.columns.conditions import EMPTY, THERE, Condition, Op
from jko.core.errors import InputError
from jko.core.plain import shortened
from jko.preparation.names import listed, shown

#: a condition as text, or texts, or cells by column: one, or a list of which one is to be
Given: TypeAlias = str | Sequence[str] | Mapping[str, object]
FORM = (
    "the form is COLUMN=VALUE, with !=, <, <=, > or >= too, or LOW<=COLUMN<HIGH, or COLUMN in [A, B], "
    "or COLUMN is empty"
)
COMPARISON = re.compile(r"\s*(==|=|!=|<=|>=|<|>)\s*(.*)", re.DOTALL)
HOLE = re.compile(r"\s+is\s+(not\s+)?empty\s*")
LIST = re.compile(r"\s+in\s*\[(.*)\]", re.DOTALL)
#: the same comparison from the other side
TURNED: dict[str, Op] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def conditions_of(given: Given, columns: Sequence[str]) -> tuple[Condition, ...]:
    """Conditions, whatever they are written as.

    Args:
        given: text such as ``age=40``, several of them, or a mapping of columns to cells or lists of cells.
        columns: the names that there are.

    Raises:
        InputError: an unknown column, or words that are no condition.
    """
    if isinstance(given, Mapping):
        return tuple(_of_cell(str(name), value, columns) for name, value in given.items())
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise InputError(f"given = {shortened(given)}: give text as 'age=40', texts, or a dict")
    return tuple(condition for word in words for condition in parsed(word, columns))


def parsed(word: str, columns: Sequence[str]) -> tuple[Condition, ...]:
    """The conditions of one text; a range is two of them.

    Names may hold any character: the longest one that the text begins with, or that stands in the middle of
    a range, is the column.

    Raises:
        InputError: it names no column, or has another form.
    """
    text = word.strip()
    for name in sorted(columns, key=len, reverse=True):
        if text.startswith(name) and (found := _of_rest(name, text[len(name) :])) is not None:
            return (found,)
    for name in sorted(columns, key=len, reverse=True):
        pattern = rf"(.+?)\s*(<=|>=|<|>)\s*{re.escape(name)}\s*(<=|>=|<|>)\s*(.+)"
        if between := re.fullmatch(pattern, text, re.DOTALL):
            first, left, right, last = between.groups()
            if left[0] == right[0]:
                right_op = cast("Op", right)  # the pattern lets nothing else through
                return Condition(name, TURNED[left], (first,)), Condition(name, right_op, (last,))
    unknown = re.match(r"(.*?)\s*(?:==|=|!=|<=|>=|<|>|\sin\s*\[|\sis\s+(?:not\s+)?empty$)", text, re.DOTALL)
    if (
        unknown
        and unknown[1] not in ("", *columns)
        and not re.fullmatch(r"[-+.\d]+(?:e[-+]?\d+)?", unknown[1])
    ):
        raise InputError(f"{shown(word)}: no column {shown(unknown[1])}; there are {listed(columns)}")
    raise InputError(f"{shown(word)}: {FORM}")


def _of_rest(name: str, rest: str) -> Condition | None:
    """The condition on a column by what stands behind its name; ``None`` where it is none."""
    if several := LIST.fullmatch(rest):
        (cells,) = csv.reader([several[1]], skipinitialspace=True) if several[1].strip() else ([],)
        return _listed(name, [cell.strip() for cell in cells])
    if hole := HOLE.fullmatch(rest):
        return Condition(name, THERE if hole[1] else EMPTY, ())
    compared = COMPARISON.fullmatch(rest)
    if compared is None or not compared[2].strip():
        return None
    op = cast("Op", "=" if compared[1] == "==" else compared[1])
    return Condition(name, op, (compared[2].strip(),))


def _of_cell(name: str, value: object, columns: Sequence[str]) -> Condition:
    if name not in columns:
        raise InputError(f"no column {shown(name)}; there are {listed(columns)}")
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return _listed(name, [_plain(cell) for cell in value])
    if is_nothing(value):
        return Condition(name, EMPTY, ())
    return Condition(name, "=", (_plain(value),))


def _listed(name: str, cells: Sequence[object]) -> Condition:
    if not cells:
        raise InputError(f"{name} in []: the list is empty; name one cell at least")
    return Condition(name, "in", tuple(cells))


def _plain(value: object) -> object:
    """A number of numpy as one of Python."""
    return value.item() if isinstance(value, np.generic) and value.dtype.kind in "biuf" else value
