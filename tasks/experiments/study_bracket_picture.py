"""The brackets of the study beside the KL that they are of, and beside a certificate."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.report.drawing import ACCENT, DATA, GREY, MODEL

#: nats below which both axes are linear
LINEAR = 1e-3


def brackets_figure(apart: pd.DataFrame, rows: pd.DataFrame) -> Figure:
    """How far U and L are from the KL at every resolution, and the brackets at the certified one.

    Args:
        apart: of :func:`tasks.experiments.study_tables.brackets`.
        rows: of :func:`tasks.experiments.study_tables.table`.
    """
    figure = Figure(figsize=(11.5, 4.6))
    _distances(figure.add_subplot(1, 2, 1), apart)
    _beside(figure.add_subplot(1, 2, 2), apart[apart.certified], rows)
    figure.tight_layout()
    return figure


def _distances(axes: Axes, apart: pd.DataFrame) -> None:
    """U and L less the KL, spread by rank."""
    names = sorted(set(apart.resolution))
    for place, name in enumerate(names):
        own = apart[apart.resolution == name]
        places = place + 0.5 * ((np.arange(len(own)) * 0.618034) % 1 - 0.5)
        for values, colour in ((own.upper - own.kl, MODEL), (own.lower - own.kl, DATA)):
            axes.scatter(places, values, s=9, alpha=0.6, linewidths=0, color=colour)
    axes.axhline(0, color="black", lw=1)
    axes.scatter([], [], s=14, color=MODEL, label="U")
    axes.scatter([], [], s=14, color=DATA, label="L")
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_xticks(range(len(names)), [f"{name:g}" for name in names])
    axes.set(title="bracket less the KL", xlabel="resolution s", ylabel="nats")
    axes.legend(fontsize=8)


def _beside(axes: Axes, fine: pd.DataFrame, rows: pd.DataFrame) -> None:
    """The 95 % levels at the certified resolution, and (C) by the exact score, against the KL."""
    kl, low, high = (fine[name].to_numpy(dtype=float) for name in ("kl", "lower_95", "upper_95"))
    exact = rows[(rows.score == "exact score") & (rows.certificate == "certificate_c")]
    axes.scatter(exact.kl, exact.bound.astype(float), s=12, color=GREY, label="(C), exact score, no blur")
    for place, bottom, top in zip(kl, low, high, strict=True):
        axes.plot([place, place], [max(bottom, LINEAR / 10), top], color=ACCENT, lw=1.4, alpha=0.8)
    axes.plot([], [], color=ACCENT, lw=1.4, label="bracket, 95 % levels")
    ends = [LINEAR, float(max(kl.max(initial=LINEAR), exact.kl.max()))]
    axes.plot(ends, ends, color="black", lw=1, label="KL")
    axes.set(xscale="log", yscale="log", xlabel="KL, nats", ylabel="nats")
    axes.set_title("at the certified resolution")
    axes.legend(fontsize=8)
