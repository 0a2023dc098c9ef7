r"""Columns that another one tells: wherever the one has the same level, the other has the same cell.

Of a zip code the city is known, of an education the years that it takes. Such a column B is a function of a
column A, so P(A, B, y) = P(A, y): nothing of it is encoded, it adds 0 to a log-probability, and samples obey
the rule exactly. A row that breaks it has no probability, as one with a new level has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from jko.columns.aside import Aside
from jko.columns.atoms import Atoms
from jko.columns.circular import Circular
from jko.columns.column import Cell, Column, Meaning, Values, as_object, value_named
from jko.columns.conditions import COMPARED, Condition, impossible, number_of
from jko.columns.discrete import Gridded, Integer
from jko.columns.levels import Boolean, Categorical, Levels, Ordinal
from jko.columns.real import Bounded, Continuous, Positive
from jko.columns.regions import Constraint, Everywhere
from jko.core.errors import InputError
from jko.preparation.names import shown
from jko.preparation.table import Array

#: what a column that is told can be by itself
Value = Annotated[
    Continuous | Positive | Bounded | Integer | Gridded | Atoms | Categorical | Boolean | Ordinal | Circular,
    Field(discriminator="kind"),
]
#: noise by which a cell becomes some number of its own: 0.5 may belong to two levels
WITHIN = 0.3
#: how the reason ends why a column is told
SAID = "; told by "


class Told(Aside):
    """A column that another one tells: it has mass 1, takes no encoded column, and comes back by the rule.

    Args:
        by: the column of levels that tells it.
        value: the kind that it has by itself, which says what conditions on it mean.
        table: every level of that column, and the cell that it tells.
        dtype: of the column.
    """

    kind: Literal["told"] = "told"
    by: str
    value: Value
    table: Annotated[tuple[tuple[Cell, Cell], ...], Field(min_length=2)]
    dtype: str = "object"

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        return value_named(given)

    @model_validator(mode="after")
    def _one_each(self) -> Told:
        levels = [level for level, _ in self.table]
        twice = [level for i, level in enumerate(levels) if level in levels[:i]]
        if twice:
            raise ValueError(f"the table has the level {twice[0]!r} twice")
        return self

    @property
    def meaning(self) -> Meaning:
        """A mass of 1."""
        return "mass"

    def decode(self, encoded: Array) -> Values:
        """Any cell of it: the right ones are those of :meth:`told`."""
        return as_object([self.table[0][1]] * len(encoded)).astype(self.dtype)

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`; whether a row obeys the rule is seen by :meth:`obeyed` alone."""
        known = {cell for _, cell in self.table}
        right = np.array([cell in known for cell in cells.tolist()], dtype=bool)
        self.outside(cells, right, f"column {shown(self.by)} tells it, and never tells this")
        return super().encode(cells, noise)

    def told(self, levels: Values) -> Values:
        """The cells that levels of the other column tell; of one that is none, any cell.

        Args:
            levels: cells of the column that tells it, shape (n,).
        """
        known, some = dict(self.table), self.table[0][1]
        return as_object([known.get(level, some) for level in levels.tolist()]).astype(self.dtype)

    def obeyed(self, levels: Values, cells: Values) -> NDArray[np.bool_]:
        """Which rows obey the rule, shape (n,).

        Args:
            levels: cells of the column that tells it, shape (n,).
            cells: of this one.
        """
        known = dict(self.table)
        pairs = zip(levels.tolist(), cells.tolist(), strict=True)
        return np.array([known.get(level, cell) == cell for level, cell in pairs], dtype=bool)

    def broken(self, levels: Values, cells: Values) -> str:
        """A sentence on the first row that breaks the rule; empty where none does."""
        right = self.obeyed(levels, cells)
        if right.all():
            return ""
        first = int(np.argmin(right))
        other = dict(self.table)[levels.tolist()[first]]
        return (
            f"column {shown(self.name)}: {shown(cells[first])} beside {shown(levels[first])} in column "
            f"{shown(self.by)} ({int((~right).sum())} of {len(cells)} rows) breaks the rule of the training "
            f"rows, where that column tells {shown(other)}"
        )

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """See :meth:`Column.constraint`; what conditions say of the teller is in :meth:`translated`."""
        self.translated(conditions)
        return Constraint(Everywhere())

    def translated(self, conditions: Sequence[Condition]) -> Condition:
        """Conditions on this column as one on the column that tells it.

        Raises:
            InputError: no cell fulfils them.
        """
        good = self._fulfilling(conditions).tolist()
        levels = tuple(level for (level, _), right in zip(self.table, good, strict=True) if right)
        if not levels:
            raise impossible(conditions, f"column {shown(self.by)} tells it, and never tells this")
        return Condition(self.by, "in", levels)

    def _fulfilling(self, conditions: Sequence[Condition]) -> NDArray[np.bool_]:
        """Which cells of the table fulfil conditions: numbers as they are, others as their kind has it."""
        cells = as_object([cell for _, cell in self.table])
        if isinstance(self.value, Levels | Circular):
            region = self.value.constraint(conditions).region
            noise = np.full((len(cells), self.value.noise_width), WITHIN)
            return region.inside(self.value.encode(cells, noise)[0])
        found = np.ones(len(cells), dtype=bool)
        for one in conditions:
            values = [number_of(value, self.name) for value in one.values]
            found &= np.array([COMPARED[one.op](cell, values) for cell in cells.tolist()])
        return found

    @property
    def alone(self) -> Column:
        """The column as it is where nothing tells it."""
        return self.value.model_copy(update={"why": self.why.partition(SAID)[0], "seen": self.seen})


