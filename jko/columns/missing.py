r"""Columns with empty cells, whose pattern is part of the law.

A cell is empty or holds a value x. Let c be which of both, and r a known density on the encoded numbers v of
the value. A column becomes a pair (s, v): s lies in the half of the line that belongs to c, and v is the
encoded value where there is one, else a draw from r. For a law with density p on all encoded numbers,

.. math:: P(\text{empty}, y) = \int_{s > 0} \int p(s, v, y)\,dv\,ds
    = E_{s \sim q,\; v \sim r}\left[\frac{p(s, v, y)}{q(s)\,r(v)}\right],

whatever y is, since v is nothing that was observed: it is integrated out. Its mean over draws is without
bias, for any r that is positive everywhere. So log_det of an empty cell is −log q(s) − log r(v), as if the
encoded noise were that of a discrete cell (:class:`jko.columns.column.Column`). With several columns the
product of such densities stands below: what comes out is the log-probability of what was observed, the
pattern of holes being observed, too. A law that is fitted to rows whose holes are filled by r has
p(v | empty, y) = r(v) at its best, and then every draw gives the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from jko.columns.aside import Constant
from jko.columns.atoms import Atoms
from jko.columns.cells import read_cells, with_holes
from jko.columns.circular import Circular
from jko.columns.column import Above0, Column, Exactness, Finite, Meaning, Values, value_named
from jko.columns.conditions import EMPTY, THERE, Condition
from jko.columns.dates import Dates
from jko.columns.discrete import Gridded, Integer
from jko.columns.levels import Boolean, Categorical, Ordinal
from jko.columns.noise import (
    halves_log_det,
    log_normal,
    nearest_corner,
    normal_of,
    on_halves,
    on_simplex,
    simplex_log_det,
)
from jko.columns.real import Bounded, Continuous, Positive
from jko.columns.regions import Constraint, Everywhere, WithAtoms
from jko.columns.told import Told
from jko.core.cell_line import HALVES, CellLine
from jko.core.errors import InputError
from jko.preparation.table import Array

#: what the cells that there are can be
Value = Annotated[
    Continuous | Positive | Bounded | Integer | Gridded | Atoms | Categorical | Boolean | Ordinal | Circular
    | Dates | Constant,
    Field(discriminator="kind"),
]  # fmt: skip
#: numbers of the halves of the line that belong to empty cells, and to those that there are
HOLE, PRESENT = 0, 1


class Missing(Column):
    """Cells of which some are empty: whether a cell is, as a part of normal noise, and the value.

    The first encoded number is above 0 where the cell is empty. With ``share`` it is normal over all rows,
    and moved so that holes begin at 0. Were the two halves of the line alike, the density of rare holes would
    jump there, and a flow, which smooths jumps, would draw too many. The others are those of the value, or
    normal noise around ``centre``, of density r (see the module). The probability of an empty cell is a mass,
    that of another one the mass of *there is one* times what its kind has.

    Args:
        value: the kind of the cells that there are.
        share: of empty cells, where these or the others are rare; else the two halves are alike.
        centre: of the noise in place of a value, of each of its encoded columns; zeros where nothing is said.
        spread: the standard deviation of this noise; ones where nothing is said.
    """

    exactness: ClassVar[Exactness] = "bound"

    kind: Literal["missing"] = "missing"
    value: Value
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    centre: tuple[Finite, ...] = ()
    spread: tuple[Above0, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        return value_named(given)

    @model_validator(mode="after")
    def _consistent(self) -> Missing:
        if {len(self.centre), len(self.spread)} - {0, self.value.width}:
            raise ValueError(f"centre and spread need {self.value.width} numbers, or none")
        return self

    @property
    def meaning(self) -> Meaning:
        """Mixed, where the cells that there are have a density."""
        return "mass" if self.value.meaning == "mass" else "mixed"

    @property
    def parts(self) -> tuple[str, ...]:
        """Whether the cell is empty, then those of the value."""
        return ("/missing", *self.value.parts)

    @property
    def noise_width(self) -> int:
        """For whether it is empty, for what stands in place of a value, and that of the value."""
        return 1 + self.value.width + self.value.noise_width

    @property
    def cell_lines(self) -> tuple[CellLine | None, ...]:
        """Whether there is a cell, on halves of a line that are alike; in place of its value can be noise."""
        return (HALVES if self.share is None else None, *(None,) * self.value.width)

    @property
    def sheets(self) -> int:
        """Those of the value, where there is one, times two where the halves of the line are alike."""
        return (2 if self.share is None else 1) * self.value.sheets

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`; empty cells are NaN, NaT or ``None``."""
        own, width = read_cells(cells), self.value.width
        which, log_det = which_of(own.present, self.share, noise[:, :1])
        values = self._fill(normal_of(noise[:, 1 : 1 + width]))
        inner = self._fill_log_det(values)
        if own.present.any():
            there = self.value.encode(own.there, noise[own.present, 1 + width :])
            values[own.present], inner[own.present] = there
        return np.concatenate([which, values], axis=1), log_det + inner

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        return with_holes(self.value.decode(encoded[:, 1:]), self.present(encoded))

    def log_det(self, encoded: Array) -> Array:
        """See :meth:`Column.log_det`."""
        values, present = encoded[:, 1:], self.present(encoded)
        found = self._fill_log_det(values)
        found[present] = self.value.log_det(values[present])
        return self._which_log_det(encoded[:, :1]) + found

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """See :meth:`Column.constraint`; an empty cell is empty, and fulfils no other condition."""
        rest = [one for one in conditions if one.op not in (EMPTY, THERE)]
        if any(one.op == EMPTY for one in conditions):
            if any(one.op != EMPTY for one in conditions):
                raise InputError(f"no cell can fulfil {' and '.join(map(str, conditions))}")
            return Constraint(WithAtoms((HOLE,), 1, None))
        if not rest:
            return Constraint(WithAtoms((), 1, Everywhere()))
        found = self.value.constraint(rest)
        return Constraint(WithAtoms((), 1, found.region), found.cell, thin=found.thin)

    def present(self, encoded: Array) -> NDArray[np.bool_]:
        """Where there is a cell, of encoded rows of shape (n, width) to (n,)."""
        found: NDArray[np.bool_] = nearest_corner(encoded[:, :1]) == PRESENT
        return found

    def _which_log_det(self, which: Array) -> Array:
        """−log q of whether cells are empty, nats, of shape (n, 1) to (n,)."""
        return simplex_log_det(which) if self.share is None else halves_log_det(which, self.share)

    def _fill(self, normal: Array) -> Array:
        """Standard normal noise as what stands in place of a value."""
        return normal * np.array(self.spread or 1.0) + np.array(self.centre or 0.0)

    def _fill_log_det(self, values: Array) -> Array:
        """−log r of encoded values, nats, of shape (n, width) to (n,)."""
        spread = np.array(self.spread or 1.0) * np.ones(values.shape[1])
        found: Array = np.log(spread).sum() - log_normal((values - np.array(self.centre or 0.0)) / spread)
        return found


