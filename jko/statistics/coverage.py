r"""Column by column: whether rows fall where samples say that they do.

The rank of a row's value among M samples, ties broken at random, is uniform on 0 … M where row and samples
are draws of one law, whatever that law is. With U uniform in (0, 1), (rank + U)/(M + 1) is then uniform in
(0, 1): the probability integral transform (PIT) of samples.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, binom

from jko.core.records import Count, Number, Record
from jko.core.seeds import counter_seed

Array = NDArray[np.float64]
Cells = NDArray[np.int64]
#: share of the samples between the two quantiles that are looked at
CENTRAL = 0.9
#: bins of the ranks: at least, at most, and rows in each, about
FEWEST, MOST, IN_EACH = 5, 20, 20
#: what √n times the distance of an empirical distribution function exceeds in 5 % of repetitions
KOLMOGOROV = 1.358


class Coverage(Record):
    """A column's rows against the samples' quantiles.

    Args:
        column: its name.
        central: share of the rows between the 5 % and the 95 % quantile of the samples; .9 where both laws
            are one.
        central_se: its standard error, of rows and samples.
        distance: largest difference of the two distribution functions (Kolmogorov and Smirnov).
        limit: what the distance of two samples of one law exceeds in 5 % of repetitions.
        ranks: how many rows have their rank in each of equally many parts of the samples, smallest values
            first; equal numbers where both laws are one.
        fewest: where both laws are one, none of them is below this in 95 % of repetitions, nor
        most: above this.
    """

    column: str
    central: Number
    central_se: Number
    distance: Number
    limit: Number
    ranks: tuple[Count, ...]
    fewest: Count
    most: Count

    @property
    def even(self) -> bool:
        """Whether every number of ranks is within its band."""
        return self.fewest <= min(self.ranks) and max(self.ranks) <= self.most


def coverage(rows: Array, samples: Array, column: str, *, seed: int = 0) -> Coverage:
    """Compare one column.

    Args:
        rows: shape (m,).
        samples: shape (M,).
        column: its name.
        seed: of the order of equal values.
    """
    draw = np.random.default_rng(counter_seed(seed, "ranks", column))
    return of_ranks(ranks(rows, samples, draw), column, 1 / len(samples))


def of_ranks(found: Array, column: str, noise: float) -> Coverage:
    """What the ranks of a column say.

    Args:
        found: as of :func:`ranks`, shape (m,).
        column: its name.
        noise: what samples add to the variance of a mean over rows, beside 1/m: 1/M where all rows share M
            samples, 0 where every row has its own.
    """
    count = len(found)
    scale = math.sqrt(1 / count + noise)
    edge = (1 - CENTRAL) / 2
    central = float(((found >= edge) & (found <= 1 - edge)).mean())
    kept = max(central * (1 - central), 1 / count)
    bins = min(max(count // IN_EACH, FEWEST), MOST)
    counts = np.histogram(found, bins, (0, 1))[0]
    fewest, most = band(count, bins, noise)
    ordered, steps = np.sort(found), np.arange(count + 1) / count
    distance = max(float((steps[1:] - ordered).max()), float((ordered - steps[:-1]).max()))
    return Coverage(
        column=column, central=central, central_se=math.sqrt(kept) * scale, distance=distance,
        limit=KOLMOGOROV * scale, ranks=tuple(int(one) for one in counts), fewest=fewest, most=most,
    )  # fmt: skip


@lru_cache
def band(count: int, bins: int, noise: float) -> tuple[int, int]:
    """Fewest and most ranks in a bin where both laws are one, at 95 % for all bins together.

    A part 1/B of M samples holds a share of the law that has a beta law with parameters M/B and M − M/B, so
    the number of rows in it is beta-binomial; binomial where every row has samples of its own.

    Args:
        count: rows.
        bins: B.
        noise: 1/M, see :func:`of_ranks`.
    """
    law = binom(count, 1 / bins) if noise <= 0 else betabinom(
        count, 1 / (noise * bins), (1 - 1 / bins) / noise
    )  # fmt: skip
    missed = 0.05 / (2 * bins)
    return int(law.ppf(missed)), int(law.ppf(1 - missed))


def ranks(rows: Array, samples: Array, draw: np.random.Generator) -> Array:
    """Ranks of rows among samples over M + 1, ties at random: uniform in (0, 1) where both laws are one.

    Args:
        rows: shape (m,).
        samples: shape (M,).
        draw: of the order of equal values, and of U.
    """
    alone = np.zeros(len(rows), np.int64), np.zeros(len(samples), np.int64)
    return ranks_within(rows, samples, alone, draw)


def ranks_within(
    rows: Array, samples: Array, groups: tuple[Cells, Cells], draw: np.random.Generator
) -> Array:
    """The same where every row is compared with the samples of its own group.

    Args:
        rows: shape (m,).
        samples: shape (M,).
        groups: numbers of the groups of rows and of samples, from 0 on.
        draw: as of :func:`ranks`.
    """
    own, drawn = groups
    values = np.unique(np.concatenate([rows, samples]), return_inverse=True)[1]
    # one number that sorts by group and then by value
    many = len(values) + 1
    ordered = np.sort(drawn * many + values[len(rows) :])
    keys = own * many + values[: len(rows)]
    starts, ends = (np.searchsorted(ordered, edge * many) for edge in (own, own + 1))
    below, upto = (np.searchsorted(ordered, keys, side=side) for side in ("left", "right"))
    placed = below - starts + draw.random(len(rows)) * (upto - below + 1)
    return np.asarray(placed / (ends - starts + 1), dtype=np.float64)
