"""The difference of two models' log-densities on the same rows, paired row by row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jko.statistics.robust import Robust, robust

Verdict = Literal["better", "worse", "not distinguishable", "unreliable"]
#: standard errors within which two models are not distinguished
LEVEL = 2.0


@dataclass(frozen=True)
class Paired:
    """NLL(candidate) − NLL(baseline) on the same rows.

    Args:
        difference: its mean over rows, nats; below 0 the candidate is better.
        se: standard error of the mean, over rows; ``inf`` for a single row.
        rows: number of rows.
        robust: median, trimmed mean and the rows that weigh most; ``None`` where the rows are not known.
        worse_share: share of the rows to which the candidate gives less density, equal ones by half.
    """

    difference: float
    se: float
    rows: int
    robust: Robust | None = None
    worse_share: float | None = None

    @property
    def verdict(self) -> Verdict:
        """Of the candidate: ``not distinguishable`` up to two standard errors, else by the sign.

        The mean and the trimmed mean have to say the same; a side that only one of them takes is none.
        ``unreliable`` where they take opposite sides, or where one row, or a few far out, are most of the
        error: such rows can hide any difference.
        """
        mean = _side(self.difference, self.se)
        if self.robust is None:
            return mean
        trimmed = _side(self.robust.trimmed, self.robust.trimmed_se)
        if self.robust.dominating or {mean, trimmed} == {"better", "worse"}:
            return "unreliable"
        return mean if mean == trimmed else "not distinguishable"

    def share_of_error(self, differences: NDArray[np.float64]) -> float:
        """Share of the dominating rows in the squared standard error of the mean.

        Args:
            differences: log p_baseline − log p_candidate of every row, shape (n,).
        """
        squares = (differences - differences.mean()) ** 2
        rows = [] if self.robust is None else list(self.robust.dominating)
        return float(squares[rows].sum() / squares.sum()) if rows else 0.0

    @property
    def worse_share_se(self) -> float | None:
        """Standard error of the share of rows that got worse."""
        share = self.worse_share
        return None if share is None else math.sqrt(share * (1 - share) / self.rows)


def _side(value: float, se: float) -> Verdict:
    if abs(value) <= LEVEL * se:
        return "not distinguishable"
    return "better" if value < 0 else "worse"


def paired_difference(baseline: NDArray[np.float64], candidate: NDArray[np.float64]) -> Paired:
    r"""Compare two models on n independent rows that both were evaluated on.

    With d_i = log p_baseline(x_i) − log p_candidate(x_i), the difference of the NLLs is the mean of
    d and its standard error s(d)/√n, s(d)² the sample variance. What the rows themselves contribute
    to both NLLs cancels, so that it is far smaller than the errors of the two NLLs; noise of the
    log-densities that is independent over rows, as of Hutchinson probes, is part of s(d).

    Args:
        baseline: log-densities, shape (n,), nats.
        candidate: the same rows in the same order, shape (n,), nats.

    Raises:
        ValueError: another number of rows, none, or a value that is not finite.
    """
    baseline, candidate = np.asarray(baseline, dtype=float), np.asarray(candidate, dtype=float)
    if baseline.shape != candidate.shape or baseline.ndim != 1 or not len(baseline):
        raise ValueError(f"the same rows are needed, at least one; got {baseline.shape}, {candidate.shape}")
    values = baseline - candidate
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} rows have no finite difference")
    n = len(values)
    se = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    worse = float((np.sign(values) + 1).mean()) / 2
    return Paired(float(values.mean()), se, n, robust(values), worse)
