"""One column in a small picture: bars, a histogram, a rose, with atoms beside it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.projections.polar import PolarAxes

from tasks.report.drawing import DATA, MODEL, short_name
from tasks.report.table.look import Array, Look
from tasks.report.table.ticks import level_ticks, number_ticks, places_of, share_ticks, words_at

#: dots per inch, more than of other pictures, as the small ones are also shown larger
SHARP = 144
#: inches
WIDTH, HEIGHT = 3.3, 2.35
#: letters of a level from which bars lie
LYING = 4
#: of a name under an axis
NAME = 40
#: of what the data are
CALLED = 18
SOFT, INK = "#61707f", "#1f2933"
SMALL = 7.5
#: percent beyond the axis that are told
TRIFLE = 0.5


@dataclass(frozen=True)
class Shares:
    """Shares of the cells that stand somewhere, percent.

    Args:
        data: of the data.
        samples: of the samples.
        errors: standard errors of the difference where both are of one law, percentage points.
    """

    data: Array
    samples: Array
    errors: Array

    @property
    def highest(self) -> float:
        """What an axis has to reach."""
        tops = np.r_[self.high, self.samples, 0.0]
        return float(tops.max()) * 1.05 or 1.0

    @property
    def low(self) -> Array:
        """Two errors below the data, no share below 0."""
        return np.maximum(self.data - 2 * self.errors, 0)

    @property
    def high(self) -> Array:
        """Two errors above the data, no share above 100."""
        return np.minimum(self.data + 2 * self.errors, 100)

    def __getitem__(self, part: slice) -> Shares:
        return Shares(self.data[part], self.samples[part], self.errors[part])


def shares_of(look: Look) -> tuple[Shares, Shares]:
    """Shares of levels or atoms, and of bins."""
    counts, totals = [look.counts(side) for side in look.sides], [max(side.cells, 1) for side in look.sides]
    data, samples = (np.r_[own.slots, own.bins] / total for own, total in zip(counts, totals, strict=True))
    pooled = (data * totals[0] + samples * totals[1]) / sum(totals)
    errors = np.sqrt(pooled * (1 - pooled) * (1 / totals[0] + 1 / totals[1]))
    both = Shares(100 * data, 100 * samples, 100 * errors)
    return both[: len(look.words)], both[len(look.words) :]


def panel(look: Look, called: str = "data", note: str = "") -> Figure:
    """A column of data beside samples.

    Args:
        look: of the column.
        called: what the data are.
        note: words at the top right.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=SHARP)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 0.91), w_pad=0.03, h_pad=0.03)
    slots, bins = shares_of(look)
    if not look.bins:
        _levels(figure.add_subplot(), look, slots)
    else:
        _axis(_beside_atoms(figure, look, slots), look, bins)
    handles = [
        Patch(fc=DATA, alpha=0.55, label=short_name(called, CALLED)),
        Patch(fc="none", ec=MODEL, lw=1.4, label="samples"),
    ]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 1.01), ncols=2, fontsize=SMALL,
        handlelength=1, borderaxespad=0.1, columnspacing=1, handletextpad=0.4,
    )  # fmt: skip
    figure.text(0.99, 0.985, note, ha="right", va="top", fontsize=SMALL, color=SOFT)
    return figure


def _unit(look: Look) -> str:
    """Of what the shares are."""
    return "% of cells" if look.holes else "% of rows"


def _levels(axes: Axes, look: Look, shares: Shares) -> None:
    """Pairs of bars; lying where words are long."""
    words, name = words_at(look), short_name(look.label, NAME)
    upright = max(map(len, words)) < LYING or (len(words) <= 3 and max(map(len, words)) <= 8)
    _pairs(axes, shares, upright=upright)
    level_ticks(axes, words, along_x=upright)
    share_ticks(axes, shares.highest, along_x=not upright)
    axes.set(xlabel=name, ylabel=_unit(look)) if upright else axes.set(xlabel=_unit(look), ylabel=name)
    axes.grid(visible=False, axis="x" if upright else "y")
    _small(axes)


