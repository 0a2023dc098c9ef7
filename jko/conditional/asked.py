"""What is asked of encoded rows: regions, held cells, and how much may be tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from jko.columns.column import Values, as_object
from jko.columns.regions import Constraint, Inside, Intervals
from jko.conditional.held import Held, HeldColumn
from jko.conditional.kinds import Kinds
from jko.core.errors import InputError
from jko.preparation.table import Array


@dataclass(frozen=True)
class Asked:
    """What is asked of rows.

    Args:
        words: the conditions, for sentences.
        inside: which encoded rows fulfil those that are not held, shape (n, d) to (n,).
        held: cells that are held, of one row; its mask is empty where no condition has mass zero.
        thin: whether a condition has mass zero.
        sides: intervals in which encoded columns lie that are not held, by their numbers.
    """

    words: str
    inside: Callable[[Array], Inside]
    held: Held
    thin: bool
    sides: Mapping[int, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Bounds:
    """How much may be tried.

    Args:
        tries: rows of the law at most that are drawn to find some which fulfil the conditions.
        steps: of every Markov chain at most.
    """

    tries: int = 100_000
    steps: int = 300

    def __post_init__(self) -> None:
        for name, value in (("tries", self.tries), ("steps", self.steps)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} = {value!r} is not allowed; give an integer from 1 on")


def asked_of(kinds: Kinds, constraints: Mapping[str, Constraint], words: str) -> Asked:
    """What is asked of encoded rows.

    Cells are held where a condition has mass zero: there every known cell is, and the others are regions.
    """
    thin = any(one.thin for one in constraints.values())
    columns = []
    for name, one in constraints.items():
        if thin and one.cell is not None and kinds.known[name].width:
            columns.append(
                HeldColumn(
                    name, kinds.known[name], kinds.places[name], _cell(one.cell), np.ones(1, dtype=bool)
                )
            )
    held = Held(columns, 1, sum(column.width for column in kinds.columns))
    names = {own.name for own in columns}
    rest = {name: one for name, one in constraints.items() if name not in names}
    sides = {
        kinds.places[name].start: one.region.ends[0]
        for name, one in rest.items()
        if isinstance(one.region, Intervals) and len(one.region.ends) == 1
    }
    return Asked(words, lambda y: kinds.inside(rest, y), held, thin, sides)


def _cell(cell: object) -> Values:
    """One cell as a column."""
    return np.array([cell]) if isinstance(cell, np.datetime64) else as_object([cell])
