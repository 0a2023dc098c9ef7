r"""Simulation-based calibration: whether rows fall where samples for their own contexts say that they do.

For a row x_i with the context u_i, and samples drawn given u_i, the rank of every coordinate of x_i is
uniform where the model's law given the context is that of the data. So the quantiles of a conditional model
are judged from files: every context of the held-out rows stands beside some samples.

Source: simulation-based calibration, arXiv:1804.06788.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jko.core.records import Count, Number, Record
from jko.core.seeds import counter_seed
from jko.statistics.coverage import Coverage, of_ranks, ranks_within

Array = NDArray[np.float64]


class Calibration(Record):
    """Rows against the samples for their own contexts.

    Args:
        rows: held-out rows for whose context there are samples.
        share: of all held-out rows.
        contexts: different contexts of these rows.
        samples: for a row, the median.
        coverage: of every column; its ranks are among the samples for the row's own context.
    """

    rows: Count
    share: Number
    contexts: Count
    samples: Number
    coverage: tuple[Coverage, ...]


def calibration(
    rows: Array, samples: Array, contexts: tuple[Array, Array], names: Sequence[str], *, seed: int = 0
) -> Calibration | None:
    """Rank held-out rows among the samples for their contexts.

    Args:
        rows: without their contexts, shape (m, d).
        samples: shape (M, d).
        contexts: of rows and of samples, shapes (m, c) and (M, c). They are one where they are equal in
            single precision, so that a file may hold either.
        names: of the columns.
        seed: of the order of equal values.

    Returns:
        The calibration; ``None`` where no row has samples.
    """
    pooled = np.concatenate([one.astype(np.float32) for one in contexts])
    codes = np.unique(pooled, axis=0, return_inverse=True)[1].reshape(-1)
    own, drawn = codes[: len(rows)], codes[len(rows) :]
    beside = np.bincount(drawn, minlength=len(pooled))
    known = beside[own] > 0
    if not known.any():
        return None
    own = own[known]
    each = np.bincount(own, minlength=len(pooled))
    here = each > 0
    # rows of one context share its samples; rows with samples of their own are independent
    shared = (each[here] * (each[here] - 1) / beside[here]).sum() / len(own) ** 2
    found = []
    for at, name in enumerate(names):
        draw = np.random.default_rng(counter_seed(seed, "calibration", name))
        placed = ranks_within(rows[known, at], samples[:, at], (own, drawn), draw)
        found.append(of_ranks(placed, name, float(shared)))
    return Calibration(
        rows=len(own), share=len(own) / len(rows), contexts=int(here.sum()),
        samples=float(np.median(beside[own])), coverage=tuple(found),
    )  # fmt: skip
