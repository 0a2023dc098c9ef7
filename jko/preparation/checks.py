"""What is wrong with the columns of rows that can be read: far units, fill values, atoms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jko.core.errors import InputError
from jko.preparation.grid import ATOM, atoms
from jko.preparation.names import shown
from jko.preparation.table import Array

#: largest number of a column, and smallest spread, whose squares float64 can hold with room to spare
LARGEST, SMALLEST = 1e100, 1e-100
#: standard deviations from the mean of the training rows at most
FARTHEST = 1e6
#: rows that distinct values and covariances are taken from
LOOKED_AT = 100_000
#: share of its distinct values that a column must keep in float32
KEPT = 0.9
#: quartile distances from the quartiles beyond which a value is far out
FAR = 10.0
#: a gap that is this share of a value's distance from the middle leaves it alone out there
ALONE = 0.5
#: how many times the spread of the others one lonely cell must make of the standard deviation
SPOILT = 30.0
#: last numbers of integers of 16 and 32 bits
ENDS = (32767.0, 32768.0, 65535.0, 2147483647.0, 2147483648.0, 4294967295.0)
#: distinct values at most of a group of fill values
MARKERS = 3
#: notes on atoms or extremes at most
MANY_NOTES = 10


def check_units(rows: Array, columns: Sequence[str], name: str) -> None:
    """Refuse numbers whose squares are beyond float64.

    Raises:
        InputError: a number or a spread is out of range.
    """
    for column, values in zip(columns, rows.T, strict=True):
        largest = float(np.abs(values).max())
        if largest > LARGEST:
            raise InputError(
                f"{name}: column {shown(column)} reaches {largest:g}; numbers up to {LARGEST:g} are allowed: "
                "change its unit, or mark a fill value with data.missing_values"
            )
        if 0 < np.ptp(values) < SMALLEST:
            raise InputError(
                f"{name}: column {shown(column)} spreads over {np.ptp(values):g} only; at least "
                f"{SMALLEST:g} is "
                "allowed: change its unit"
            )


def check_distinct(
    rows: Array, shift: Array, scale: Array, columns: Sequence[str], name: str, *, standardised: bool = True
) -> None:
    """Refuse columns that standardised float32 no longer tells apart, or cannot hold.

    Args:
        rows: data units, shape (rows, d).
        shift: of the standardisation, shape (d,).
        scale: of the standardisation, shape (d,).
        columns: d names.
        name: of the data.
        standardised: whether the settings ask for it.

    Raises:
        InputError: a column loses more than a tenth of its distinct values, or is not finite.
    """
    rows = some(rows)
    for column, values, zero, unit in zip(columns, rows.T, shift, scale, strict=True):
        before = np.unique(values)
        with np.errstate(over="ignore"):
            after = np.unique(((before - zero) / unit).astype(np.float32))
        far = float(before[np.abs(before - np.median(before)).argmax()])
        if not np.isfinite(after).all():
            raise InputError(
                f"{name}: column {shown(column)} holds {far:.10g}, which float32 cannot hold after "
                "standardisation; "
                f"{_remedy(far, standardised)}"
            )
        if len(after) < KEPT * len(before):
            raise InputError(
                f"{name}: column {shown(column)} has {len(before)} distinct values, and {len(after)} "
                "of them are "
                f"left in float32 after standardisation, since it reaches {far:.10g}; "
                f"{_remedy(far, standardised)}"
            )


def _remedy(far: float, standardised: bool) -> str:
    if not standardised:
        return "set data.standardise=on"
    return f"if that stands for a missing value, mark it with data.missing_values=[{far:.10g}]"


def check_reach(
    arrays: Sequence[NDArray[np.float32]], columns: Sequence[str], name: str, *, standardised: bool = True
) -> None:
    """Refuse rows so far from the training rows that every figure would be of them alone.

    Args:
        arrays: rows of each part, standardised units.
        columns: names of theirs.
        name: of the data.
        standardised: whether the settings ask for it; if not, rows must be finite in float32 only.

    Raises:
        InputError: a number is beyond a million standard deviations, or not finite.
    """
    limit = FARTHEST if standardised else np.inf
    for values in arrays:
        bad = ~(np.isfinite(values) & (np.abs(values) <= limit)).all(axis=0)
        if bad.any():
            column = shown(columns[int(bad.argmax())])
            raise InputError(
                f"{name}: column {column} holds a number more than a million standard deviations from the "
                "training rows; if it stands for a missing value, mark it with data.missing_values"
            )


def some(rows: Array) -> Array:
    """All rows, or a random sample of very many."""
    if len(rows) <= LOOKED_AT:
        return rows
    return rows[np.sort(np.random.default_rng(0).choice(len(rows), LOOKED_AT, replace=False))]


def notes_on_values(rows: Array, grid: Array, columns: Sequence[str]) -> tuple[str, ...]:
    """Sentences on values that stand apart: extremes that may be marks, and atoms of continuous columns."""
    extremes, many = [], []
    for column, values, step in zip(columns, rows.T, grid, strict=True):
        lonely = far_out(values)
        for value, count in lonely:
            extremes.append(
                f"warning: column {shown(column)}: {count} of {len(values)} rows "
                f"({count / len(values):.2g}) hold "
                f"{value:.10g}, far from all others; if it stands for a missing value, mark it with "
                f"data.missing_values=[{value:.10g}]"
            )
        known = {value for value, _ in lonely}
        many += [
            f"column {shown(column)}: a share of {share:.2g} of the rows holds exactly {value:g} (an "
            "atom, to "
            "which no density gives a probability)"
            for value, share in (() if step else atoms(values)[:MANY_NOTES])
            if value not in known
        ]
    return (*_at_most(extremes), *_at_most(many))


def _at_most(notes: list[str]) -> list[str]:
    more = len(notes) - MANY_NOTES
    return notes[:MANY_NOTES] + ([f"and {more} more of this kind"] if more > 0 else [])


def far_out(column: Array) -> list[tuple[float, int]]:
    """Values alone far outside that repeat, make the column's spread or are marks; with their rows."""
    values, counts = np.unique(column, return_counts=True)
    body = column if counts.max() <= ATOM * len(column) else column[column != values[counts.argmax()]]
    if len(values) < 3 or not len(body):
        return []
    low, middle, high = np.quantile(body, [0.25, 0.5, 0.75])
    if high == low:
        low, middle, high = np.quantile(np.unique(body), [0.25, 0.5, 0.75])
    spread = high - low
    if spread == 0:
        return []
    found: list[tuple[float, int]] = []
    for side, edge in ((-1, low - FAR * spread), (1, high + FAR * spread)):
        outward = np.argsort(side * values)
        distance = side * (values[outward] - middle)
        gaps = np.diff(distance, prepend=0.0)
        lonely = (side * (values[outward] - edge) > 0) & (gaps > ALONE * distance)
        if lonely.any():
            group = outward[int(lonely.argmax()) :]
            spoils = float(np.abs(values[group] - middle).max()) > SPOILT * spread * len(column) ** 0.5
            repeats = counts[group].max() > 1
            if len(group) <= MARKERS and (repeats or spoils or any(map(is_marker, values[group]))):
                found += [(float(values[i]), int(counts[i])) for i in group]
    return found


def is_marker(value: float) -> bool:
    """Whether a number is one that programs write in place of a missing one: nines, or the end of a type.

    >>> [is_marker(value) for value in (-999.0, 9999.9, 1e20, 32767.0, 42.0)]
    [True, True, True, True, False]
    """
    digits = f"{abs(value):.10g}"
    nines = len(digits.replace(".", "")) >= 3 and set(digits) <= {"9", "."}
    return nines or abs(value) in ENDS or abs(value) >= 1e15
