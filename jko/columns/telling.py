r"""Which columns of a table others tell, and when that is no chance.

Column B is told by column A where all rows with the same level of A have the same cell of B. That is believed
where

- every level of A occurs, there are on average :data:`EACH` rows a level or more, and at least
  :data:`REPEATED` rows beyond the first one of their level. Each of these could have broken the rule and none
  has, so less than 3 / :data:`REPEATED` = 1 % of rows do, at 95 % (the rule of three);
- it is no luck of a B that has nearly always the same cell. Were B independent of A with shares p_b, rows
  would agree within every level with a probability of about :math:`\prod_k \sum_b p_b^{n_k}`, which is to be
  below :data:`LUCK`.

Neither column has an empty cell. A is one of levels: a sample of a count may be a number that no row has, of
which nothing is told. Of two columns that tell each other the one with text stays, else the first; one that
tells others is told by none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from jko.columns.cells import Cells
from jko.columns.column import Column, Values
from jko.columns.dates import Dates
from jko.columns.found import plain_cell
from jko.columns.levels import Levels
from jko.columns.told import SAID, Told
from jko.preparation.names import shown

#: rows for every level on average, and rows beyond the first of their level, at least
EACH, REPEATED = 20, 300
#: how likely a rule may be by chance
LUCK = 1e-6
#: rows by which most rules are refuted
FIRST = 2000


def with_told(columns: Sequence[Column], cells: Mapping[str, Cells]) -> list[Column]:
    """The columns, those that another one tells as columns of that kind.

    Args:
        columns: of a table.
        cells: of them by name, shape (rows,) each.
    """
    whole = [one for one in columns if one.kept and one.width and cells[one.name].present.all()]
    tellers = [one for one in whole if isinstance(one, Levels)]
    found: dict[str, Told] = {}
    telling: set[str] = set()
    for teller in sorted(tellers, key=_rank):
        if teller.name in found:
            continue
        for column in whole:
            if column.name in {teller.name, *found, *telling} or isinstance(column, Dates):
                continue
            if (told := _told_by(column, teller, cells)) is not None:
                found[column.name] = told
                telling.add(teller.name)
    return [found.get(one.name, one) for one in columns]


def _rank(column: Levels) -> tuple[int, bool]:
    """Those of more levels come first, and text before numbers."""
    return -len(column.levels), not all(isinstance(level, str) for level in column.levels)


def _told_by(column: Column, teller: Levels, cells: Mapping[str, Cells]) -> Told | None:
    """A column as one that another one tells; ``None`` where it does not."""
    levels, own = cells[teller.name].values, cells[column.name].values
    count = len(teller.levels)
    if not enough(len(own), count) or not _consistent(teller, levels[:FIRST], own[:FIRST]):
        return None
    codes = teller.codes(levels)
    first = first_rows(codes, count)
    if (first < 0).any() or not (own[first[codes]] == own).all():
        return None
    told = [plain_cell(cell) for cell in own[first]]
    if own.dtype.kind == "O" and not all(isinstance(cell, str) for cell in told):
        return None
    counts = np.bincount(codes, minlength=count)
    if log_luck(counts, np.unique(own[first].astype(str), return_inverse=True)[1]) > math.log(LUCK):
        return None
    try:
        alone = column.model_copy(update={"why": "", "seen": None})
        return Told.model_validate({
            "name": column.name, "by": teller.name, "value": alone, "dtype": str(own.dtype),
            "table": tuple(zip(teller.levels, told, strict=True)), "seen": column.seen,
            "why": f"{column.why}{SAID}{shown(teller.name)}",
        })  # fmt: skip
    except ValueError:  # a kind or a cell that no table of a schema holds
        return None


def enough(rows: int, levels: int) -> bool:
    """Whether there are rows enough to believe what levels tell."""
    return rows >= EACH * levels and rows - levels >= REPEATED


def _consistent(teller: Levels, levels: Values, own: Values) -> bool:
    """Whether a few rows leave it open that the one tells the other."""
    codes = teller.codes(levels)
    first = first_rows(codes, len(teller.levels))
    return bool((own[first[codes]] == own).all())


def first_rows(codes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The first row of every level, −1 for one that no row has, shape (count,)."""
    found = np.full(count, -1, dtype=np.int64)
    found[codes[::-1]] = np.arange(len(codes))[::-1]
    return found


def log_luck(counts: NDArray[np.int64], told: NDArray[np.int64]) -> float:
    """The log of the probability that rows agree within all levels, were the columns independent.

    Args:
        counts: rows of each level, shape (K,).
        told: number of the cell that each level tells, shape (K,).
    """
    shares = np.bincount(told, weights=counts) / counts.sum()
    with np.errstate(divide="ignore", under="ignore"):
        logs = counts[:, None] * np.log(shares)
        largest = logs.max(axis=1)
        return float((largest + np.log(np.exp(logs - largest[:, None]).sum(axis=1))).sum())
