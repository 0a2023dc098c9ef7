"""The pair of columns that a model gets wrong most: data beside samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from jko.certify.resolution import Projection
from jko.core.display import figure as text_of
from jko.core.rows import drawn
from tasks.bracket import principal_axes
from tasks.report.content import MOST_ROWS, Array, Content
from tasks.report.drawing import DATA, MODEL, labelled, short_name, unit_of

#: rows and samples that are drawn at most, equally many of each
SHOWN = 3000
#: share of the rows beyond either end of an axis, and what is added to it
OUTSIDE, MARGIN = 0.002, 0.08


def worst_of(pairs: Sequence[Projection]) -> Projection | None:
    """The pair that is wrong by most nats at least; where none is known to be, the one that comes nearest."""

    def how_wrong(one: Projection) -> tuple[float, float]:
        clear = [(at.lower or 0.0) / at.lower_se for at in one.bracket if at.lower_se]
        return one.least, max(clear, default=0.0)

    return max(pairs, key=how_wrong, default=None)


def worst(content: Content) -> Figure | None:
    """Test rows beside samples of the pair that the chain gets wrong most."""
    pair = worst_of(content.certificate.chain.pairs)
    if pair is None:
        return None
    names, rows, samples = _columns(content)
    places = [names.index(name) for name in pair.columns]
    return beside(pair, rows[:, places], samples[:, places], content.shown_as)


def _columns(content: Content) -> tuple[list[str], Array, Array]:
    """Names, test rows and samples as the map of pairs takes them: with contexts, pictures as components."""
    facts, rows, samples = content.facts, content.data, content.generated
    if content.contexts is not None:
        rows, samples = (
            np.concatenate(both, 1) for both in zip((rows, samples), content.contexts, strict=True)
        )
    tested, trained = (min(facts.rows[part], MOST_ROWS) for part in ("test", "source"))
    train, test = rows[-trained:], rows[:tested]
    if facts.image_shape is None:
        return [*facts.columns, *facts.context_columns], test, samples
    import torch

    centre, spread = train.mean(0), train.std(0)
    spread = np.where(spread > 0, spread, 1)
    axes = principal_axes(torch.from_numpy((train - centre) / spread)).numpy()
    names = [f"component {i}" for i in range(1, axes.shape[1] + 1)]
    return names, (test - centre) / spread @ axes, (samples - centre) / spread @ axes


def beside(pair: Projection, rows: Array, samples: Array, called: str = "data") -> Figure:
    """Rows and samples of two columns side by side, in the same window.

    Args:
        pair: which, and how wrong it is.
        rows: shape (m, 2).
        samples: shape (M, 2).
        called: what the rows are.
    """
    units = np.array([unit_of(column) for column in rows.T])
    low, high = np.quantile(rows / units, [OUTSIDE, 1 - OUTSIDE], axis=0)
    wide = np.where(high > low, high - low, 1.0)
    count = min(len(rows), len(samples), SHOWN)
    figure = Figure(figsize=(9.0, 4.5))
    for place, (title, given, colour) in enumerate(
        ((called, rows, DATA), ("samples", samples, MODEL)), start=1
    ):
        axes = figure.add_subplot(1, 2, place)
        some = drawn(given, count) / units
        size = 3.0 + 9.0 * (1 - count / SHOWN)
        axes.scatter(some[:, 0], some[:, 1], s=size, alpha=0.5, color=colour, linewidths=0)
        seen = ((some >= low - MARGIN * wide) & (some <= high + MARGIN * wide)).all(1).sum()
        beyond = f", {count - seen} outside" if seen < count else ""
        axes.set_title(f"{title} ({count} rows{beyond})")
        axes.set_xlim(low[0] - MARGIN * wide[0], high[0] + MARGIN * wide[0])
        axes.set_ylim(low[1] - MARGIN * wide[1], high[1] + MARGIN * wide[1])
        names = [labelled(short_name(name, 40), unit) for name, unit in zip(pair.columns, units, strict=True)]
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
    words = (
        f"the pair that is wrong most: by at least {text_of(pair.least)} nats (95 %)" if pair.least > 0
        else "no pair is known to be wrong; this one comes nearest"
    )  # fmt: skip
    figure.suptitle(words, fontsize=11, fontweight="bold")
    figure.tight_layout()
    return figure
