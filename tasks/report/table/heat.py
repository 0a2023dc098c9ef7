"""Which columns say more about each other in the data than in the samples, or less."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from jko.statistics.association import Association
from tasks.report.drawing import DATA, MODEL, short_name
from tasks.report.table.look import Array, Marks
from tasks.report.table.ticks import short_number

#: columns at most, those of the clearest differences; and up to which figures are written
MOST, WRITTEN = 24, 16
#: standard errors within which a difference may be chance
CHANCE = 2.0
#: samples say more about each other: red; the data do: blue
MORE = LinearSegmentedColormap.from_list("more", [MODEL, "#f7f7f7", DATA])
#: inches of a cell, and of all of them at least
SIDE, LEAST = 0.34, 2.0
#: the difference of full colour at least, so that small ones look small
FAINT = 0.05


def clearest(difference: Association, most: int = MOST) -> list[int]:
    """The columns in whose pairs data and samples differ most clearly, in the order of the table."""
    count = len(difference.values)
    scores = np.nan_to_num(np.abs(difference.values) / np.maximum(difference.errors, 1e-12))
    best = np.argsort(-scores.max(axis=1), kind="stable")[:most]
    return sorted(int(place) for place in best[: min(count, most)])


def beyond(difference: Association) -> tuple[int, int]:
    """How many pairs differ by more than two standard errors, and how many there are."""
    above = np.triu_indices(len(difference.values), 1)
    values, errors = difference.values[above], difference.errors[above]
    known = ~np.isnan(values)
    return int((np.abs(values[known]) > CHANCE * errors[known]).sum()), int(known.sum())


def heat_map(difference: Association, names: Sequence[str], unit: str) -> Figure:
    """Differences of all pairs, data less samples; hatched where they may be chance.

    Args:
        difference: of d columns.
        names: of the columns.
        unit: of the figures.
    """
    shown = clearest(difference)
    values, errors = (part[np.ix_(shown, shown)] for part in (difference.values, difference.errors))
    short, count = [short_name(names[place]) for place in shown], len(shown)
    clear = np.abs(values) > CHANCE * errors
    size = max(SIDE * count, LEAST)
    figure = Figure(figsize=(size + 2.1, size + 1.3), layout="constrained")
    axes = figure.add_subplot()
    lower = np.tril(np.ones_like(values, dtype=bool), -1)
    largest = float(np.max(np.abs(values), where=lower & clear, initial=FAINT))
    drawn = axes.imshow(np.where(lower & clear, values, np.nan), cmap=MORE, vmin=-largest, vmax=largest)
    for i, j in zip(*np.nonzero(lower & ~clear), strict=True):
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fc="#fbfbfc", ec="#c3ccd5", hatch="////", lw=0))
    if count <= WRITTEN:
        _write(figure, values, lower & clear, largest)
    axes.set_xticks(range(count - 1), short[:-1], rotation=90, fontsize=8)
    axes.set_yticks(range(1, count), short[1:], fontsize=8)
    axes.set(xlim=(-0.5, count - 1.5), ylim=(count - 0.5, 0.5), xlabel="column", ylabel="column")
    axes.grid(visible=False)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.85, pad=0.02)
    bar.set_label(f"data − samples, {unit}", fontsize=8)
    bar.ax.tick_params(labelsize=7.5)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(short_number))
    figure.text(
        0.99, 0.995, f"hatched: within {CHANCE:g} SE", ha="right", va="top", fontsize=7.5, color="#61707f"
    )
    return figure


def _write(figure: Figure, values: Array, where: Marks, largest: float) -> None:
    """Figures into the cells."""
    axes = figure.axes[0]
    for i, j in zip(*np.nonzero(where), strict=True):
        dark = abs(values[i, j]) > 0.55 * largest
        text = f"{values[i, j]:+.2f}" if abs(values[i, j]) >= 0.01 else f"{values[i, j]:+.3f}"
        text = text.replace("-", "−").replace("0.", ".", 1)
        axes.text(j, i, text, ha="center", va="center", fontsize=6.5, color="w" if dark else "k")
