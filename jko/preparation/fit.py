"""Which cells are of a kind, and why others are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jko.columns.column import Column, Values
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
