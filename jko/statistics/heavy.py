"""Sentences on rows that decide a mean. Loads nothing heavy: a run that has nothing to do says them, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

#: share of the rows that a trimmed mean leaves out at each end, at least one row
TRIM = 0.01


class HeavyRow(TypedDict):
    """A row that weighs too much: its number, its −log q, and what that adds to the mean, nats."""

    row: int
    nll: float
    adds: float


def rows_said(numbers: Sequence[int], most: int = 5) -> str:
    """Rows by their numbers, as part of a sentence; of very many the first ones and how many more there are.

    >>> rows_said([3]), rows_said([3, 8]), rows_said(list(range(8)))
    ('row 3', 'rows 3 and 8', 'rows 0, 1, 2, 3, 4 and 3 more')
    """
    told = [str(one) for one in numbers[:most]]
    if len(numbers) == 1:
        return f"row {told[0]}"
    if len(numbers) > most:
        return f"rows {', '.join(told)} and {len(numbers) - most} more"
    return f"rows {', '.join(told[:-1])} and {told[-1]}"


def warning(heavy: Sequence[HeavyRow], nll: float, what: str = "test NLL") -> str:
    """One sentence that names the rows which decide a mean; empty where there are none.

    Args:
        heavy: of :func:`jko.statistics.robust.heavy_rows`.
        nll: the mean, nats.
        what: it is called.
    """
    if not heavy:
        return ""
    first, added = heavy[0], sum(row["adds"] for row in heavy)
    which = rows_said([row["row"] for row in heavy])
    alone, verb = (" alone", "adds") if len(heavy) == 1 else ("", "add")
    its = "its −log q is" if len(heavy) == 1 else "the first's −log q is"
    return (
        f"warning: {which} of the source (counted from 0){alone} {verb} {added:.3g} nats to the {what} of "
        f"{nll:.4g} ({its} {first['nll']:.5g}): the mean tells of {'it' if len(heavy) == 1 else 'them'}, "
        "median and trimmed mean of the others"
    )
