"""The picture of how far data and model are apart at each resolution."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from jko.certify.resolution import Bracket
from tasks.report.content import Array, Content
from tasks.report.drawing import ACCENT, DATA, MODEL

#: nats around 0 that are drawn linearly
LINEAR = 0.01


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
