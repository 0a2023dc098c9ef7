"""The pictures of a comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jko.core.display import with_error
from tasks.compare.comparison import CURVES, Comparison, Pair, Subject
from tasks.headline import brackets_of
from tasks.report.drawing import (
    ACCENT,
    DATA,
    GREY,
    MODEL,
    Array,
    labelled,
    principal_directions,
    tiles,
    unit_of,
)
from tasks.report.resolution import by_resolution

#: one colour a run, in order; the baseline is the first
COLOURS = (DATA, MODEL, ACCENT, "#e09f3e", "#7a5195", "#1b998b", "#a44a3f", GREY)
#: the best KL bound, or where a critic estimates it the estimate
BEST = ("kl_bound", "kl_estimate")
#: pictures shown of each run
TILES = 50


def colour(place: int) -> str:
    """Colour of the run at a place."""
    return COLOURS[place % len(COLOURS)]


def curves(comparison: Comparison) -> Figure | None:
    """Figures of every block over JKO steps, all runs in each panel."""
    steps = comparison.steps
    names = [name for name in CURVES if name not in BEST]
    if steps.empty:
        return None
    figure = Figure(figsize=(9.5, 5.8))
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(2, 3, place)
        for i, label in enumerate(comparison.labels):
            own = steps[(steps.run == label) & (steps.name == name)]
            style: dict[str, Any] = {"color": colour(i), "marker": "o", "ms": 4, "capsize": 2}
            axes.errorbar(own.step, own.value, yerr=2 * own.se.fillna(0), label=label, **style)
            if name == "certificate_c":
                bound = steps[(steps.run == label) & steps.name.isin(BEST)]
                axes.plot(bound.step, bound.value, color=colour(i), lw=1, ls="--")
        title, unit = CURVES[name]
        title += ", and - - the best KL bound or estimate" if name == "certificate_c" else ""
        axes.set_title(title, fontsize=9.5)
        axes.set_ylabel(unit)
        axes.set_xlabel("JKO step k")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if name in ("inversion_error", "certificate_c") and (steps[steps.name == name].value > 0).any():
            axes.set_yscale("log", nonpositive="mask")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=min(4, len(labels)), fontsize=8)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    return figure


def resolution(comparison: Comparison) -> Figure | None:
    """KL of data and model at every resolution, all runs."""
    found = {one.label: brackets_of(one.record.metrics) for one in comparison.subjects}
    shown = {label: brackets for label, brackets in found.items() if brackets}
    return by_resolution(shown) if shown else None


def differences(comparison: Comparison) -> Figure | None:
    """Log-densities of the test rows: every run against the baseline, row by row."""
    pairs = [pair for pair in comparison.pairs if pair.paired]
    if not pairs:
        return None
    across = min(3, len(pairs))
    down = -(-len(pairs) // across)
    figure = Figure(figsize=(9.5 if across > 1 else 5.2, 2.9 * down))
    for place, pair in enumerate(pairs, start=1):
        _histogram(figure.add_subplot(down, across, place), pair, colour(comparison.labels.index(pair.label)))
    figure.tight_layout()
    return figure


def _histogram(axes: Axes, pair: Pair, shade: str) -> None:
    assert pair.paired is not None  # asked before
    values = pair.differences.to_numpy()
    low, high = np.quantile(values, [0.005, 0.995])
    span = max(high - low, 1e-9)
    axes.hist(values, list(np.linspace(low - 0.05 * span, high + 0.05 * span, 41)), color=shade, alpha=0.5)
    axes.axvline(0, color=GREY, lw=1)
    mean, se = pair.paired.difference, pair.paired.se
    axes.axvline(mean, color=shade, lw=1.5)
    axes.axvspan(mean - 2 * se, mean + 2 * se, color=shade, alpha=0.25, lw=0)
    axes.set_title(f"{pair.label}: {with_error(mean, se, '+.4f', '.2g')} nats", fontsize=9.5)
    axes.set_xlabel(f"log p of {pair.baseline} − log p of {pair.label}, a test row each")
    axes.set_yticks([])


def samples(comparison: Comparison) -> tuple[Figure | None, str]:
    """Test rows and generated rows of the runs side by side.

    Returns:
        The picture, ``None`` where it cannot be drawn, and what it shows or why there is none.
    """
    shown = [(i, subject) for i, subject in enumerate(comparison.subjects) if _has_samples(subject)]
    if not shown:
        return None, "No run compared kept samples."
    abouts = [subject.record.about for _, subject in shown]
    missing = [subject.label for subject in comparison.subjects if not _has_samples(subject)]
    note = f" Without samples: {', '.join(missing)}." if missing else ""
    if len({tuple(about.columns) for about in abouts}) > 1:
        return None, f"The runs are on data of other columns, so their samples share no picture.{note}"
    shape = abouts[0].image_shape
    if shape:
        return _pictures(shown, shape), f"The first generated pictures of every run.{note}"
    rows = {i: _rows(subject, "generated") for i, subject in shown}
    test = np.concatenate([_rows(subject, "test") for _, subject in shown])
    dim = test.shape[1]
    if dim == 1:
        return _densities(shown, rows, test), f"Histograms of test rows (grey) and generated rows.{note}"
    columns = abouts[0].columns
    centre = test.mean(axis=0) if dim > 2 else np.zeros(dim)
    directions = principal_directions(test)
    names = columns if dim == 2 else ("first principal component", "second principal component")
    says = (
        "Test rows and generated rows in data units."
        if dim == 2
        else f"Projections of the {dim} columns on the first two principal components of the pooled "
        "test rows of the runs; data units."
    )
    plane = {i: (own - centre) @ directions for i, own in rows.items()}
    test_plane = {i: (_rows(subject, "test") - centre) @ directions for i, subject in shown}
    return _planes(shown, plane, test_plane, names), says + note


def _has_samples(subject: Subject) -> bool:
    return subject.record.sample_rows is not None


def _rows(subject: Subject, part: str) -> Array:
    frame = subject.record.sample_rows
    assert frame is not None  # asked before
    return frame[frame.part == part].drop(columns="part").to_numpy(dtype=float)


def _pictures(shown: list[tuple[int, Subject]], shape: tuple[int, int]) -> Figure:
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(9.5, 1.9 * down + 0.1))
    for place, (i, subject) in enumerate(shown, start=1):
        axes = figure.add_subplot(down, across, place)
        axes.imshow(tiles(_rows(subject, "generated")[:TILES], shape), cmap="gray_r")
        axes.set_title(subject.label, fontsize=9.5, color=colour(i))
        axes.axis("off")
    figure.tight_layout()
    return figure


def _densities(shown: list[tuple[int, Subject]], rows: dict[int, Array], test: Array) -> Figure:
    figure = Figure(figsize=(9.5, 3.2))
    axes = figure.add_subplot()
    unit = unit_of(test)
    test = test / unit
    low, high = np.quantile(test, [0.002, 0.998])
    bins = [float(edge) for edge in np.linspace(low, high, 41)]
    axes.hist(test[:, 0], bins, density=True, color=GREY, alpha=0.4, label="test rows")
    for i, subject in shown:
        axes.hist(
            rows[i][:, 0] / unit, bins, density=True, histtype="step", color=colour(i), label=subject.label
        )
    axes.legend(fontsize=8)
    figure.tight_layout()
    return figure


def _planes(
    shown: list[tuple[int, Subject]], rows: dict[int, Array], test: dict[int, Array], names: Any
) -> Figure:
    across = min(3, len(shown) + 1)
    down = -(-(len(shown) + 1) // across)
    figure = Figure(figsize=(9.5, 9.5 / across * down))
    pooled = np.concatenate(list(test.values()))
    units = np.array([unit_of(column) for column in pooled.T])
    pooled, names = pooled / units, [labelled(name, unit) for name, unit in zip(names, units, strict=True)]
    low, high = np.quantile(pooled, [0.002, 0.998], axis=0)
    margin = 0.15 * (high - low)
    panels = [("test rows", pooled, GREY)]
    panels += [(subject.label, rows[i] / units, colour(i)) for i, subject in shown]
    for place, (title, points, shade) in enumerate(panels, start=1):
        axes = figure.add_subplot(down, across, place)
        frame = pd.DataFrame(points).drop_duplicates()  # runs on the same data pool the same rows
        axes.scatter(frame[0], frame[1], s=4, alpha=0.5, linewidths=0, color=shade)
        axes.set_title(f"{title} ({len(frame)} rows)", fontsize=9.5)
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
        axes.set_xlabel(names[0])
        if place % across == 1 or across == 1:
            axes.set_ylabel(names[1])
    figure.tight_layout()
    return figure
