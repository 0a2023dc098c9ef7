"""Means over rows that no single row decides unseen: median, trimmed mean, and the rows that weigh most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jko.statistics.heavy import TRIM, HeavyRow

#: of fewer rows nothing is trimmed
FEWEST = 5
#: a row is heavy if it moves the mean by more than this share of it, and by more than one standard error
HEAVY = 0.1
#: rows dominate an error if they are more than this share of its square: one alone, or all that are farther
#: from the median than so many standard deviations (as the median absolute deviation gives them)
DOMINATES, FAR = 0.5, 20.0
#: deviations that are rounding of float32 sums, nats; rows that deviate by less dominate nothing
NOISE = 1e-3


@dataclass(frozen=True)
class Robust:
    """What is known of the mean of a value over rows.

    Args:
        rows: number of rows n.
        mean: over rows.
        se: its standard error s/√n; ``inf`` for a single row.
        median: of the rows.
        median_se: its standard error; ``inf`` for a single row.
        trimmed: mean without the lowest and the highest rows, :data:`TRIM` of all at each end.
        trimmed_se: its standard error.
        worst: index of the row farthest from the median.
        worst_value: its value.
        worst_adds: what it adds to the mean beyond a middle row, (value − median)/n.
        worst_share: its share of the squared standard error, between 0 and 1.
        heavy: indices of the rows that weigh too much in the mean, the heaviest first.
        dominating: indices of the row, or of the rows far out, that are more than half of the squared
            standard error, the heaviest first; empty where there are none.
    """

    rows: int
    mean: float
    se: float
    median: float
    median_se: float
    trimmed: float
    trimmed_se: float
    worst: int
    worst_value: float
    worst_adds: float
    worst_share: float
    heavy: tuple[int, ...]
    dominating: tuple[int, ...]

    @property
    def worst_part(self) -> float:
        """What the worst row adds as a share of the mean's size; 0 where it adds nothing."""
        return abs(self.worst_adds) / abs(self.mean) if self.mean else math.inf if self.worst_adds else 0.0


def robust(values: NDArray[np.float64]) -> Robust:
    r"""Summarise a value of every row.

    A row is heavy if :math:`|v_i - m|/n` is more than a tenth of the trimmed mean's size and more than the
    trimmed mean's standard error, m the median: figures that it does not move itself.

    Args:
        values: one value a row, finite, shape (n,).

    Raises:
        ValueError: there are none, or one is not finite.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"finite values of at least one row are needed; got shape {values.shape}")
    n, order = len(values), np.sort(values)
    mean, middle = float(values.mean()), float(np.median(values))
    trimmed, trimmed_se = _trimmed(order)
    adds = (values - middle) / n
    farthest = np.argsort(-np.abs(adds), kind="stable")
    worst, limit = int(farthest[0]), max(HEAVY * abs(trimmed), trimmed_se)
    shares = _shares(values - mean)
    return Robust(
        rows=n, mean=mean, se=float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf,
        median=middle, median_se=_median_se(order), trimmed=trimmed, trimmed_se=trimmed_se,
        worst=worst, worst_value=float(values[worst]), worst_adds=float(adds[worst]),
        worst_share=float(shares[worst]),
        heavy=tuple(int(i) for i in farthest[:20] if n >= FEWEST and abs(adds[i]) > limit + NOISE / n),
        dominating=_dominating(values - middle, shares),
    )  # fmt: skip


def trimmed_rows(n: int) -> int:
    """How many of n rows a trimmed mean leaves out at each end."""
    return max(1, int(TRIM * n)) if n >= FEWEST else 0


def _trimmed(order: NDArray[np.float64]) -> tuple[float, float]:
    r"""Trimmed mean of sorted values and its standard error from the winsorised variance.

    .. math:: SE^2 = \frac{(n - 1)\, s_w^2}{h (h - 1)}, \quad h = n - 2g

    Sums are exact, so that values with the other sign give the other sign, and no other bits.

    Source: K. K. Yuen, The two-sample trimmed t for unequal population variances, Biometrika 61 (1974).
    """
    n = len(order)
    left_out = trimmed_rows(n)
    kept = n - 2 * left_out
    mean = math.fsum(order[left_out : n - left_out]) / kept
    if n == 1:
        return mean, math.inf
    pulled = np.clip(order, order[left_out], order[n - 1 - left_out])
    centre = math.fsum(pulled) / n
    return mean, math.sqrt(math.fsum((pulled - centre) ** 2) / (kept * (kept - 1)))


def _median_se(order: NDArray[np.float64]) -> float:
    r"""Standard error of the median of sorted values, from two order statistics around it.

    .. math:: SE = \frac{v_{(n - c + 1)} - v_{(c)}}{2 z}, \quad c = (n + 1)/2 - \sqrt{n}

    z is the normal quantile of the interval's level, which is the binomial law's. No row far out enters.

    Source: R. M. Price, D. G. Bonett, Estimating the variance of the sample median, Journal of Statistical
    Computation and Simulation 68 (2001).
    """
    from scipy.stats import binom, norm

    n = len(order)
    if n == 1:
        return math.inf
    place = max(1, round((n + 1) / 2 - math.sqrt(n)))
    z = float(norm.isf(binom.cdf(place - 1, n, 0.5)))
    return float(order[n - place] - order[place - 1]) / (2 * z)


def _shares(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of every row in the squared standard error of the mean; 0 where that is 0."""
    size = float(np.abs(deviations).max())
    if size == 0:
        return np.zeros(len(deviations))
    squares = (deviations / size) ** 2
    return squares / math.fsum(squares)


