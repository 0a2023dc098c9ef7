"""Pictures of the figures over the CPU seconds spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import Row, published, rows
from benchmarks.plan import Lookup
from benchmarks.sets import names
from jko.disk.durable import write_bytes
from tasks.report.drawing import ACCENT, DATA, GREY, MODEL, STYLE, png

#: one colour a method, the same in every picture; the chosen setting of a peer is dashed
COLOURS: Mapping[str, str] = {
    "ours": MODEL,
    "ours_plain_jko": "#e8a0a8",
    "nsf": DATA,
    "cnf": "#7b5ea7",
    "ot_cfm": ACCENT,
    "end_to_end": "#d08c2f",
    "mixture": "#444444",
    "gaussian": GREY,
}
ACROSS = 3


def write_pictures(lookup: Lookup, folder: Path) -> None:
    """Write ``rose.png`` and ``plane.png``; one without figures is left out."""
    with matplotlib.rc_context(STYLE):
        for name, figure in (("rose", rose_figure(lookup)), ("plane", plane_figure(lookup))):
            if figure is not None:
                write_bytes(folder / f"{name}.png", png(figure))


def rose_figure(lookup: Lookup) -> Figure | None:
    """The gap on the rose over the time, beside the published figures."""
    found = rows("rose", lookup)
    if not found:
        return None
    figure = Figure(figsize=(7.2, 4.6))
    axes = figure.add_subplot()
    _curves(axes, found)
    known = published()["rose"]
    for one in known["measured"]:
        seconds, gaps = zip(*one["curve"], strict=True)
        axes.plot(seconds, gaps, "o:", color=GREY, markersize=4, label=one["name"])
    for one in known["published"]:
        axes.axhline(one["gap"], color=GREY, linewidth=0.8, linestyle=(0, (1, 3)))
        axes.annotate(
            one["name"], (1, one["gap"]), xycoords=("axes fraction", "data"), fontsize=7, color=GREY,
            ha="right", va="bottom",
        )  # fmt: skip
    axes.set(title="the rose", xlabel="CPU seconds of one thread", ylabel="gap, nats")
    axes.legend(fontsize=7, loc="lower left")
    return figure


def plane_figure(lookup: Lookup) -> Figure | None:
    """The gaps on the laws of the plane over the time, one panel a law."""
    found = {name: rows(name, lookup) for name in names("plane")}
    shown = {name: of for name, of in found.items() if of}
    if not shown:
        return None
    down = -(-len(shown) // ACROSS)
    figure = Figure(figsize=(3.6 * min(ACROSS, len(shown)) + 0.6, 3.0 * down + 0.9), layout="constrained")
    handles: dict[str, Any] = {}
    for place, (name, of) in enumerate(shown.items(), start=1):
        axes = figure.add_subplot(down, min(ACROSS, len(shown)), place)
        _curves(axes, of)
        axes.set(title=name.replace("_", " "), xlabel="CPU seconds")
        if (place - 1) % ACROSS == 0:
            axes.set_ylabel("gap, nats")
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _curves(axes: Axes, found: Mapping[tuple[str, str], Row]) -> None:
    """One line a row, of its first seed; a baseline is one point."""
    for (method, which), row in found.items():
        points = [point for point in row.records[0]["curve"] if _drawable(point)]
        if points:
            seconds, values = [point[0] for point in points], [point[1] for point in points]
            dash, width = "--" if which == "best" else "-", 2.2 if row.ours else 1.3
            style: Any = {"linestyle": dash, "linewidth": width, "color": COLOURS[method]}
            marker = "s" if len(points) == 1 else None
            axes.plot(seconds, values, marker=marker, label=row.label, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")


def _drawable(point: Sequence[Any]) -> bool:
    """Whether a logarithmic axis can show a point."""
    return point[1] is not None and point[1] > 0
