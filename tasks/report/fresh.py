"""The report's section on rows that a chain was not shown, and on the test rows that surprise it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jko.columns.schema import Schema
from jko.core.display import figure
from jko.preparation.facts import DataFacts
from jko.statistics.fresh_rows import EDGES
from tasks.adapters.store.evaluated import EvaluationFigures, FreshLook, ScoredRow

Array = NDArray[np.float64]
#: columns of a row that are shown, the furthest from their mean where there are more
MOST_COLUMNS = 8


@dataclass(frozen=True)
class ShownRow:
    """A row as the section shows it.

    Args:
        scores: the row with its scores.
        kind: of a made-up row, in words.
        words: its values.
    """

    scores: ScoredRow
    kind: str
    words: str


@dataclass(frozen=True)
class FreshPanel:
    """What the section shows.

    Args:
        verdict: whether blocks and mixture disagree by much, in one sentence or two.
        rows: made-up rows.
        caution: how to read the list of test rows.
        surprising: the test rows of the lowest scores.
        edges: the quantiles of edge rows, with commas between them.
    """

    verdict: str
    rows: Sequence[ShownRow]
    caution: str
    surprising: Sequence[ShownRow]
    edges: str = ", ".join(f"{100 * edge:g} %" for edge in EDGES)


def fresh_panel(figures: EvaluationFigures, facts: DataFacts) -> FreshPanel | None:
    """The section, where the evaluation looked at such rows."""
    fresh = figures.fresh
    if fresh is None:
        return None
    rows, tested = (
        [ShownRow(row, _kind(row, facts), row_words(row.values, facts)) for row in part]
        for part in (fresh.most_different, figures.surprising)
    )
    disputed = sum(row.disputed for row in figures.surprising)
    return FreshPanel(_verdict(fresh), rows, _caution(disputed, fresh.limit), tested)


def _verdict(fresh: FreshLook) -> str:
    count, limit = sum(fresh.rows.values()), figure(fresh.limit, ",.0f")
    if not fresh.below:
        return (
            f"Of {count:,} rows made of training rows the blocks score none more than {limit} nats below a "
            "Gaussian mixture."
        )
    return (
        f"The blocks score {fresh.below:,} of {count:,} rows made of training rows more than {limit} nats "
        "below a Gaussian mixture. Either such rows are impossible and the mixture does not know it, or the "
        "blocks send ordinary rows far out; look at the rows before you call such a score an anomaly."
    )


def _caution(disputed: int, limit: float) -> str:
    nats = figure(limit, ",.0f")
    if not disputed:
        return f"The lowest scores among the test rows; a Gaussian mixture agrees within {nats} nats on each."
    which = "one of them is" if disputed == 1 else f"{disputed} of them are"
    return (
        f"The lowest scores among the test rows; {which} disputed: a Gaussian mixture of the same training "
        f"rows says otherwise by more than {nats} nats. A disputed score says more of the models "
        "than of the row, and is no anomaly by itself."
    )


def _kind(row: ScoredRow, facts: DataFacts) -> str:
    return row.kind if row.column is None else f"edge of {facts.columns[row.column]}"


def row_words(values: Sequence[float], facts: DataFacts) -> str:
    """The values of a row by column; of many columns those that are furthest from their means.

    Args:
        values: of the state and the context, data units.
        facts: of the data.
    """
    far = np.abs((np.array(values) - facts.row_shift) / facts.row_scale)
    words = [f"{name} = {figure(value, '.4g')}" for name, value in zip(
        (*facts.columns, *facts.context_columns), values, strict=True
    )]  # fmt: skip
    if facts.kinds is not None:
        own, far = _cells(values, far, facts.kinds)
        words = [*own, *words[facts.dim :]]
    chosen = np.sort(np.argsort(-far, kind="stable")[:MOST_COLUMNS])
    left = len(words) - len(chosen)
    return ", ".join(words[i] for i in chosen) + (f", and {left} more" if left else "")


def _cells(values: Sequence[float], far: Array, schema: Schema) -> tuple[list[str], Array]:
    """The cells that real columns stand for, as words, and how far each is, the context's behind them.

    Args:
        values: of the state and the context.
        far: distances from the means, one for each of the values.
        schema: the kinds.
    """
    width = sum(column.width for column in schema.kept)
    cells = schema.decode(np.array([values[:width]]))
    words, apart, first = [], [], 0
    for column in schema.kept:
        if column.width:  # a constant is no news
            cell = cells[column.name][0]
            is_real = isinstance(cell, float | np.floating)
            words.append(f"{column.name} = {figure(float(cell), '.6g') if is_real else cell}")
            apart.append(far[first : first + column.width].max())
            first += column.width
    return words, np.array([*apart, *far[width:]])
