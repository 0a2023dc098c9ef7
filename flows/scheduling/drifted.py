"""Drift in figures and words: new rows beside a chain's own, and whether they are of another law."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jko.core.display import with_error
from jko.preparation.names import shown
from jko.preparation.table import Array
from jko.statistics.heavy import rows_said, warning
from jko.statistics.robust import heavy_rows, robust
from jko.statistics.shift import LEVEL, Moved, shifts, worse_share

#: columns that a sentence names at most
MOST = 3
#: what −log q is called among the columns
SCORE = "−log q"


@dataclass(frozen=True)
class Drift:
    """What new data do under a chain that was trained on older ones.

    Args:
        figures: ``drift/*``, as numbers.
        says: the same as part of a sentence.
    """

    figures: dict[str, float]
    says: str

    @property
    def known(self) -> bool:
        """Whether there were enough new rows to compare."""
        return "drift/change" in self.figures

    @property
    def alarm(self) -> bool:
        """Whether the new rows are of another law, as far as the tests can tell."""
        return bool(self.figures.get("drift/alarm"))


@dataclass(frozen=True)
class Rows:
    """Some rows and what the chain makes of them.

    Args:
        numbers: of the rows in their source, shape (n,).
        scores: −log q of each, nats, data units; not finite where it cannot be had, shape (n,).
        columns: values to be compared column by column, shape (n', d + c); of more rows than were scored,
            or of the same.
    """

    numbers: NDArray[Any]
    scores: NDArray[np.float64]
    columns: Array


def compared(new: Rows, own: Rows, names: Sequence[str], recognised: Mapping[str, float]) -> Drift:
    """Compare new rows with a chain's own.

    Args:
        new: rows that the chain has not seen.
        own: its test rows with their scores, and columns of all rows of its data.
        names: of the columns.
        recognised: further figures.

    Returns:
        Figures, nats in data units, each with its ``_se``: ``drift/nll`` and ``drift/test_nll``, means over
        new and test rows, ``drift/change``, their difference, ``drift/nll_median``, ``drift/median_change``
        and ``drift/trimmed_change``, the same of medians and trimmed means. Then ``drift/alarm``, 1 or 0,
        ``drift/p``, the smallest corrected p-value of all columns and −log q, ``drift/columns_moved``, how
        many columns have one below the level; ``drift/worse_share``, the share of pairs of a new and a test
        row in which the new one has the larger −log q, ½ without a drift; ``drift/worst_share``,
        ``drift/worst_row`` and ``drift/worst_nll`` of the new row farthest out; ``drift/not_finite``, new
        rows without a finite score, which are in no mean; ``drift/rows``.
    """
    finite = np.isfinite(new.scores)
    after, before = robust(new.scores[finite]), robust(own.scores)
    moved = judged(new, own, names)
    sure = [one for one in moved if one.p <= LEVEL]
    numbers = new.numbers[finite]
    figures = {
        "drift/nll": after.mean, "drift/nll_se": after.se,
        "drift/test_nll": before.mean, "drift/test_nll_se": before.se,
        "drift/change": after.mean - before.mean, "drift/change_se": math.hypot(after.se, before.se),
        "drift/nll_median": after.median, "drift/nll_median_se": after.median_se,
        "drift/median_change": after.median - before.median,
        "drift/median_change_se": math.hypot(after.median_se, before.median_se),
        "drift/trimmed_change": after.trimmed - before.trimmed,
        "drift/trimmed_change_se": math.hypot(after.trimmed_se, before.trimmed_se),
        "drift/alarm": float(bool(sure)), "drift/p": moved[0].p,
        "drift/columns_moved": float(sum(one.name != SCORE for one in sure)),
        "drift/worse_share": worse_share(own.scores, ranked(new.scores)),
        "drift/worst_share": after.worst_share, "drift/worst_row": float(numbers[after.worst]),
        "drift/worst_nll": after.worst_value, "drift/not_finite": float((~finite).sum()),
        "drift/rows": float(len(new.scores)), **recognised,
    }  # fmt: skip
    told = [
        warning(heavy_rows(new.scores[finite], after, numbers), after.mean, "mean NLL of the new rows"),
        warning(heavy_rows(own.scores, before, own.numbers), before.mean, "chain's own test NLL"),
    ]
    if not finite.all():
        told.append(f"{rows_said(new.numbers[~finite].tolist())} of the source have no finite density")
    return Drift(figures, "; ".join([words(figures, sure), *filter(None, told)]))


def judged(new: Rows, own: Rows, names: Sequence[str]) -> list[Moved]:
    """The tests of all columns and of −log q as one family, the surest difference first.

    Scores have fewer rows beside them than columns have, so each column is handed on with its own rows.
    """
    columns = [(name, own.columns[:, i], new.columns[:, i]) for i, name in enumerate(names)]
    return shifts([*columns, (SCORE, own.scores, ranked(new.scores))])


def ranked(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores for tests by ranks: what has no density is farther out than all that has."""
    return np.nan_to_num(scores, nan=np.inf, posinf=np.inf, neginf=-np.inf)


def words(figures: Mapping[str, float], moved: Sequence[Moved] = ()) -> str:
    """What :func:`drift` found, as part of a sentence; of no figures, that the data cannot be scored.

    Args:
        figures: ``drift/*``.
        moved: what differs for sure, the surest first.
    """
    if not figures:
        return "they cannot be scored under the last chain"
    if "drift/change" not in figures:
        count = int(figures["drift/rows"])
        return (
            f"no drift is known: {count or 'none'} of their rows is new to the last chain, and at least "
            "2 are needed"
        )
    change = with_error(figures["drift/median_change"], figures["drift/median_change_se"], "+.3g", ".2g")
    mean = with_error(figures["drift/change"], figures["drift/change_se"], "+.3g", ".2g")
    all_count = "" if figures["drift/seen_left_out"] else "; rows it has seen count, too: it is smoothed"
    return (
        f"{alarm_words(figures, moved)}; median −log q of {figures['drift/rows']:.0f} new rows "
        f"{with_error(figures['drift/nll_median'], figures['drift/nll_median_se'], '.4g', '.2g')} nats under "
        f"the last chain, {change} against its own test rows (means: {mean}){all_count}"
    )


def alarm_words(figures: Mapping[str, float], moved: Sequence[Moved]) -> str:
    """Whether the law changed, and which columns did."""
    if not figures["drift/alarm"]:
        return f"no drift (p = {figures['drift/p']:.2g} over all columns and the chain's −log q)"
    columns = [one for one in moved if one.name != SCORE]
    if not columns:
        return f"drift: −log q is another (p = {figures['drift/p']:.1g}), though no column by itself"
    told = [f"{shown(one.name)} (median {one.by:+.2g} spreads, p = {one.p:.1g})" for one in columns[:MOST]]
    more = f" and {len(columns) - MOST} more" if len(columns) > MOST else ""
    return f"drift: {'column' if len(columns) == 1 else 'columns'} {', '.join(told)}{more} moved"