def _pairs(axes: Axes, shares: Shares, *, upright: bool) -> None:
    """A bar of the data and one of the samples for every level; whiskers of two errors of the difference."""
    where = np.arange(len(shares.data))
    draw = axes.bar if upright else axes.barh
    draw(where - 0.2, shares.data, 0.4, color=DATA, alpha=0.55, lw=0)
    draw(where + 0.2, shares.samples, 0.36, color="none", edgecolor=MODEL, lw=1.4)
    whiskers = axes.vlines if upright else axes.hlines
    whiskers(where - 0.2, shares.low, shares.high, color=INK, lw=0.9)


def _beside_atoms(figure: Figure, look: Look, slots: Shares) -> Axes:
    """The axes of the bins; those of the atoms, on a scale of their own, are drawn at their left."""
    polar = "polar" if look.form == "circle" else None
    count = len(look.words)
    if not count:
        return figure.add_subplot(projection=polar)
    grid = figure.add_gridspec(1, 2, width_ratios=[0.35 + 0.45 * min(count, 4), 3.2])
    axes = figure.add_subplot(grid[0, 0])
    _pairs(axes, slots, upright=True)
    level_ticks(axes, words_at(look, 8), along_x=True)
    share_ticks(axes, slots.highest)
    axes.set(xlabel="atom" if count == 1 else "atoms", ylabel=_unit(look))
    axes.grid(visible=False, axis="x")
    _small(axes)
    return figure.add_subplot(grid[0, 1], projection=polar)


def _axis(axes: Axes, look: Look, shares: Shares) -> None:
    axes.set_xlabel(short_name(look.label, NAME if not look.words else 28))
    axes.set_ylabel(_unit(look))
    if isinstance(axes, PolarAxes):
        _rose(axes, look, shares)
    else:
        _histogram(axes, look, shares)
        number_ticks(axes, look)
        share_ticks(axes, shares.highest)
        axes.set_title(
            beyond_words(look), loc="right", fontsize=SMALL, fontweight="normal", color=SOFT, pad=2
        )
    _small(axes)


def beyond_words(look: Look) -> str:
    """What share of the data and of the samples the axis does not hold, where it is no trifle."""
    shares = [100 * look.counts(side).beyond.sum() / max(side.cells, 1) for side in look.sides]
    if max(shares) < TRIFLE:
        return ""
    return f"beyond the axis: {shares[0]:.2g} and {shares[1]:.2g} %"


def _histogram(axes: Axes, look: Look, shares: Shares) -> None:
    edges = look.edges
    axes.stairs(shares.data, edges, fill=True, color=DATA, alpha=0.45, lw=0)
    axes.stairs(shares.samples, edges, color=MODEL, lw=1.4)
    middle = np.sqrt(edges[1:] * edges[:-1]) if look.form == "log" else (edges[1:] + edges[:-1]) / 2
    axes.vlines(middle, shares.low, shares.high, color=INK, lw=0.7, alpha=0.8)


def _rose(axes: PolarAxes, look: Look, shares: Shares) -> None:
    """Clockwise from the top, as a compass and a clock go; the radius is the share."""
    edges = 2 * np.pi * look.edges
    middle = (edges[1:] + edges[:-1]) / 2
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.bar(middle, shares.data, np.diff(edges), color=DATA, alpha=0.45, lw=0)
    fine = np.concatenate([np.linspace(*pair, 8) for pair in pairwise(edges)])
    axes.plot(
        np.r_[fine, fine[0]], np.r_[np.repeat(shares.samples, 8), shares.samples[0]], color=MODEL, lw=1.4
    )
    axes.vlines(middle, shares.low, shares.high, color=INK, lw=0.7, alpha=0.8)
    places, words = places_of(look)
    axes.set_xticks(2 * np.pi * places, words)
    axes.set_ylim(0, shares.highest)
    axes.set_yticks([shares.highest / 2], [f"{shares.highest / 2:.2g} %"])
    emptiest = int(np.argmin(np.maximum(shares.high, shares.samples)))
    axes.set_rlabel_position(float(np.degrees(middle[emptiest])))
    axes.tick_params(pad=0)
    axes.yaxis.labelpad = 24


def _small(axes: Axes) -> None:
    axes.tick_params(labelsize=SMALL, length=2)
    axes.xaxis.label.set_fontsize(8.5)
    axes.yaxis.label.set_fontsize(8.5)
