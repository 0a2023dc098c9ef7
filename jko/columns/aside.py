"""Columns that take no part in the law: constant ones are given back, others are left out."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from jko.columns.column import Cell, Column, Meaning, Values, as_object
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

    def decode(self, encoded: Array) -> Values:
        """Nothing to decode: empty cells."""
        return np.full(len(encoded), np.nan)


class Text(LeftOut):
    """Free text: left out."""

    kind: Literal["text"] = "text"


class Index(LeftOut):
    """Numbers of rows: no datum, so left out."""

    kind: Literal["index"] = "index"
