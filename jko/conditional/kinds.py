"""The columns of a chain as kinds: those of its schema, or what its numbers without one are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jko.columns.column import Column, Values
from jko.columns.conditions import EMPTY, THERE, Condition
from jko.columns.discrete import Gridded
from jko.columns.missing import takes_holes
from jko.columns.noise import around
from jko.columns.real import Continuous
from jko.columns.regions import Constraint, Inside
from jko.columns.schema import Schema
from jko.columns.told import Told
from jko.core.errors import InputError
from jko.preparation.facts import DataFacts
from jko.preparation.names import shown
from jko.preparation.table import Array


class Spread(Continuous):
    """Real numbers that were spread by noise of one step, though they lie on no regular grid.

    A single number is the interval of one step around it: z = x + step (u − ½), log_det = log step.

    Args:
        step: width of the noise.
    """

    kind: Literal["spread"] = "spread"  # type: ignore[assignment]
    step: float

    @property
    def noise_width(self) -> int:
        """One uniform number a cell."""
        return 1

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        z, log_det = around(np.asarray(cells, dtype=float), self.step, noise[:, 0])
        return z[:, None], log_det

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """See :meth:`Column.constraint`."""
        found = super().constraint(conditions)
        if found.cell is None:
            return found
        middle = float(str(found.cell))
        half = 0.5 * self.step
        near = (
            Condition(self.name, ">=", (middle - half,)), Condition(self.name, "<=", (middle + half,)),
        )  # fmt: skip
        return Constraint(super().constraint(near).region, found.cell)


@dataclass(frozen=True)
class Kinds:
    """The columns that rows have for their reader, and where each stands in the chain's numbers.

    Args:
        columns: with a place in samples.
        schema: of the table, where the chain was trained by one.
    """

    columns: tuple[Column, ...]
    schema: Schema | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def known(self) -> dict[str, Column]:
        """All columns by name, those that are left out of the model among them."""
        columns = self.columns if self.schema is None else self.schema.columns
        return {column.name: column for column in columns}

    @property
    def places(self) -> dict[str, slice]:
        """The encoded numbers of each column."""
        ends = np.cumsum([0, *(column.width for column in self.columns)]).tolist()
        return {name: slice(ends[i], ends[i + 1]) for i, name in enumerate(self.names)}

    def inside(self, constraints: dict[str, Constraint], y: Array) -> Inside:
        """Which rows fulfil constraints on columns, shape (n, d) to (n,)."""
        found = np.ones(len(y), dtype=bool)
        for name, constraint in constraints.items():
            found &= constraint.region.inside(y[:, self.places[name]])
        return found


def kinds_of(facts: DataFacts) -> Kinds:
    """The kinds of a chain's columns.

    This is the one place where a chain is asked for its schema. Without one a column is on its grid, or
    spread by one step where not all rows lie on a grid, or real.
    """
    if facts.kinds is not None:
        return Kinds(facts.kinds.kept, facts.kinds)
    columns: list[Column] = []
    for name, step in zip(facts.columns, facts.grid, strict=True):
        if name in facts.origins:
            columns.append(Gridded(name=name, origin=facts.origins[name], step=step))
        elif step and not facts.smoothing:
            columns.append(Spread(name=name, step=step))
        else:
            columns.append(Continuous(name=name))
    return Kinds(tuple(columns))


def raw_kinds(facts: DataFacts) -> Kinds:
    """The numbers that a chain models, each for itself: with a schema, real columns."""
    if facts.kinds is None:
        return loose(kinds_of(facts))
    return Kinds(tuple(Continuous(name=name) for name in facts.columns))


def constraints_of(kinds: Kinds, conditions: Sequence[Condition]) -> dict[str, Constraint]:
    """What conditions leave of the encoded numbers, by column; those on one that is told are on its teller.

    Raises:
        InputError: no row fulfils them.
    """
    by_column: dict[str, list[Condition]] = {}
    for condition in conditions:
        by_column.setdefault(condition.column, []).append(condition)
    for name, own in by_column.items():
        _refuse_holes(kinds.known[name], own)
    for column in kinds.known.values():
        if isinstance(column, Told) and column.name in by_column:
            by_column.setdefault(column.by, []).append(column.translated(by_column.pop(column.name)))
    return {name: kinds.known[name].constraint(own) for name, own in by_column.items()}


def _refuse_holes(column: Column, conditions: Sequence[Condition]) -> None:
    """Refuse the question whether there is a cell, where there always is one.

    Raises:
        InputError: a column without empty cells is asked for some.
    """
    asked = [one for one in conditions if one.op in (EMPTY, THERE)]
    if asked and column.kept and not takes_holes(column):
        raise InputError(
            f"{asked[0]}: column {shown(column.name)} has no empty cells in this model; they are part of one "
            "that is trained with data.missing=model on a table that has some"
        )


def loose(kinds: Kinds) -> Kinds:
    """The same kinds, but that numbers beside a grid are taken as they are, spread by its step."""
    columns = tuple(
        Spread(name=column.name, step=column.step) if isinstance(column, Gridded) else column
        for column in kinds.columns
    )
    return Kinds(columns)
