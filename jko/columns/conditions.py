"""What a cell is asked to be: conditions on a column of a table, and the numbers that fulfil them.

A condition is on a cell as it stands in the table. A kind turns all conditions on its column into one
:class:`jko.columns.regions.Constraint` on its encoded columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jko.columns.regions import Ends
from jko.core.errors import InputError
from jko.preparation.names import listed, shown

Op = Literal["=", "!=", "<", "<=", ">", ">=", "in", "is empty", "is not empty"]
#: those that ask whether there is a cell
EMPTY: Op = "is empty"
THERE: Op = "is not empty"
LINE: Ends = ((-math.inf, math.inf),)
#: how far from a point of a grid a number may be, in steps
NEAR = 1e-6

#: whether a number is what it is compared with
COMPARED: dict[Op, Callable[[float, Sequence[float]], bool]] = {
    "=": lambda own, values: own == values[0],
    "!=": lambda own, values: own != values[0],
    "<": lambda own, values: own < values[0],
    "<=": lambda own, values: own <= values[0],
    ">": lambda own, values: own > values[0],
    ">=": lambda own, values: own >= values[0],
    "in": lambda own, values: own in values,
}
#: what people write for a truth value
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Condition:
    """A condition on one cell, such as ``age >= 40``.

    Args:
        column: its name.
        op: how the cell is compared.
        values: with what; several for ``in`` alone, and none for ``is empty``. Text is read as the column's
            kind reads it.
    """

    column: str
    op: Op
    values: tuple[object, ...]

    def __str__(self) -> str:
        """As it is written on the command line."""
        if not self.values:
            return f"{self.column} {self.op}"
        if self.op == "in":
            return f"{self.column} in [{', '.join(map(str, self.values))}]"
        return f"{self.column} {self.op} {self.values[0]}"


def number_of(value: object, name: str) -> float:
    """A value of a condition as a number.

    Raises:
        InputError: it is none.
    """
    try:
        found = float(value) if isinstance(value, str | int | float | np.number) else math.nan
    except ValueError:
        found = math.nan
    if math.isnan(found):
        raise InputError(f"column {shown(name)} holds numbers, and {shown(value)} is none")
    return found


def same_cell(level: object, value: object) -> bool:
    """Whether a value, as somebody writes it, is a level: the same text, number or truth value."""
    if isinstance(level, bool):
        return value is level or TRUTH.get(str(value).strip().lower()) is level
    if isinstance(level, str) or isinstance(value, bool):
        return str(level) == str(value)
    try:
        return float(str(value)) == float(str(level))
    except ValueError:
        return False


def impossible(conditions: Sequence[Condition], allowed: str = "") -> InputError:
    """The error that no cell fulfils all of some conditions.

    Args:
        conditions: all of one column.
        allowed: what its cells are, as the end of a sentence on one condition.
    """
    words = " and ".join(map(str, conditions))
    said = f"; {allowed}" if allowed and len(conditions) == 1 else ""
    return InputError(f"no cell can be {words}{said}")


def no_order(condition: Condition, levels: Sequence[object]) -> InputError:
    """The error that levels without an order cannot be compared."""
    return InputError(
        f"{condition}: the levels of column {shown(condition.column)} have no order; use =, != or in, with "
        f"{listed([shown(level) for level in levels])}"
    )


def ends_of(
    conditions: Sequence[Condition],
    name: str,
    *,
    grid: tuple[float, float] | None = None,
    domain: tuple[float, float] = LINE[0],
    points: bool = False,
) -> Ends:
    """The numbers that fulfil all conditions on a column of numbers.

    Args:
        conditions: of this column.
        name: of the column.
        grid: a point and the step of the grid that numbers are rounded to; intervals then end halfway
            between its points. ``None`` for real numbers.
        domain: the first and last point of the grid, or the ends of the real numbers that there are.
        points: whether ``=`` and ``in`` are numbers of mass zero, though others are rounded to the grid.

    Returns:
        Closed intervals, ascending; one that reaches an end of the domain goes on to infinity. None, where
        no number fulfils the conditions.
    """
    half = 0.0 if grid is None else grid[1] / 2
    low, high = domain[0] - half, domain[1] + half
    if grid is None:
        low, high = np.nextafter(low, math.inf), np.nextafter(high, -math.inf)
    found: Ends = ((low, high),)
    for condition in conditions:
        values = [number_of(value, name) for value in condition.values]
        found = meet(found, _of_condition(condition.op, values, grid, points))
    wide = 0.0 if grid is None else 1e-3 * grid[1]
    alone = {a for a, b in found if a == b and (grid is None or (points and _on(a, grid)))}
    kept = [(a, b) for a, b in found if b - a > wide or (a == b and a in alone)]
    return tuple((-math.inf if a <= low else a, math.inf if b >= high else b) for a, b in kept)


def meet(one: Ends, other: Ends) -> Ends:
    """What lies in both of two unions of intervals."""
    both = {(max(a, c), min(b, d)) for a, b in one for c, d in other}
    return tuple(sorted((low, high) for low, high in both if low <= high))


def single(ends: Ends) -> float | None:
    """The only number of some intervals, ``None`` where there are more."""
    return ends[0][0] if len(ends) == 1 and ends[0][0] == ends[0][1] else None


def _of_condition(op: Op, values: Sequence[float], grid: tuple[float, float] | None, points: bool) -> Ends:
    if op in ("=", "in"):
        if grid is None or points:
            return tuple((value, value) for value in values if _on(value, grid))
        return tuple((value - grid[1] / 2, value + grid[1] / 2) for value in values if _on(value, grid))
    value = values[0]
    below, above = _beside(value, grid)
    if op == "!=":
        return ((-math.inf, below), (above, math.inf)) if _on(value, grid) else LINE
    if grid is None:
        last, first = value, value
    else:  # an end on the grid belongs to it with all that is rounded to it
        last, first = (above, below) if _on(value, grid) else (below, above)
    return {
        "<": ((-math.inf, below),), "<=": ((-math.inf, last),),
        ">": ((above, math.inf),), ">=": ((first, math.inf),),
    }[op]  # fmt: skip


def _on(value: float, grid: tuple[float, float] | None) -> bool:
    """Whether a number lies on a grid; all do, where there is none."""
    if grid is None:
        return True
    steps = (value - grid[0]) / grid[1]
    return bool(math.isfinite(steps) and abs(steps - round(steps)) <= NEAR)


def _beside(value: float, grid: tuple[float, float] | None) -> tuple[float, float]:
    """Where the cells below a number end, and where those above it begin; both alike between two points."""
    if grid is None or math.isinf(value):
        return float(np.nextafter(value, -math.inf)), float(np.nextafter(value, math.inf))
    origin, step = grid
    many = (value - origin) / step
    before, behind = math.ceil(many - NEAR) - 0.5, math.floor(many + NEAR) + 0.5
    return origin + before * step, origin + behind * step
