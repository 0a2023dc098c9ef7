"""The columns that say most about each other, pair by pair: data below the diagonal, samples above it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from jko.core.rows import drawn
from jko.statistics.association import Association
from tasks.report.drawing import DATA, MODEL, short_name
from tasks.report.table.look import Array, Look, Side
from tasks.report.table.panel import shares_of
from tasks.report.table.ticks import places_of, words_at

#: columns at most
MOST = 8
#: rows of either side from which cells are shaded; fewer are points
SHADED = 600
#: inches of a pair, between ticks and names, and of a letter of a tick
CELL, NAMES, LETTER = 1.1, 0.36, 0.06
#: letters of a level and of a name
LETTERS, NAME = 8, 16
SMALL = 6.5
#: half of the width that points of one level are spread over
SPREAD = 0.32
#: from no rows to most, for data and samples
SHADES = {
    DATA: LinearSegmentedColormap.from_list("data", ["#ffffff", DATA, "#0d2c44"]),
    MODEL: LinearSegmentedColormap.from_list("samples", ["#ffffff", MODEL, "#5a1220"]),
}


def most_dependent(values: Array, most: int = MOST) -> list[int]:
    """The columns of the pairs that say most about each other, in the order of the table.

    Pairs come in from the one with most on, until there are so many columns.

    Args:
        values: of all pairs, shape (d, d); NaN where nothing is known.
        most: columns at most.
    """
    count = len(values)
    if count <= most:
        return list(range(count))
    above = np.nan_to_num(np.triu(values, 1), nan=-np.inf)
    above[np.tril_indices(count)] = -np.inf
    found: dict[int, None] = {}
    for flat in np.argsort(-above, axis=None, kind="stable"):
        for place in divmod(int(flat), count):
            if len(found) < most:
                found[place] = None
        if len(found) == most:
            break
    return sorted(found)


def pair_plot(looks: Sequence[Look], information: Association, called: str = "data") -> Figure:
    """Pairs of columns: those of the data below the diagonal, those of samples above it.

    A shade is a share of the rows, on one scale for a pair of data and its mirror image of samples.

    Args:
        looks: of all columns, two or more.
        information: mutual information in the data.
        called: what the data are.
    """
    shown = [looks[place] for place in most_dependent(information.values)]
    count = len(shown)
    ticks = NAMES + LETTER * max(len(word) for look in shown for word in line_ticks(look)[1])
    wide, high = CELL * count + ticks + 0.06, CELL * count + ticks + 0.3
    figure = Figure(figsize=(wide, high))
    grid = figure.subplots(
        count, count, gridspec_kw={
            "left": ticks / wide, "bottom": ticks / high, "right": 1 - 0.06 / wide, "top": 1 - 0.3 / high,
            "wspace": 0.08, "hspace": 0.08,
        }, squeeze=False,
    )  # fmt: skip
    for (i, j), axes in np.ndenumerate(grid):
        if i == j:
            _own(axes, shown[i])
        else:
            _pair(axes, shown[j], shown[i], of_data=bool(i > j))
        _ticks(axes, shown[j], shown[i], bottom=i == count - 1, left=j == 0)
        axes.xaxis.set_label_coords(0.5, 0.22 - ticks)
        axes.yaxis.set_label_coords(0.2 - ticks, 0.5)
    handles = [
        Patch(color=DATA, label=f"{called}, below the diagonal"),
        Patch(color=MODEL, label="samples, above it"),
    ]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(ticks / wide, 1), ncols=2, fontsize=8,
        handlelength=1, borderaxespad=0.3,
    )  # fmt: skip
    return figure


def _own(axes: Axes, look: Look) -> None:
    """The column itself, data filled and samples as a line."""
    slots, bins = shares_of(look)
    first = look.first

    def line(name: str) -> Array:
        atoms, others = getattr(slots, name), getattr(bins, name)
        return np.r_[atoms[:first], others, atoms[first:]]

    edges = np.arange(look.length + 1) - 0.5
    both = [np.sqrt(line(name)) for name in ("data", "samples")]  # so that bins are seen beside atoms
    axes.stairs(both[0], edges, fill=True, color=DATA, alpha=0.45, lw=0)
    axes.stairs(both[1], edges, color=MODEL, lw=1.1)
    axes.set_ylim(0, 1.32 * max(map(np.max, both)) or 1.0)
    name = short_name(look.label, NAME)
    axes.text(0.5, 0.97, name, ha="center", va="top", transform=axes.transAxes, fontsize=7.5, weight="bold")


def _pair(axes: Axes, across: Look, up: Look, *, of_data: bool) -> None:
    """Rows of two columns: shaded by their number, or as points where they are few."""
    sides = [(across.data, up.data), (across.samples, up.samples)]
    lines = [_both(across, x, up, y) for x, y in sides]
    place, colour = (0, DATA) if of_data else (1, MODEL)
    if min(map(len, lines)) >= SHADED:
        shares = [_shares(line, across, up) for line in lines]
        highest = max(float(share.max()) for share in shares)
        power = 0.5 if across.bins or up.bins else 1.0  # so that thin tails are seen
        axes.imshow(
            shares[place].T, cmap=SHADES[colour], norm=PowerNorm(power, 0, highest), origin="lower",
            aspect="auto", interpolation="nearest",
        )  # fmt: skip
        return
    some = drawn(lines[place], min(SHADED, *(max(len(line), 1) for line in lines)))
    random = np.random.default_rng(0)
    points = np.column_stack([_spread(some[:, k], look, random) for k, look in enumerate((across, up))])
    axes.scatter(points[:, 0], points[:, 1], s=4, color=colour, alpha=0.5, linewidths=0)


def _both(across: Look, x: Side, up: Look, y: Side) -> Array:
    """Places of the rows that have both cells on the axes, shape (n, 2)."""
    found = np.column_stack([across.line(x), up.line(y)])
    return found[~np.isnan(found).any(axis=1)]


def _shares(line: Array, across: Look, up: Look) -> Array:
    edges = [np.arange(look.length + 1) - 0.5 for look in (across, up)]
    counts = np.histogram2d(line[:, 0], line[:, 1], edges)[0]
    return counts / max(len(line), 1)


def _spread(places: Array, look: Look, random: np.random.Generator) -> Array:
    """Places of points, those of one level or atom beside each other."""
    own = (places < look.first - 0.5) | (places > look.first + look.bins - 0.5)
    return places + own * random.uniform(-SPREAD, SPREAD, len(places))


def _ticks(axes: Axes, across: Look, up: Look, *, bottom: bool, left: bool) -> None:
    """Ticks and names at the left and below alone; the places are those of :meth:`Look.line`."""
    axes.grid(visible=False)
    axes.set_xlim(-0.5, across.length - 0.5)
    for spine in axes.spines.values():
        spine.set(visible=True, lw=0.5, color="#c3ccd5")
    axes.tick_params(labelsize=SMALL, length=0, pad=2)
    axes.set_xticks(*(line_ticks(across) if bottom else ([], [])))
    if bottom:
        axes.tick_params(axis="x", rotation=90)
        axes.set_xlabel(short_name(across.label, NAME), fontsize=7.5)
    if across is up:  # its height is a share
        axes.set_yticks([])
    else:
        axes.set_ylim(-0.5, up.length - 0.5)
        axes.set_yticks(*(line_ticks(up) if left else ([], [])))
    if left:
        axes.set_ylabel(short_name(up.label, NAME), fontsize=7.5)


def line_ticks(look: Look) -> tuple[list[float], list[str]]:
    """Ticks of levels, atoms and numbers on the line of :meth:`Look.line`."""
    words = words_at(look, LETTERS)
    places = [float(i + (look.bins if i >= look.first else 0)) for i in range(len(words))]
    if not look.bins:
        return places, words
    ticks, texts = places_of(look, 3)
    steps = np.interp(ticks, look.edges, np.arange(look.bins + 1.0)) + look.first - 0.5
    kept = _apart_from([*steps], places, look.length)
    return [*places, *(steps[k] for k in kept)], [*words, *(texts[k] for k in kept)]


def _apart_from(steps: Sequence[float], places: Sequence[float], length: int) -> list[int]:
    """Ticks of numbers that no atom's tick is beside."""
    return [k for k, step in enumerate(steps) if all(abs(step - place) > 0.09 * length for place in places)]
