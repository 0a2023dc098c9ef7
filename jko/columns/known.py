"""Cells of another table in the types that the kinds of a known one expect."""

from __future__ import annotations

import numpy as np

from jko.columns.aside import Constant
from jko.columns.cells import read_cells, with_holes
from jko.columns.column import Cell, Column, Values
from jko.columns.dates import Dates
from jko.columns.levels import Levels
from jko.columns.missing import Missing
from jko.columns.told import Told


def as_known(column: Column, cells: Values) -> Values:
    """Cells as a kind knows them, where another file shows them in another type.

    Levels that are text, such as ``01``, may all look like numbers there; dates of a type may be text.

    Args:
        column: the kind.
        cells: shape (n,).
    """
    if isinstance(column, Missing):
        own = read_cells(cells)
        there = as_known(column.value, own.there)
        values = np.zeros(len(cells), dtype=there.dtype)
        values[own.present] = there
        return with_holes(values, own.present)
    column = column.value if isinstance(column, Told) else column
    if isinstance(column, Levels):
        return _levels(column.levels, cells)
    if isinstance(column, Constant) and column.value is not None:
        return _levels((column.value,), cells)
    if isinstance(column, Dates) and column.form is None and cells.dtype.kind == "O":
        try:
            return np.array([str(cell) for cell in cells.tolist()], dtype="M8[us]")
        except ValueError:
            return cells
    return cells


def _levels(levels: tuple[Cell, ...], cells: Values) -> Values:
    """Cells with those that are written like a level turned into it."""
    known = set(levels)
    written = {_written(level): level for level in levels}
    unique = set(cells.tolist())
    if unique <= known or len(written) < len(levels):
        return cells
    turned = {cell: cell if cell in known else written.get(_written(cell), cell) for cell in unique}
    found = np.empty(len(cells), dtype=object)
    found[:] = [turned[cell] for cell in cells.tolist()]
    return found


def _written(cell: object) -> str:
    """A cell as text; 1 and 1.0 are written alike."""
    whole = isinstance(cell, float) and cell.is_integer()
    return str(int(cell)) if whole and isinstance(cell, float) else str(cell)
