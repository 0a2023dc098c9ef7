"""Cells that stand for a missing number, as people write them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from jko.preparation.names import shown
from tasks.datasets.numerals import NUMBER, tidy

#: what is written in place of a number that is missing; pandas knows others
NO_NUMBER = frozenset(("?", "-", "--", ".", "*", "...", "…"))


def is_text(column: pd.Series) -> bool:
    """Whether a column holds words, as pandas reads it."""
    return not pd.api.types.is_numeric_dtype(column) and not column.isna().all()


def no_numbers(column: pd.Series) -> list[str]:
    """Cells that stand for a missing one, as they are written, if all others of a text column are numbers."""
    if not is_text(column):
        return []
    cells = pd.Series(column.dropna().unique())
    tidied = tidy(cells)
    absent = tidied.isin(NO_NUMBER)
    if not absent.any() or not tidied[~absent].str.fullmatch(NUMBER.pattern).all():
        return []
    found = [str(cell) for cell in cells[absent]]
    return found if 2 * column.isin(found).sum() < column.notna().sum() else []


def said_of(name: str, cells: Sequence[str]) -> str:
    """A sentence on what :func:`no_numbers` found in a column."""
    return f"column {shown(name)}: {' and '.join(map(shown, cells))} among its numbers are missing cells"