@dataclass(frozen=True)
class OneOf:
    """A level of which only is known which ones it can be: its column is empty beside one that it tells.

    Drawn alike from them by noise. So q(z | cell) is their mean, and log_det that of the level and the log of
    how many there are.

    Args:
        column: of the levels.
    """

    column: Levels

    @property
    def noise_width(self) -> int:
        """One number for which of them, and the level's own."""
        return 1 + self.column.noise_width

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`.

        Args:
            cells: a tuple of levels for every row, shape (n,).
            noise: shape (n, noise_width).
        """
        many = [len(levels) for levels in cells]
        chosen = [levels[int(u * len(levels))] for levels, u in zip(cells, noise[:, 0], strict=True)]
        z, log_det = self.column.encode(as_object(chosen), noise[:, 1:])
        return z, log_det + np.log(many)


@dataclass(frozen=True)
class Known:
    """What stands in a column that is told.

    Args:
        column: of the cells.
        cells: shape (n,).
        present: where there is one, shape (n,).
    """

    column: Told
    cells: Values
    present: NDArray[np.bool_]


def can_be(column: Levels, told: Sequence[Known], rows: int) -> Values:
    """The levels that each row can have by the columns that they tell, shape (rows,) of tuples.

    Args:
        column: of the levels.
        told: by it.
        rows: how many.

    Raises:
        InputError: a row for which there is none.
    """
    found = [column.levels] * rows
    for own in told:
        by_cell: dict[object, set[Cell]] = {}
        for level, cell in own.column.table:
            by_cell.setdefault(cell, set()).add(level)
        for row in np.flatnonzero(own.present).tolist():
            allowed = by_cell.get(own.cells[row : row + 1].tolist()[0], set())
            found[row] = tuple(level for level in found[row] if level in allowed)
            if not found[row]:
                raise InputError(
                    f"column {shown(own.column.name)}: no level of column {shown(column.name)} tells "
                    f"{shown(own.cells[row])} and what stands beside it"
                )
    sets = np.empty(rows, dtype=object)
    for row, levels in enumerate(found):  # all at once, tuples would become rows
        sets[row] = levels
    return sets


def settled(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns with those as they are alone that nothing among them tells."""
    known = {one.name for one in columns if isinstance(one, Levels)}
    return tuple(one.alone if isinstance(one, Told) and one.by not in known else one for one in columns)


def refuse_unknown(columns: Sequence[Column]) -> None:
    """Refuse a column that is told by one that is not there, or that has other levels.

    Raises:
        ValueError: there is one.
    """
    known = {one.name: one.levels for one in columns if isinstance(one, Levels)}
    for one in columns:
        if not isinstance(one, Told):
            continue
        if one.by not in known:
            raise ValueError(f"{shown(one.name)} is told by {shown(one.by)}, which is no column of levels")
        if other := set(known[one.by]) ^ {level for level, _ in one.table}:
            raise ValueError(
                f"{shown(one.name)} is told by {shown(one.by)}, and only one of both has the level "
                f"{shown(sorted(other, key=str)[0])}"
            )
