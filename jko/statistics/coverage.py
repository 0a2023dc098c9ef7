"""Column by column: whether rows fall where samples say that they do."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jko.core.records import Number, Record

Array = NDArray[np.float64]
#: share of the samples between the two quantiles that are looked at
CENTRAL = 0.9


class Coverage(Record):
    """A column's rows against the samples' quantiles.

    Args:
        column: its name.
        central: share of the rows between the 5 % and the 95 % quantile of the samples; .9 where both laws
            are one.
        central_se: its standard error, of rows and samples.
        distance: largest difference of the two distribution functions (Kolmogorov and Smirnov).
        limit: what the distance of two samples of one law exceeds in 5 % of repetitions.
    """

    column: str
    central: Number
    central_se: Number
    distance: Number
    limit: Number


def coverage(rows: Array, samples: Array, column: str) -> Coverage:
    """Compare one column.

    Args:
        rows: shape (m,).
        samples: shape (M,).
        column: its name.
    """
    low, high = np.quantile(samples, [(1 - CENTRAL) / 2, (1 + CENTRAL) / 2])
    central = float(((rows >= low) & (rows <= high)).mean())
    scale = math.sqrt(1 / len(rows) + 1 / len(samples))
    kept = max(central * (1 - central), 1 / len(rows))
    both = np.concatenate([rows, samples])
    one, other = (
        np.searchsorted(np.sort(values), both, side="right") / len(values) for values in (rows, samples)
    )
    return Coverage(
        column=column, central=central, central_se=math.sqrt(kept) * scale,
        distance=float(np.abs(one - other).max()), limit=1.358 * scale,
    )  # fmt: skip


def ranks(rows: Array, samples: Array) -> Array:
    """The samples' distribution function at rows, in [0, 1]; ties half: uniform where both laws are one."""
    ordered = np.sort(samples)
    below, upto = (np.searchsorted(ordered, rows, side=side) for side in ("left", "right"))
    return np.asarray((below + upto) / (2 * len(samples)))