class Presence:
    """That there is a cell, whatever it is: what :mod:`jko.conditional` holds where a hole is filled.

    Args:
        share: of empty cells in the column.
    """

    noise_width = 1

    def __init__(self, share: float | None = None) -> None:
        self.share = share

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """The first number of :meth:`Missing.encode` for cells that there are."""
        return which_of(np.ones(len(cells), dtype=bool), self.share, noise)


def which_of(present: NDArray[np.bool_], share: float | None, noise: Array) -> tuple[Array, Array]:
    """Whether cells are empty, as numbers above 0 or below, and −log q.

    Args:
        present: where there is a cell, shape (n,).
        share: of empty cells; ``None`` for two halves that are alike.
        noise: uniform, shape (n, 1).
    """
    if share is None:
        return on_simplex(present.astype(np.int64), 2, noise)
    return on_halves(~present, share, noise)


def bare(column: Column) -> Column:
    """The kind of the cells that there are, and of one that another column tells the kind of its own."""
    return column.value if isinstance(column, Missing | Told) else column


def takes_holes(column: Column) -> bool:
    """Whether empty cells of a column are part of the law, or stand in every row."""
    return isinstance(column, Missing) or (isinstance(column, Constant) and column.value is None)


def missing_of(column: Column, cells: Values, share: float | None = None) -> Missing:
    """A column with holes, whose noise is like the cells that there are.

    Args:
        column: their kind.
        cells: of this kind, none missing; without any the noise is standard normal.
        share: of the cells that are empty.
    """
    why = "; ".join(word for word in (column.why, "empty cells are part of the law") if word)
    value = column.model_copy(update={"why": "", "seen": None})
    centre: list[float] = []
    spread: list[float] = []
    if len(cells):
        noise = np.random.default_rng(0).uniform(0.01, 0.99, (len(cells), column.noise_width))
        encoded = column.encode(cells, noise)[0]
        wide = encoded.std(axis=0)
        centre = encoded.mean(axis=0).tolist()
        spread = np.where(wide > 1e-6 * np.abs(encoded).max(axis=0), wide, 1.0).tolist()
    return Missing.model_validate(
        {"name": column.name, "value": value, "why": why, "seen": column.seen, "centre": tuple(centre),
         "spread": tuple(spread), "share": share}
    )  # fmt: skip