def _dominating(offsets: NDArray[np.float64], shares: NDArray[np.float64]) -> tuple[int, ...]:
    """One row, or the rows far out, if they are more than half of the squared standard error.

    Args:
        offsets: from the median, shape (n,).
        shares: of every row in the squared standard error, shape (n,).
    """
    size = np.abs(offsets)
    first = int(np.argmax(shares))
    if len(shares) < FEWEST or size[first] < NOISE:
        return ()
    if shares[first] > DOMINATES + 1e-9:
        return (first,)
    spread = 1.4826 * float(np.median(size))  # of normal rows the standard deviation
    far = np.flatnonzero(size > FAR * spread) if spread else np.array([], int)
    if not len(far) or math.fsum(shares[far]) <= DOMINATES:
        return ()
    return tuple(int(i) for i in far[np.argsort(-shares[far], kind="stable")])


def named(figures: Robust, numbers: NDArray[np.integer]) -> dict[str, float | None]:
    """The figures of −log q of every row by name, with the rows' numbers in their source.

    Args:
        figures: of the rows.
        numbers: of the rows, shape (n,).

    Returns:
        ``nll_median``, ``nll_trimmed`` (nats, each with its ``_se``), and of the row farthest from the
        median its share ``nll_worst_share`` of the squared standard error, its part ``nll_worst_part`` of the
        NLL, its number ``nll_worst_row`` and its −log q ``nll_worst``.
    """
    part = figures.worst_part
    return {
        "nll_median": figures.median,
        "nll_median_se": figures.median_se,
        "nll_trimmed": figures.trimmed,
        "nll_trimmed_se": figures.trimmed_se,
        "nll_worst_share": figures.worst_share,
        "nll_worst_part": part if math.isfinite(part) else None,
        "nll_worst": figures.worst_value,
        "nll_worst_row": int(numbers[figures.worst]),
    }


def heavy_rows(values: NDArray[np.float64], figures: Robust, numbers: NDArray[np.integer]) -> list[HeavyRow]:
    """The rows that weigh too much: ``row``, ``nll`` and ``adds``, nats, the heaviest first."""
    return [
        {"row": int(numbers[i]), "nll": float(values[i]),
         "adds": float(values[i] - figures.median) / figures.rows}
        for i in figures.heavy
    ]  # fmt: skip
