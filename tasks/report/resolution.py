"""Pictures of how far data and model are apart: by resolution, and by pairs of columns."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from jko.certify.records import ChainGuarantee
from jko.certify.resolution import Bracket
from tasks.report.content import Array, Content
from tasks.report.drawing import ACCENT, DATA, MODEL

#: nats around 0 that are drawn linearly
LINEAR = 0.01
#: columns that a map of pairs shows at most, and letters of a name
MOST_SHOWN, LETTERS = 30, 14


def resolution(content: Content) -> Figure | None:
    """KL of data and model against the resolution: between the two curves, with their 95 % levels."""
    brackets = sorted(content.certificate.chain.bracket, key=lambda one: one.resolution)
    if not brackets:
        return None
    s = np.array([one.resolution for one in brackets])
    figure = Figure(figsize=(6.4, 3.8))
    axes = figure.add_subplot()
    for side, label, colour in (("upper", "at most", MODEL), ("lower", "at least", DATA)):
        values, levels = _column(brackets, side), _column(brackets, f"{side}_95")
        axes.plot(s, values, color=colour, marker="o", ms=4, label=label)
        axes.fill_between(s, values, levels, color=colour, alpha=0.25, lw=0, label="to its 95 % level")
    fine = content.certificate.chain.certified_resolution
    if fine is not None:
        axes.axvline(fine, color=ACCENT, ls=":", label=f"certified resolution {fine:g}")
    axes.axhline(0, color="black", lw=0.6)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=LINEAR)
    axes.set_xticks(s)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(
        title="KL of data and model by resolution", ylabel="nats",
        xlabel="resolution s, standard deviations of the data",
    )  # fmt: skip
    axes.legend(fontsize=8)
    figure.tight_layout()
    return figure


def _column(brackets: list[Bracket], name: str) -> Array:
    values = [one.figure(name) for one in brackets]
    return np.array([np.nan if value is None else value for value in values])


def pairs(content: Content) -> Figure | None:
    """Which columns and pairs the model gets wrong, by at least how many nats."""
    whole = content.certificate.chain
    if len(whole.columns) < 2 or not whole.pairs:
        return None
    least = {one.columns: one.least for one in (*whole.columns, *whole.pairs)}
    worst = {name: max(value for key, value in least.items() if name in key) for (name,) in _names(whole)}
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
    short = [name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…" for name in names]
    axes.set_xticks(range(len(names)), short, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), short, fontsize=8)
    axes.grid(visible=False)
    axes.set_title("wrong by at least, nats (95 %)")
    figure.colorbar(shown, ax=axes, shrink=0.8)
    figure.tight_layout()
    return figure


def _names(whole: ChainGuarantee) -> list[tuple[str, ...]]:
    return [one.columns for one in whole.columns]
