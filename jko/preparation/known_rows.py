"""Rows of another table in the kinds of a known one: which can be used, and why others cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jko.columns.atoms import Atoms
from jko.columns.cells import read_cells, with_holes
from jko.columns.circular import Circular
from jko.columns.column import Column, Values
from jko.columns.discrete import OnGrid
from jko.columns.known import as_known
from jko.columns.missing import bare, takes_holes
from jko.columns.real import Real
from jko.columns.schema import Schema
from jko.core.errors import InputError
from jko.preparation.fit import fitting, sentence
from jko.preparation.holes import infinite_cells
from jko.preparation.kinds import is_number, with_context
from jko.preparation.names import listed, shown
from jko.preparation.whole import Whole


@dataclass(frozen=True)
class Known:
    """Rows of another table in the kinds of a known one.

    Args:
        cells: of the columns that samples hold, by name; of rows that cannot be used some that fit.
        empty: rows with an empty cell, shape (n,).
        infinite: rows with an infinite number.
        strange: rows with a cell that is none of its kind.
        why: a sentence on the first of these; empty without any.
        hole: a sentence on the first empty cell; empty without any.
        whole: the table, its context apart.
    """

    cells: Mapping[str, Values]
    empty: NDArray[np.bool_]
    infinite: NDArray[np.bool_]
    strange: NDArray[np.bool_]
    why: str
    hole: str
    whole: Whole

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Rows that have a probability."""
        return ~(self.empty | self.infinite | self.strange)


def known_rows(whole: Whole, schema: Schema) -> Known:
    """Rows of a table in known kinds.

    Raises:
        InputError: a column of the kinds, or of the context, is missing, or a column of numbers holds text.
    """
    missing = [column.name for column in schema.kept if column.name not in whole.cells]
    if missing:
        raise InputError(f"{whole.place}: no column {shown(missing[0])}; it has {listed(list(whole.cells))}")
    whole, count = with_context(whole), whole.count
    empty, infinite, strange = (np.zeros(count, dtype=bool) for _ in range(3))
    why, hole, cells = "", "", {}
    some = schema.decode(np.zeros((1, schema.width)))
    for column in schema.kept:
        own = whole.cells[column.name]
        values = as_known(column, with_holes(own.values, own.present) if takes_holes(column) else own.values)
        holes = ~own.present & (not takes_holes(column))
        _refuse_text(bare(column), values, own.present, whole.place)
        if holes.any() and not hole:
            hole = (
                f"column {shown(column.name)} has an empty cell at data row {int(np.argmax(holes)) + 1} "
                f"({int(holes.sum())} in all)"
            )
        endless = infinite_cells(values) & own.present
        there = np.flatnonzero(~holes & ~endless)
        fits = fitting(column, values[there])
        if not fits.all() and not why:
            why = sentence(column, values[there])
        bad = np.zeros(count, dtype=bool)
        bad[there] = ~fits
        cells[column.name] = _filled(values, holes | endless | bad, some[column.name])
        empty, infinite, strange = empty | holes, infinite | endless, strange | bad
    for told in schema.told:
        good = np.flatnonzero(~(empty | infinite | strange))
        levels, beside = cells[told.by], cells[told.name]
        strange[good] |= ~told.obeyed(levels[good], beside[good])
        why = why or told.broken(levels[good], beside[good])
        cells[told.name] = told.told(levels)
    if whole.context is not None:
        empty = empty | np.isnan(whole.context).any(axis=1)
        infinite = infinite | np.isinf(whole.context).any(axis=1)
    return Known(cells, empty, infinite & ~empty, strange & ~empty & ~infinite, why, hole, whole)


def _refuse_text(column: Column, values: Values, present: NDArray[np.bool_], place: str) -> None:
    """Refuse text in a column of numbers: other cells of it may be written in another way, too.

    Raises:
        InputError: names the first cell that is no number, or the first of all.
    """
    if values.dtype.kind != "O" or not isinstance(column, Real | OnGrid | Circular | Atoms):
        return
    there = np.flatnonzero(present)
    words = [row for row in there if not is_number(values[row])]
    for row in (words or there)[:1]:
        raise InputError(
            f"{place}: column {shown(column.name)} holds text {shown(values[row])} at data row "
            f"{int(row) + 1}; only numbers are allowed"
        )


def _filled(values: Values, bad: NDArray[np.bool_], some: Values) -> Values:
    """Cells with one that fits in place of others."""
    if not bad.any():
        return values
    found = values.copy() if values.dtype.kind == some.dtype.kind else values.astype(object)
    found[bad] = some[0]
    if found.dtype.kind != "O":
        return found
    own = read_cells(found)
    return with_holes(own.values, own.present)
