"""Ends of numbers on a grid: where rows stop at once, and not as a tail does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jko.preparation.grid import STANDS_OUT
from jko.preparation.table import Array

#: rows that are expected one step beyond the last number, at least, where that is an end: were there a tail,
#: none would be seen with a chance of exp(−5) = .7 %
EXPECTED = 5
#: rows at a number that far more rows hold than those before it, at least; how many of these are looked at
PILE, BEFORE = 20, 10


def ends_seen(numbers: Array, step: float, *, few: bool) -> tuple[float | None, float | None]:
    """The first and the last number, each where it is an end; ``None`` where a tail may go on.

    Args:
        numbers: of a grid, without marks.
        step: of the grid.
        few: whether so few are different that none is there by rounding to tens.
    """
    values, counts = np.unique(numbers, return_counts=True)
    places = np.rint((values - values[0]) / step)
    last = _stops(places, counts, few=few)
    first = _stops(places[-1] - places[::-1], counts[::-1], few=few)
    return float(values[0]) if first else None, float(values[-1]) if last else None


def _stops(places: Array, counts: NDArray[np.int64], *, few: bool) -> bool:
    """Whether rows stop at the last of the places."""
    rows = dict(zip(places.tolist(), counts.tolist(), strict=True))
    last, beside, earlier = (rows.get(places[-1] - back, 0) for back in range(3))
    if not few and last > max(PILE, STANDS_OUT * counts[-1 - BEFORE : -1].max()):
        return True
    # the logs of the shares of a tail bend downwards: each ratio of neighbours is below the one before it
    now = last / max(beside, 0.5)
    bend = now / (beside / max(earlier, 0.5)) if beside else 1.0
    sure = last if few else min(last, beside)
    return bool(sure * min(1.0, now) * min(1.0, bend) >= EXPECTED)
