"""Numbers of a circle: which columns they are, where a turn begins, and what its two ends mean."""

from __future__ import annotations

import math

import numpy as np

from jko.columns.circular import Circular
from jko.columns.column import typed
from jko.columns.found import ANGLES, CYCLES, Found, Numbers, words_of
from jko.columns.infer_reals import with_atoms
from jko.preparation.grid import atoms, grid_step, neat, on_grid
from jko.preparation.table import Array

#: share of a turn that numbers of a circle cover
COVERED = 0.75
#: rows at the first number of a turn, to those at the numbers beside it, below which it is there by rounding
ROUNDED = 0.75


def circle_kind(column: Numbers) -> Found | None:
    """A circular column, where the name says so and the numbers fit."""
    words, (low, high) = words_of(column.name), (column.numbers.min(), column.numbers.max())
    turns = [CYCLES[word] for word in words if word in CYCLES]
    if words & ANGLES:
        turns += [(360, (0, -180)), (2 * math.pi, (0, -math.pi))]  # type: ignore[list-item]
    for period, starts in turns:
        for start in starts:
            if start <= low and high <= start + period + 1e-9 and high - low >= COVERED * period:
                return _turning(column, float(period), float(start))
    return None


def _turning(column: Numbers, period: float, start: float) -> Found:
    """A column of a circle that begins at ``start``, or one step behind it where its other end is used."""
    numbers, step = column.numbers, _turning_step(column, period, start)
    ends = f"{numbers.min():g} to {numbers.max():g}"
    why = f"its name, and numbers from {ends}, say that it turns with period {period:g}"
    first, last = bool((numbers == start).any()), bool((numbers >= start + period).any())
    rounded = step is not None and first and last and _rounded(numbers, start, period, step)
    one = step is None or start < 0 or rounded
    turn = Circular(
        name=column.name,
        period=period,
        low=start,
        closed="high" if one else None,
        step=step,
        dtype=column.dtype,
    )
    if not last:
        return _with_spikes(column, turn, why)
    both = f"{start:g} and {start + period:g} are"
    if step is None or (first and one):
        return _with_spikes(column, turn, why, f"{both} one angle, which samples have as {start:g}")
    turn = turn.model_copy(update={"low": start + step, "closed": "low" if one else None})
    if not first:
        return column.found(turn, why)
    made = with_atoms(column.cells, (start,), turn)
    why += f"; {both} both there"
    return column.found(made, why, f"{both} both there: {start:g} is taken for a value of its own")


def _with_spikes(column: Numbers, turn: Circular, why: str, *said: str) -> Found:
    """A circle, with atoms where many rows hold the same real number."""
    special = [value for value, _ in atoms(column.some)] if turn.step is None else []
    if not special:
        return column.found(turn, why, *said)
    shares = ", ".join(f"{value:g}" for value in special)
    made = with_atoms(column.cells, special, turn)
    return column.found(made, f"{why}; many rows hold {shares}", *said)


def _turning_step(column: Numbers, period: float, start: float) -> float | None:
    """The step of a grid on which a column of a circle lies; ``None`` for none."""
    numbers, step = column.numbers, neat(grid_step(column.some))
    if not step and (numbers == np.rint(numbers)).all():
        step = 1.0
    if not step or abs(period / step - round(period / step)) >= 1e-9 or round(period / step) < 2:
        return None
    on = np.array_equal(typed(on_grid(numbers, start, step), column.dtype), column.cells)
    return step if on else None


def _rounded(numbers: Array, start: float, period: float, step: float) -> bool:
    """Whether the first number of a turn is there by rounding alone, and means no calm.

    Numbers that are rounded to both ends come to each from half a step. So each end has half as many rows as
    the numbers beside it.
    """
    far = np.rint((numbers - start) / step)
    beside = ((far == 1) | (far == round(period / step) - 1)).sum() / 2
    return bool((far == 0).sum() < ROUNDED * beside)
