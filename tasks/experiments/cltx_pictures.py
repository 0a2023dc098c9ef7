"""The pictures and the files of the experiment in :mod:`tasks.experiments.cltx`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jko.core.errors import InputError
from jko.disk.sealed import write_json
from tasks.adapters.system.output import write_whole
from tasks.experiments.cltx import CENTRES, Field, Trained
from tasks.experiments.cltx_records import Estimates, Level, Moment, Snapshot
from tasks.report.drawing import ACCENT, DATA, GREY, MODEL, STYLE

Array = NDArray[np.float64]
#: estimates below are drawn at the lower edge: debiased ones may be negative
FLOOR = 1e-3
#: data units a unit of ξ is drawn as
ARROW = 0.25


def prepare_folder(folder: Path) -> None:
    """Make the folder of the results before anything is computed.

    Raises:
        InputError: it cannot be one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: no folder can be made there ({error.strerror})") from None


def results(snapshots: Sequence[Snapshot], trained: Trained, level: Level) -> dict[str, object]:
    """All figures as JSON."""
    return {
        "snapshots": [one.plain() for one in snapshots],
        "training": [one.plain() for one in trained.moments],
        "exact_step": level.plain(),
    }


def write_results(folder: Path, snapshots: Sequence[Snapshot], trained: Trained, level: Level) -> list[Path]:
    """Write ``cltx.json`` and the pictures, each in one step; returns their paths."""
    paths = [folder / name for name in ("cltx.json", "curve.png", "norms.png", "quiver.png")]
    write_json(paths[0], results(snapshots, trained, level))
    with matplotlib.rc_context(STYLE):
        _save(curve(trained.moments, snapshots), paths[1])
        _save(norms(trained.moments, level), paths[2])
        _save(quiver(trained.fields), paths[3])
    return paths


def _save(figure: Figure, path: Path) -> None:
    """In one step; equal figures give equal bytes."""
    write_whole(path, lambda stream: figure.savefig(stream, format="png", metadata={"Software": None}))


def curve(moments: Sequence[Moment], snapshots: Sequence[Snapshot]) -> Figure:
    """ε² against training, by every estimator; the authors' snapshots beside it where there are any."""
    panels = 2 if snapshots else 1
    figure = Figure(figsize=(5.6 * panels + 0.6, 4.3))
    axes = figure.add_subplot(1, panels, 1)
    iterations = [moment.iteration for moment in moments]
    _lines(axes, iterations, moments)
    _roots(axes, iterations[-1])
    title = "our training" if snapshots else "ε² of one JKO block while it trains"
    axes.set(title=title, ylabel="ε² (± 2 SE)")
    axes.legend(fontsize=8, loc="upper right")
    if snapshots:
        beside = figure.add_subplot(1, panels, 2, sharey=axes)
        places, unit = _places([snapshot.name for snapshot in snapshots])
        _lines(beside, places, snapshots)
        beside.set(title="the snapshots", xlabel=unit)
    figure.tight_layout()
    return figure


def _roots(axes: Axes, last: int) -> None:
    """An axis of the roots of iterations, after all is drawn: the first ones do most of the work."""
    axes.set_xscale("function", functions=(lambda t: np.sqrt(np.maximum(t, 0)), np.square))
    axes.set_xticks([t for t in (0, 4, 16, 32, 64, 128, 256) if t <= last])
    axes.minorticks_off()
    axes.set_xlabel("iteration")


def _places(names: Sequence[str]) -> tuple[list[int], str]:
    """Percent of training where the names tell it, else the place in the file."""
    found = [re.search(r"_(\d+)_percent$", name) for name in names]
    if all(match or name == "p0" for match, name in zip(found, names, strict=True)):
        return [int(match[1]) if match else 0 for match in found], "percent of the training"
    return list(range(len(names))), "snapshot"


