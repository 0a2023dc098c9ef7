"""Pictures of how far data and model are apart: by resolution, and by pairs of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from jko.certify.resolution import Bracket, Projection
from tasks.report.drawing import ACCENT, DATA, GREY, MODEL, Array, short_name

if TYPE_CHECKING:
    from tasks.report.content import Content

#: nats around 0 that are drawn linearly
LINEAR = 0.01
#: columns that a map of pairs shows at most
MOST_SHOWN = 30
#: of several models
COLOURS = (MODEL, DATA, ACCENT, "#e09f3e", GREY)


def resolution(content: Content) -> Figure | None:
    """KL of data and model against the resolution, with the baselines beside."""
    whole = content.certificate.chain
    if not whole.bracket:
        return None
    named = {"gaussian": "one Gaussian", "mixture": "Gaussian mixture"}
    beside = {named[name]: one for name, one in content.figures.baseline_brackets.items()}
    return by_resolution({"the flow": whole.bracket, **beside}, whole.certified_resolution)


def pairs(content: Content) -> Figure | None:
    """Which columns and pairs the model gets wrong, by at least how many nats."""
    return by_pairs(content.certificate.chain.columns, content.certificate.chain.pairs)


def by_resolution(models: Mapping[str, Sequence[Bracket]], certified: float | None = None) -> Figure:
    """KL against the resolution: between two curves of a model, with their 95 % levels.

    Args:
        models: brackets of every model.
        certified: a resolution to mark.
    """
    figure = Figure(figsize=(6.4, 4.2 + 0.2 * len(models)))
    axes = figure.add_subplot()
    ticks: list[float] = []
    alone = len(models) == 1
    for (name, given), colour in zip(models.items(), cycle(COLOURS), strict=False):
        brackets = sorted(given, key=lambda one: one.resolution)
        ticks = [one.resolution for one in brackets]
        for side, label, own in (
            ("upper", "at most", MODEL if alone else colour),
            ("lower", "at least", DATA if alone else colour),
        ):
            values, levels = _column(brackets, side), _column(brackets, f"{side}_95")
            style = "-" if side == "upper" else "--"
            axes.plot(
                ticks, values, color=own, marker="o", ms=4, ls=style,
                label=label if alone else f"{name}, {label}",
            )  # fmt: skip
            axes.fill_between(ticks, values, levels, color=own, alpha=0.2, lw=0)
    if certified is not None:
        axes.axvline(certified, color=ACCENT, ls=":", label=f"certified resolution {certified:g}")
    axes.axhline(0, color="black", lw=0.6)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=LINEAR)
    low, high = axes.get_ylim()
    axes.axhspan(min(low, 0.0), 0, color=GREY, alpha=0.15, lw=0)  # no KL is there
    axes.set_ylim(low, high)
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(
        title="KL of data and model by resolution", ylabel="nats (shaded: to the 95 % level)",
        xlabel="resolution s, standard deviations of the data",
    )  # fmt: skip
    # below the axes and their name, where no curve is; the pad is in letters
    axes.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=5.5)
    figure.tight_layout()
    return figure


def by_pairs(columns: Sequence[Projection], pairs: Sequence[Projection]) -> Figure | None:
    """Columns and pairs by how many nats a model is wrong in them at least; none for a single column."""
    if len(columns) < 2 or not pairs:
        return None
    least = {one.columns: one.least for one in (*columns, *pairs)}
    worst = {name: max(value for key, value in least.items() if name in key) for (name,) in _names(columns)}
    names = sorted(worst, key=lambda name: -worst[name])[:MOST_SHOWN]
    values = np.full((len(names), len(names)), np.nan)
    for i, row in enumerate(names):
        for j, column in enumerate(names[: i + 1]):
            key = (row,) if row == column else (row, column) if (row, column) in least else (column, row)
            values[i, j] = least.get(key, np.nan)
    size = 2.2 + 0.32 * len(names)
    figure = Figure(figsize=(size + 1.2, size))
    axes = figure.add_subplot()
    largest = max(LINEAR, float(np.nanmax(values)))
    shown = axes.imshow(values, cmap="Reds", vmin=0, vmax=largest)
    for (i, j), value in np.ndenumerate(values):
        if value > 0 and len(names) <= MOST_SHOWN // 2:
            dark = value > 0.6 * largest
            axes.text(j, i, f"{value:.2g}", ha="center", va="center", fontsize=7, color="w" if dark else "k")
    short = [short_name(name) for name in names]
    axes.set_xticks(range(len(names)), short, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), short, fontsize=8)
    axes.grid(visible=False)
    axes.set_title("wrong by at least, nats (95 %)")
    figure.colorbar(shown, ax=axes, shrink=0.8)
    figure.tight_layout()
    return figure


def _names(columns: Sequence[Projection]) -> list[tuple[str, ...]]:
    return [one.columns for one in columns]


def _column(brackets: Sequence[Bracket], name: str) -> Array:
    values = [one.figure(name) for one in brackets]
    return np.array([np.nan if value is None else value for value in values])
