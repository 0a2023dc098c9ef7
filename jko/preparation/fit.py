"""Which cells are of a kind, and why others are not; and which obey the rule of a column that tells them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jko.columns.column import Column, Values
from jko.columns.told import Told
from jko.core.errors import InputError


def sentence(column: Column, cells: Values) -> str:
    """Why cells are none of a kind; empty where they are."""
    try:
        column.encode(cells, np.full((len(cells), column.noise_width), 0.5))
    except InputError as error:
        return str(error)
    return ""


def fitting(column: Column, cells: Values) -> NDArray[np.bool_]:
    """Which cells are of a kind, shape (n,)."""
    found = np.ones(len(cells), dtype=bool)
    parts = [(0, len(cells))]
    while parts:
        low, high = parts.pop()
        part = cells[low:high]
        try:
            column.encode(part, np.full((len(part), column.noise_width), 0.5))
        except InputError:
            middle = (low + high) // 2
            if high - low == 1:
                found[low] = False
            else:
                parts += [(low, middle), (middle, high)]
    return found


def fitting_beside(column: Column, cells: Mapping[str, Values]) -> NDArray[np.bool_]:
    """Which cells of a column are of its kind, and are what another column tells, where one does, shape (n,).

    Args:
        column: the kind.
        cells: of all columns that samples hold, by name.
    """
    found = fitting(column, cells[column.name])
    return found & column.obeyed(cells[column.by], cells[column.name]) if isinstance(column, Told) else found


def sentence_beside(column: Column, cells: Mapping[str, Values]) -> str:
    """Why cells of a column are none of its kind, or not what another column tells; empty where they are."""
    own = cells[column.name]
    told = column.broken(cells[column.by], own) if isinstance(column, Told) else ""
    return sentence(column, own) or told
