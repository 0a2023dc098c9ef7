"""Whether two samples of rows are of one law, column by column, decided by ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: probability of an alarm about any column where nothing moved
LEVEL = 0.02
#: interquartile range of a normal law in standard deviations
QUARTILES = 1.349

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Moved:
    """How a column of new rows lies beside that of older ones.

    Args:
        name: of the column.
        p: probability of so large a difference in it or another column of this family, if nothing moved.
        by: difference of the medians in spreads of the older rows (their interquartile range over that of a
            standard normal law), or in their units where that is 0.
    """

    name: str
    p: float
    by: float


def shifts(columns: Sequence[tuple[str, Values, Values]]) -> list[Moved]:
    r"""Compare every column of two independent samples, the surest difference first.

    Each column has a Mann-Whitney test, the strongest against a shift, and a Kolmogorov-Smirnov test, which
    sees any change; twice the smaller p-value stands for both. Over the columns p-values are corrected after
    Holm, so that some column has a corrected one below α with probability α at most where no law changed.
    Ranks alone enter: a row far out, at infinity even, counts as the largest and no more. A monotone map of a
    column changes nothing.

    Args:
        columns: of each its name, the values of older rows, shape (n,), and of new ones, shape (m,); infinite
            values are allowed.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6 (1979).
    """
    found = [_both(before, after) for _, before, after in columns]
    order = np.argsort(found, kind="stable")
    corrected = np.maximum.accumulate([found[i] * (len(found) - rank) for rank, i in enumerate(order)])
    return [
        Moved(columns[i][0], float(min(1.0, p)), _by(*columns[i][1:]))
        for i, p in zip(order, corrected, strict=True)
    ]


def worse_share(old: Values, new: Values) -> float:
    """Share of pairs of an older and a new value in which the new one is larger, equal ones by half."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([new, old]))[: len(new)]
    return float(ranks.mean() - (len(new) + 1) / 2) / len(old)


def _both(old: Values, new: Values) -> float:
    """One p-value of both tests."""
    from scipy.stats import ks_2samp, mannwhitneyu

    if np.array_equal(np.unique(old), np.unique(new)) and len(np.unique(old)) == 1:
        return 1.0  # a constant is its own law, and has no ranks
    ranks = float(mannwhitneyu(old, new).pvalue)
    distance = float(ks_2samp(old, new, method="asymp").pvalue)
    return min(1.0, 2 * min(ranks, distance))


def _by(old: Values, new: Values) -> float:
    low, high = np.quantile(old, [0.25, 0.75])
    spread = float(high - low) / QUARTILES
    difference = float(np.median(new) - np.median(old))
    return difference / spread if spread > 0 and np.isfinite(spread) else difference
