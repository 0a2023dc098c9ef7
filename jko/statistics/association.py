"""How much columns of any kind say about each other, with standard errors; how far counts are apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

#: rows below which no error can be told
FEWEST = 4


@dataclass(frozen=True)
class Association:
    """A figure of every pair of d columns.

    Args:
        values: shape (d, d), symmetric; NaN on the diagonal and where too few rows have both cells.
        errors: standard errors over rows, shape (d, d).
    """

    values: Array
    errors: Array

    def minus(self, other: Association) -> Association:
        """The difference to figures of other, independent rows."""
        return Association(self.values - other.values, np.hypot(self.errors, other.errors))


@dataclass(frozen=True)
class Apart:
    """How far two histograms of the same bins are apart.

    Args:
        distance: total variation, ½ Σ |p − q|, between 0 and 1.
        chance: its mean where both are of one law: Σ √(p (1 − p) (1/m + 1/M) / 2π), with the pooled p.
    """

    distance: float
    chance: float

    @property
    def excess(self) -> float:
        """What is beyond chance."""
        return self.distance - self.chance


def total_variation(first: Codes, second: Codes) -> Apart:
    """Total variation of two histograms.

    Args:
        first: counts, shape (bins,).
        second: counts of the same bins.
    """
    m, n = int(first.sum()), int(second.sum())
    if not m or not n:
        return Apart(math.nan, math.nan)
    pooled = (first + second) / (m + n)
    spread = pooled * (1 - pooled) * (1 / m + 1 / n)
    distance = 0.5 * np.abs(first / m - second / n).sum()
    return Apart(float(distance), float(np.sqrt(spread / (2 * math.pi)).sum()))


def joint_counts(first: Codes, second: Codes, sizes: tuple[int, int]) -> Codes:
    """How many rows have each pair of cells, shape ``sizes``.

    Args:
        first: numbers of cells, −1 for none, shape (rows,).
        second: those of another column.
        sizes: how many different cells there are in each.
    """
    width = sizes[1] + 1
    flat = np.bincount((first + 1) * width + second + 1, minlength=(sizes[0] + 1) * width)
    return flat.reshape(sizes[0] + 1, width)[1:, 1:]


def mutual_information(codes: Sequence[Codes], sizes: Sequence[int]) -> Association:
    """Mutual information of all pairs of columns of discrete cells.

    The plug-in estimate less its bias (Miller & Madow), which makes small values negative by chance.

    Args:
        codes: of every column the numbers of its cells, −1 for none, shape (rows,).
        sizes: how many different cells each column has.

    Returns:
        Nats. Errors are √(Var log (p_xy / p_x p_y) / n + f / 2n²) with f degrees of freedom: the first term
        is that of dependent columns, the second is what is left where they are independent.
    """
    return _of_pairs(
        len(codes), lambda i, j: _information(joint_counts(codes[i], codes[j], (sizes[i], sizes[j])))
    )


def _information(counts: Codes) -> tuple[float, float]:
    rows = int(counts.sum())
    if rows < FEWEST:
        return math.nan, math.nan
    counts = counts[counts.sum(1) > 0][:, counts.sum(0) > 0]
    joint = counts / rows
    ratio = joint / np.outer(joint.sum(1), joint.sum(0))
    logs = np.log(ratio, where=ratio > 0, out=np.zeros_like(ratio))
    value = float((joint * logs).sum())
    variance = max(float((joint * logs**2).sum()) - value**2, 0.0)
    degrees = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    occupied = int(np.count_nonzero(counts))
    bias = (occupied - counts.shape[0] - counts.shape[1] + 1) / (2 * rows)
    return value - bias, math.sqrt(variance / rows + degrees / (2 * rows**2))


def rank_correlation(numbers: Sequence[Array]) -> Association:
    """Rank correlations (Spearman's) of all pairs of columns, each of the rows with both cells.

    Args:
        numbers: columns, NaN for no cell, shape (rows,) each.

    Returns:
        Errors are those of Bonett & Wright (2000): (1 − ρ²) √((1 + ρ²/2) / (n − 3)).
    """
    whole = [not np.isnan(column).any() for column in numbers]
    ranks = [rankdata(column) if full else column for column, full in zip(numbers, whole, strict=True)]
    return _of_pairs(len(numbers), lambda i, j: _correlation(ranks[i], ranks[j], whole[i] and whole[j]))


def _correlation(first: Array, second: Array, whole: bool) -> tuple[float, float]:
    if not whole:
        both = ~(np.isnan(first) | np.isnan(second))
        first, second = rankdata(first[both]), rankdata(second[both])
    rows = len(first)
    if rows < FEWEST or not np.ptp(first) or not np.ptp(second):
        return math.nan, math.nan
    rho = float(np.corrcoef(first, second)[0, 1])
    return rho, (1 - rho**2) * math.sqrt((1 + rho**2 / 2) / (rows - 3))


def _of_pairs(count: int, of_pair: Callable[[int, int], tuple[float, float]]) -> Association:
    values, errors = np.full((count, count), np.nan), np.full((count, count), np.nan)
    for i, j in combinations(range(count), 2):
        values[i, j], errors[i, j] = values[j, i], errors[j, i] = of_pair(i, j)
    return Association(values, errors)
