"""Ranks of rows among samples, column by column, with the band of equal laws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jko.statistics.coverage import Coverage
from tasks.report.drawing import DATA, GREY, MODEL, short_name

#: columns that are drawn at most, and side by side
MOST_SHOWN, ACROSS = 30, 6
#: axes reach at least, and at most, so many times the equal number of rows
LOWEST_TOP, HIGHEST_TOP = 2.0, 4.0


def of_columns(columns: Sequence[Coverage]) -> Figure:
    """A histogram of ranks for every column; of very many those that are furthest from even.

    Args:
        columns: in the order of the table.
    """
    shown = list(columns)
    if len(shown) > MOST_SHOWN:
        shown = sorted(shown, key=lambda one: -one.distance / one.limit)[:MOST_SHOWN]
    across = min(ACROSS, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(1.7 * max(across, 2) + 0.5, 1.45 * down + 0.9))
    highest = max(max(one.ranks) * len(one.ranks) / sum(one.ranks) for one in shown)
    top = min(max(highest, LOWEST_TOP), HIGHEST_TOP)
    for place, one in enumerate(shown):
        axes = figure.add_subplot(down, across, place + 1)
        _histogram(axes, one, top)
        if place % across:
            axes.set_yticklabels([])
        if place + across < len(shown):
            axes.set_xticklabels([])
    more = "" if len(shown) == len(columns) else f", {len(shown)} of {len(columns)} columns, furthest first"
    figure.suptitle(f"ranks of held-out rows among samples{more}", fontsize=11, fontweight="bold")
    figure.supxlabel("rank, as a share of the samples", fontsize=9)
    figure.supylabel("rows, over equal numbers", fontsize=9)
    figure.tight_layout()
    return figure


def _histogram(axes: Axes, one: Coverage, top: float) -> None:
    bins = len(one.ranks)
    equal = sum(one.ranks) / bins
    heights = np.array(one.ranks) / equal
    edges = np.linspace(0, 1, bins + 1)
    axes.axhspan(one.fewest / equal, min(one.most / equal, top), color=GREY, alpha=0.3, lw=0)
    axes.bar(
        edges[:-1], np.minimum(heights, top), width=1 / bins, align="edge", alpha=0.75,
        color=DATA if one.even else MODEL, edgecolor="white", linewidth=0.3,
    )  # fmt: skip
    axes.axhline(1, color="black", lw=0.6)
    axes.set(xlim=(0, 1), ylim=(0, top), xticks=[0, 0.5, 1], yticks=range(int(top) + 1))
    axes.set_xticklabels(["0", "½", "1"])
    axes.tick_params(labelsize=7)
    axes.grid(visible=False)
    axes.set_title(short_name(one.column), fontsize=8, fontweight="normal")
