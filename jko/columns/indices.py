"""Columns that number rows or things: no data, so left out."""

from __future__ import annotations

import numpy as np

from jko.columns.column import Values
from jko.columns.found import IDS, words_of

#: rows from which on numbers that are all different can be told to number the rows
LEAST = 3


def index_why(name: str, numbers: Values, *, first: bool) -> str:
    """Why whole numbers number rows or things; empty where they do not.

    Args:
        name: of the column.
        numbers: its cells, those that are there, in their own type: float64 does not tell all integers apart.
        first: whether it is the first column.

    >>> index_why("id", np.array([7.0, 3.0, 5.0]), first=False)
    'whole numbers, all different, and its name says so'
    >>> index_why("n", np.array([7.0, 3.0, 5.0]), first=True)
    ''
    """
    if not len(numbers) or not (numbers == np.rint(numbers)).all():
        return ""
    unnamed = first and (name.startswith("Unnamed: ") or not name.strip())
    called = bool(words_of(name) & IDS)
    counts = first and numbers[0] in (0, 1) and bool((np.diff(numbers) == 1).all())
    if not (unnamed or called or counts):
        return ""
    unique = counts or len(np.unique(numbers)) == len(numbers)
    if unnamed and len(numbers) > 1 and (unique or _in_turn(numbers)):
        return "the first column has no name and numbers the rows"
    if not unique or len(numbers) < LEAST:
        return ""
    if called:
        return "whole numbers, all different, and its name says so"
    return f"it counts the rows from {numbers[0]:g} on" if counts else ""


def _in_turn(numbers: Values) -> bool:
    """Whether whole numbers number the rows of several tables in turn, or of one that was drawn from."""
    lowest, count = numbers.min(), len(numbers)
    if lowest not in (0, 1) or numbers.max() > count:
        return False
    steps = np.diff(numbers)
    in_turn = ((steps == 1) | (numbers[1:] == lowest)).all() and 2 * (steps == 1).sum() >= len(steps)
    return bool(in_turn or 2 * len(np.unique(numbers)) >= count)
