"""The kind of a column of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jko.columns.aside import Index, Text
from jko.columns.column import Values, typed
from jko.columns.discrete import Gridded, Integer
from jko.columns.ends import ends_seen
from jko.columns.found import PERCENT, Found, Numbers, plain_cell, words_of
from jko.columns.indices import index_why
from jko.columns.infer_circles import circle_kind
from jko.columns.infer_reals import mark_warning, real_kind, with_atoms
from jko.columns.levels import Boolean, Categorical, Ordinal
from jko.preparation.checks import far_out, is_marker
from jko.preparation.grid import FEW, STANDS_OUT, grid_origin, grid_step, neat, on_grid
from jko.preparation.table import Array

#: whole numbers below it keep their noise as float64
LARGEST = 2.0**45
#: discrete columns of more values than that can have atoms, of at least this share, and so many; numbers of
#: fewer values, each with so many rows, are levels
MANY_VALUES, SHARE, MOST_ATOMS = 20, 0.05, 3


def number_kind(name: str, some: Values, cells: Values, unique: Values, *, holes: bool, first: bool) -> Found:
    """The kind of a column of at least two different numbers or truth values.

    Args:
        name: of the column.
        some: cells that kinds are told from.
        cells: all of them.
        unique: the different ones, ascending.
        holes: whether cells are missing: whole numbers are then floats in many tables.
        first: whether it is the first column.
    """
    if cells.dtype.kind == "b":
        return Found(Boolean(name=name), "truth values")
    warnings: tuple[str, ...] = ()
    infinite = ~np.isfinite(cells) if cells.dtype.kind == "f" else np.zeros(len(cells), dtype=bool)
    if infinite.any():
        warnings = (f"{int(infinite.sum())} cells are infinite, and such rows are refused",)
        cells, some = cells[~infinite], some[np.isfinite(some)]
        unique = unique[np.isfinite(unique)]
        if len(unique) < 2:
            return Found(Text(name=name), "no two different finite numbers: left out", warnings)
    numbers = np.asarray(cells, dtype=float)
    whole = bool((numbers == np.rint(numbers)).all())
    dtype = "int64" if holes and whole and cells.dtype.kind == "f" else str(cells.dtype)
    column = Numbers(name, np.asarray(some, dtype=float), cells, unique, dtype, warnings)
    if whole and (why := index_why(name, cells, first=first)):
        return column.found(Index(name=name), f"an index: {why}; left out")
    if cells.dtype.kind in "iu" and np.abs(numbers).max() >= LARGEST:
        return _far_integers(column)
    if len(unique) == 2:
        return _two(column, unique, whole=whole)
    return circle_kind(column) or (
        _whole(column) if whole and np.abs(numbers).max() < LARGEST else _fine(column)
    )


def _far_integers(column: Numbers) -> Found:
    unique, counts = np.unique(column.cells, return_counts=True)
    if len(unique) <= FEW and 2 * len(unique) <= len(column.cells):
        levels = tuple(plain_cell(cell) for cell in unique[np.argsort(-counts, kind="stable")])
        return column.found(
            Categorical(name=column.name, levels=levels), f"{len(unique)} codes of many digits"
        )
    return column.found(Text(name=column.name), "whole numbers of too many digits to be measured: left out")


def _two(column: Numbers, few: Values, *, whole: bool) -> Found:
    levels = tuple(plain_cell(cell) for cell in few)
    if whole and column.dtype == "int64":
        levels = tuple(int(cell) for cell in few)
    if tuple(few) == (0, 1):
        return column.found(Boolean(name=column.name, levels=levels), "0 and 1")
    return column.found(
        Categorical(name=column.name, levels=levels), f"two values, {few[0]:g} and {few[1]:g}"
    )


def _whole(column: Numbers) -> Found:
    """Whole numbers: counts, or a grid of coarser steps."""
    numbers, step = column.numbers, grid_step(column.some)
    distinct, low = len(column.unique), 0 if numbers.min() >= 0 else None
    origin = grid_origin(numbers, step) if step > 1 else None
    if origin is not None and step == round(step) and _exact(column, origin, step):
        first = 0.0 if low == 0 and origin % step == 0 else None
        kind: Integer | Gridded = Gridded(
            name=column.name,
            origin=origin,
            step=step,
            low=first,
            high=_hundred(column, step),
            dtype=column.dtype,
        )
        why = f"whole numbers in steps of {step:g}"
    else:
        high = _hundred(column, 1.0)
        kind = Integer(
            name=column.name, low=low, high=None if high is None else int(high), dtype=column.dtype
        )
        why = f"whole numbers, {distinct} different ones"
    return _spiked(column, kind, why)


def _fine(column: Numbers) -> Found:
    """Numbers with parts: on a grid, of few values, or real."""
    numbers, step = column.numbers, neat(grid_step(column.some))
    unique = column.unique
    if not step and not (len(unique) <= MANY_VALUES and MANY_VALUES * len(unique) <= len(numbers)):
        return real_kind(column.name, column.some, column.cells, column.dtype, column.warnings)
    origin = grid_origin(numbers, step) if step else None
    if origin is not None and _exact(column, origin, step):
        on_zero = bool(numbers.min() >= 0) and abs(origin / step - round(origin / step)) < 1e-9
        kind = Gridded(
            name=column.name, origin=origin, step=step, low=0.0 if on_zero else None,
            high=_hundred(column, step), dtype=column.dtype,
        )  # fmt: skip
        return _spiked(column, kind, f"values repeat on a grid of step {step:g}")
    if len(unique) <= FEW:
        levels = tuple(plain_cell(cell) for cell in unique)
        marks = [mark_warning(column.some, value) for value, _ in far_out(column.some)]
        why = f"{len(unique)} numbers that are on no grid, in their order"
        return column.found(Ordinal(name=column.name, levels=levels), why, *marks)
    off = f"most cells are on a grid of step {step:g}, and some are not: taken as real numbers"
    return real_kind(column.name, column.some, column.cells, column.dtype, (*column.warnings, off))


def _exact(column: Numbers, origin: float, step: float) -> bool:
    """Whether all cells are points of the grid, to the last bit."""
    return np.array_equal(typed(on_grid(column.numbers, origin, step), column.dtype), column.cells)


def _hundred(column: Numbers, step: float) -> float | None:
    """The upper end of a column of percentages."""
    percent = words_of(column.name) & (PERCENT | {"%"})
    fits = percent and column.numbers.max() <= 100 and abs(100 / step - round(100 / step)) < 1e-9
    return 100.0 if fits else None


def _spiked(column: Numbers, kind: Integer | Gridded, why: str) -> Found:
    """A discrete column, with atoms where few values hold many rows, and marks far outside."""
    marks = [value for value, count in far_out(column.some) if count > 1 or is_marker(value)]
    warnings = tuple(mark_warning(column.some, value) for value in marks)
    special = tuple(dict.fromkeys([*marks, *_spikes(column.some)]))
    if np.isin(column.numbers, special).all():
        return column.found(kind, why, *warnings)
    kind = _ended(kind, column, special, marks)
    why += "" if kind.low is None else f"; never below {kind.low:g}"
    why += "" if kind.high is None else f"; never above {kind.high:g}"
    if not special:
        return column.found(kind, why, *warnings)
    made = with_atoms(column.cells, special, kind)
    shares = ", ".join(f"{value:g}" for value in special)
    return column.found(made, f"{why}; many rows hold {shares}", *warnings)


def _spikes(some: Array) -> list[float]:
    """Values that far more rows of a discrete column hold than its neighbours on either side."""
    unique, counts = np.unique(some, return_counts=True)
    if len(unique) <= MANY_VALUES:
        return []
    beside = np.maximum(np.r_[0, counts[:-1]], np.r_[counts[1:], 0])
    many = np.flatnonzero((counts >= SHARE * len(some)) & (counts > STANDS_OUT * beside))
    return [float(unique[i]) for i in many[np.argsort(-counts[many], kind="stable")][:MOST_ATOMS]]


def _ended(
    kind: Integer | Gridded, column: Numbers, special: Sequence[float], marks: Sequence[float]
) -> Integer | Gridded:
    """A kind with the lower end of the cells beside the atoms, and the ends at which rows stop at once.

    What a law has beyond an end decodes to the end.
    """
    others = column.numbers[~np.isin(column.numbers, special)]
    ends = {"low": kind.low, "high": kind.high}
    if kind.low is None and others.min() >= 0 and isinstance(kind, Integer):
        ends["low"] = 0
    if kind.high is None or kind.high != _hundred(column, kind.grid()[1]):
        few = len(column.unique) <= MANY_VALUES
        seen = ends_seen(column.numbers[~np.isin(column.numbers, marks)], kind.grid()[1], few=few)
        whole = isinstance(kind, Integer)
        ends |= {
            name: int(end) if whole else end for name, end in zip(ends, seen, strict=True) if end is not None
        }
    return kind.model_copy(update=ends)
