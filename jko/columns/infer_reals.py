"""The kind of a column of real numbers: its ends, its atoms, its decimals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from jko.columns.atoms import Atoms, Value
from jko.columns.column import Values
from jko.columns.found import PERCENT, SHARE, Found, words_of
from jko.columns.real import Bounded, Continuous, Positive
from jko.preparation.checks import far_out, is_marker
from jko.preparation.grid import atoms
from jko.preparation.table import Array

#: decimals at most that a column is said to be written with
MOST_PLACES = 8
#: deviations below the mean at which a normal law is thought to reach an end
REACH = 3.0
#: types of columns of real numbers
FLOATS = ("float32", "float64")
#: how near to 0 and 1 numbers come that are shares
NEAR = 0.02


def real_kind(name: str, some: Array, cells: Values, dtype: str, warnings: Sequence[str] = ()) -> Found:
    """The kind of real numbers.

    Args:
        name: of the column.
        some: cells that kinds are told from.
        cells: all of them.
        dtype: of the column; whole numbers that are on no grid of theirs come back as floats.
        warnings: sentences that are known.
    """
    numbers = np.asarray(cells, dtype=float)
    dtype = dtype if dtype in FLOATS else "float64"
    lonely = [value for value, count in far_out(some) if count > 1 or is_marker(value)]
    more = tuple(mark_warning(some, value) for value in lonely)
    spikes = [value for value, _ in atoms(some) if value not in lonely]
    special = [*lonely, *spikes]
    body = numbers[~np.isin(numbers, special)]
    if not len(body) or body.min() == body.max():
        special, spikes, body = [], [], numbers
    own = {"name": name, "dtype": dtype, "places": _places(numbers)}
    value, why, ends = _value_kind(words_of(name), body, spikes, own)
    special += [end for end in ends if end not in special and (numbers == end).any()]
    if not special:
        return Found(value, why, (*warnings, *more))
    share = float(np.isin(numbers, special).mean())
    listed = ", ".join(f"{atom:g}" for atom in special[:4])
    atoms_why = f"{share:.2g} of the rows hold exactly {listed}; the others: {why}"
    return Found(with_atoms(cells, special, value), atoms_why, (*warnings, *more))


def _value_kind(
    words: frozenset[str], body: Array, spikes: Sequence[float], own: dict[str, Any]
) -> tuple[Value, str, tuple[float, ...]]:
    """The kind of numbers beside their atoms, why, and the ends that none of them may be."""
    low, high = float(body.min()), float(body.max())
    lows, highs = [spike for spike in spikes if spike < low], [spike for spike in spikes if spike > high]
    natural = _natural(words, low, high, [*lows, *highs])
    if natural is not None:
        first, last = natural
        why = "as its name says" if words & (PERCENT | SHARE | {"%"}) else "and near to both"
        return Bounded(**own, low=first, high=last), f"between {first:g} and {last:g}, {why}", natural
    if lows and highs:
        first, last = max(lows), min(highs)
        return Bounded(**own, low=first, high=last), f"between {first:g} and {last:g}", (first, last)
    if lows or highs:
        side: Literal["above", "below"] = "above" if lows else "below"
        edge = max(lows) if lows else min(highs)
        return Positive(**own, edge=edge, side=side), f"all {side} {edge:g}", (edge,)
    reach = "where a normal law of its mean and deviation would reach"
    if low >= 0 and body.mean() < REACH * body.std():
        return Positive(**own), f"never below 0, {reach}", (0.0,)
    if high <= 0 and -body.mean() < REACH * body.std():
        return Positive(**own, side="below"), f"never above 0, {reach}", (0.0,)
    return Continuous(**own), "real numbers, few alike" + "; both signs" * (low < 0 < high), ()


def _natural(
    words: frozenset[str], low: float, high: float, spikes: Sequence[float]
) -> tuple[float, float] | None:
    """The ends of percentages and shares, by name or since numbers come near to 0 and to 1."""
    if any(spike < 0 for spike in spikes) or low < 0:
        return None
    highest = max([high, *spikes])
    if words & (PERCENT | {"%"}) and 1 < highest <= 100:
        return 0.0, 100.0
    near = low < NEAR and high > 1 - NEAR
    return (0.0, 1.0) if highest <= 1 and (words & (SHARE | PERCENT) or near) else None


def with_atoms(cells: Values, special: Sequence[float], value: Value) -> Atoms:
    """A column with atoms, whose noise is like the other cells.

    Args:
        cells: of the column.
        special: its atoms.
        value: the kind of the others.
    """
    numbers = np.asarray(cells, dtype=float)
    others = cells[~np.isin(numbers, special)]
    encoded = value.encode(others, np.full((len(others), value.noise_width), 0.5))[0]
    spread = encoded.std(axis=0)
    return Atoms(
        name=value.name, atoms=tuple(special), value=value, centre=tuple(encoded.mean(axis=0).tolist()),
        spread=tuple(np.where(spread > 0, spread, 1.0).tolist()), line=True if len(special) > 1 else None,
    )  # fmt: skip


def _places(numbers: Array) -> int | None:
    """Decimals that all numbers are written with; ``None`` for more than a few."""
    for places in range(1, MOST_PLACES + 1):
        if np.array_equal(np.round(numbers, places), numbers):
            return places
    return None


def mark_warning(some: Array, value: float) -> str:
    """A sentence on a value far outside."""
    count = int((some == value).sum())
    return (
        f"{count} of {len(some)} rows hold {value:.10g}, far from all others: if it stands for a missing "
        f"value, mark it with data.missing_values=[{value:.10g}]"
    )
