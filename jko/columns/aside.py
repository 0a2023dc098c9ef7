"""Columns that take no part in the law: constant ones are given back, others are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from jko.columns.column import Cell, Column, Meaning, Values, as_object
from jko.columns.conditions import COMPARED, EMPTY, THERE, Condition, impossible, number_of, same_cell
from jko.columns.regions import Constraint, Everywhere
from jko.core.errors import InputError
from jko.preparation.table import Array


class Aside(Column):
    """A column without encoded ones."""

    @property
    def parts(self) -> tuple[str, ...]:
        """None."""
        return ()

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        return np.empty((len(cells), 0)), np.zeros(len(cells))


class Constant(Aside):
    """One value in every row: it has mass 1, is kept aside and given back.

    Args:
        value: of all cells, dates as text; ``None`` where all are empty.
        dtype: of the column.
    """

    kind: Literal["constant"] = "constant"
    value: Cell | None = None
    dtype: str = "object"

    @property
    def meaning(self) -> Meaning:
        """A mass of 1."""
        return "mass"

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        if self.value is not None:
            plain = cells.astype(str) if cells.dtype.kind == "M" else cells
            right = np.array([cell == self.value for cell in plain.tolist()], dtype=bool)
            self.outside(cells, right, f"{self.value!r} alone is allowed")
        return super().encode(cells, noise)

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """See :meth:`Column.constraint`."""
        if not all(self._fulfils(one) for one in conditions):
            raise impossible(
                conditions, f"every cell is {'empty' if self.value is None else repr(self.value)}"
            )
        return Constraint(Everywhere(), self.value)

    def _fulfils(self, condition: Condition) -> bool:
        if condition.op in (EMPTY, THERE):
            return (self.value is None) == (condition.op == EMPTY)
        if condition.op in ("=", "in", "!="):
            known = any(same_cell(self.value, value) for value in condition.values)
            return known != (condition.op == "!=")
        own = number_of(self.value, self.name)
        return COMPARED[condition.op](own, [number_of(value, self.name) for value in condition.values])

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        if self.value is None:
            return np.full(len(encoded), np.nan)
        return as_object([self.value] * len(encoded)).astype(self.dtype)


class LeftOut(Aside):
    """A column that no sample holds."""

    kept: ClassVar[bool] = False

    @property
    def meaning(self) -> Meaning:
        """Nothing is said of it."""
        return "none"

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """See :meth:`Column.constraint`: the model does not know the column."""
        raise InputError(f"{conditions[0]}: column {self.name!r} ({self.kind}) is left out of the model")

    def decode(self, encoded: Array) -> Values:
        """Nothing to decode: empty cells."""
        return np.full(len(encoded), np.nan)


class Text(LeftOut):
    """Free text: left out."""

    kind: Literal["text"] = "text"


class Index(LeftOut):
    """Numbers of rows: no datum, so left out."""

    kind: Literal["index"] = "index"