def _lines(axes: Axes, places: Sequence[float], entries: Sequence[Estimates]) -> None:
    def column(name: str) -> Array:
        return np.maximum([getattr(entry, name) for entry in entries], FLOOR)

    axes.plot(places, column("paper_kde"), "s-", ms=4, color=MODEL, label="the paper's statistic")
    axes.plot(places, column("paper_kde_l2"), "s--", ms=3, lw=1, color=MODEL, alpha=0.6,
              label="its estimate of E|ξ|²")  # fmt: skip
    if isinstance(entries[0], Moment):
        axes.plot(places, column("exact"), color="black", lw=1.2, label="exact, by the block's density")
    axes.plot(places, column("gaussian"), color=GREY, lw=5, alpha=0.5, label="closed form, fitted Gaussian")
    for name, colour, label in (
        ("critic", DATA, "affine critic"),
        ("critic_rbf", ACCENT, f"affine + {CENTRES} RBF critic"),
    ):
        values = np.array([getattr(entry, name) for entry in entries])
        error = np.array([2 * getattr(entry, f"{name}_se") for entry in entries])
        middle, lower, upper = (np.maximum(own, FLOOR) for own in (values, values - error, values + error))
        axes.errorbar(
            places, middle, yerr=[middle - lower, upper - middle], fmt="o", ms=4, capsize=2, lw=1,
            color=colour, label=label,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(FLOOR, 40)


def norms(moments: Sequence[Moment], level: Level) -> Figure:
    """The parts of ξ against training, as the paper measures them and exactly; ξ beside an exact step's."""
    figure = Figure(figsize=(11.8, 4.3))
    parts = figure.add_subplot(1, 2, 1)
    places = [moment.iteration for moment in moments]
    for name, colour, label in (
        ("gradient", DATA, "∇V + score"), ("transport", ACCENT, "(back − Id)/γ"), ("score", GREY, "score"),
    ):  # fmt: skip
        kernel = [getattr(moment, f"paper_{name}") for moment in moments]
        exact = [getattr(moment, f"exact_{name}") for moment in moments]
        parts.plot(places, kernel, "s--", ms=3, lw=1, color=colour, label=f"{label}, the paper's statistic")
        parts.plot(places, exact, "-", lw=1.5, color=colour, label=f"{label}, exact mean square")
    parts.set(title="what ξ is made of", ylim=(0, None))
    _roots(parts, places[-1])
    parts.legend(fontsize=8)
    whole = figure.add_subplot(1, 2, 2)
    whole.plot(places, [moment.paper_kde for moment in moments], "s-", ms=4, color=MODEL,
               label="ξ, the paper's statistic")  # fmt: skip
    low, high = (level.paper_kde + side * level.paper_kde_std for side in (-1, 1))
    whole.axhspan(low, high, color=GREY, alpha=0.3, lw=0)
    whole.axhline(level.paper_kde, color="black", ls="--", lw=1,
                  label=f"an exact step, {level.draws} draws (± 1 standard deviation)")  # fmt: skip
    whole.set(title="ξ beside an exact step's", yscale="log")
    _roots(whole, places[-1])
    whole.legend(fontsize=8)
    figure.tight_layout()
    return figure


def quiver(fields: Sequence[Field]) -> Figure:
    """ξ at held-out particles, exact above, as the paper estimates it below; one scale everywhere."""
    figure = Figure(figsize=(3.4 * len(fields) + 0.4, 7.0))
    for across, field in enumerate(fields, start=1):
        above = figure.add_subplot(2, len(fields), across)
        _arrows(above, field, field.xi.numpy(), DATA)
        above.set_title(f"iteration {field.iteration}: ε² = {field.epsilon_squared:.2g}")
        below = figure.add_subplot(2, len(fields), len(fields) + across)
        _arrows(below, field, field.xi_kernel.numpy(), MODEL)
        below.set_title(f"estimated as ε² = {field.paper_kde_l2:.2g}")
        if across == 1:
            above.set_ylabel("ξ, exact")
            below.set_ylabel("ξ, the paper's kernel estimate")
    figure.tight_layout()
    return figure


def _arrows(axes: Axes, field: Field, xi: Array, colour: str) -> None:
    y = field.y.numpy()
    axes.scatter(y[:, 0], y[:, 1], s=7, color=GREY, alpha=0.6, linewidths=0)
    axes.quiver(
        y[:, 0], y[:, 1], xi[:, 0], xi[:, 1], color=colour, angles="xy", scale_units="xy",
        scale=1 / ARROW, width=0.0045, headwidth=4, headlength=5, alpha=0.85,
    )  # fmt: skip
    axes.set(xlim=(-1.5, 6.5), ylim=(-1.5, 6.5), aspect="equal")
