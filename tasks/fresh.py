"""What a chain makes of rows that it was not shown, beside what a Gaussian mixture makes of them."""

from __future__ import annotations

from collections import Counter
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from jko.config import Config
from jko.preparation.facts import DataFacts
from jko.statistics.disputed import differences, limit_of
from jko.statistics.fresh_rows import FreshRows, fresh_rows
from tasks.adapters.store.evaluated import FreshLook, ScoredRow

Array = NDArray[np.float64]
#: rows that are kept of a list
LISTED = 10


def made_up(config: Config, facts: DataFacts, train: Array) -> FreshRows | None:
    """Rows made of the training rows; none where the law is no table's.

    Args:
        config: the settings.
        facts: of the data.
        train: training rows without copies, shape (rows, d + c), data units.
    """
    if not (config.data.is_table and config.target.standard):
        return None
    grid = (0.0,) * facts.dim if facts.smoothing else facts.steps  # smoothed rows lie on no grid
    return fresh_rows(train, grid, seed=config.seed)


def fresh_figures(rows: FreshRows, model: Array, blocks: Array, mixture: Array) -> FreshLook:
    """Figures of made-up rows.

    Args:
        rows: the rows.
        model: log-densities under the model, nats, data units, shape (rows,).
        blocks: the same under the chain's blocks without a defence.
        mixture: the same under the Gaussian mixture.
    """
    apart, limit = differences(blocks, mixture), limit_of(rows.rows.shape[1])
    order = np.argsort(-np.abs(apart), kind="stable")[:LISTED]
    edges = [int(column) if column >= 0 else None for column in rows.columns]
    return FreshLook(
        rows=dict(Counter(rows.kinds)),
        limit=limit,
        below=int((apart < -limit).sum()),
        most_different=tuple(
            ScoredRow(
                kind=rows.kinds[i],
                column=edges[i],
                **scored(model[i], blocks[i], mixture[i]),
                values=tuple(map(float, rows.rows[i])),
            )
            for i in order
        ),
    )


def surprising(
    numbers: NDArray[np.integer], rows: Array, scores: tuple[Array, Array, Array]
) -> list[ScoredRow]:
    """The test rows that the model finds least likely, lowest first.

    A low score is a sign of an anomaly only as far as the model can be trusted there: ``disputed`` says that
    a Gaussian mixture scores the row otherwise by more than :func:`jko.statistics.disputed.limit_of`.

    Args:
        numbers: of the rows in their source.
        rows: shape (rows, d + c), data units.
        scores: log-densities under the model, under its blocks alone and under the mixture, nats.
    """
    model, blocks, mixture = scores
    lowest = np.argsort(model, kind="stable")
    apart, limit = np.abs(differences(blocks, mixture)), limit_of(rows.shape[1])
    return [
        ScoredRow(
            row=int(numbers[i]),
            disputed=bool(apart[i] > limit),
            **scored(model[i], blocks[i], mixture[i]),
            values=tuple(map(float, rows[i])),
        )
        for i in lowest[:LISTED]
    ]


class Scores(TypedDict):
    """The scores of a row, see :class:`tasks.adapters.store.evaluated.ScoredRow`."""

    log_density: float
    log_density_blocks: float
    log_density_mixture: float
    difference: float


def scored(model: float, blocks: float, mixture: float) -> Scores:
    """The scores of a row by name."""
    return {
        "log_density": float(model),
        "log_density_blocks": float(blocks),
        "log_density_mixture": float(mixture),
        "difference": float(blocks - mixture),
    }
