"""Empty cells: their share in every column, and which are empty together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tasks.report.drawing import DATA, MODEL, short_name
from tasks.report.table.look import Array, Marks
from tasks.report.table.ticks import share_ticks

#: columns and patterns that are drawn at most
MOST, MOST_PATTERNS = 24, 10
#: percent of the rows that a pattern needs to be drawn
RARE = 0.5
INK = "#1f2933"


@dataclass(frozen=True)
class Holes:
    """Where cells are empty, in the columns that have such ones.

    Args:
        names: of the columns, most empty cells first.
        data: shape (m, columns).
        samples: shape (M, columns).
    """

    names: tuple[str, ...]
    data: Marks
    samples: Marks

    @property
    def shares(self) -> tuple[Array, Array]:
        """Share of the cells of every column that are empty, in data and samples, percent."""
        return 100 * self.data.mean(axis=0), 100 * self.samples.mean(axis=0)

    def patterns(self) -> tuple[Marks, Array, Array]:
        """The commonest patterns of empty cells, with their shares in data and samples, percent."""
        both = np.concatenate([self.data, self.samples])
        kinds, which = np.unique(both, axis=0, return_inverse=True)
        own, drawn = which.ravel()[: len(self.data)], which.ravel()[len(self.data) :]
        shares = [100 * np.bincount(part, minlength=len(kinds)) / max(len(part), 1) for part in (own, drawn)]
        larger = np.maximum(*shares)
        best = np.argsort(-larger, kind="stable")[:MOST_PATTERNS]
        best = best[larger[best] >= min(RARE, larger.max())]
        return kinds[best], shares[0][best], shares[1][best]


def holes_of(names: Sequence[str], data: Marks, samples: Marks) -> Holes | None:
    """The columns with empty cells; ``None`` where there are none.

    Args:
        names: of all columns.
        data: whether each cell is empty, shape (m, d).
        samples: the same of the samples, shape (M, d).
    """
    share = np.maximum(data.mean(axis=0), samples.mean(axis=0)) if len(data) and len(samples) else np.zeros(0)
    some = [int(place) for place in np.argsort(-share, kind="stable") if share[place] > 0]
    if not some:
        return None
    return Holes(tuple(names[place] for place in some), data[:, some], samples[:, some])


def empty_shares(holes: Holes, called: str = "data") -> Figure:
    """The share of empty cells in every column."""
    shares = [share[:MOST] for share in holes.shares]
    figure = Figure(figsize=(4.2, 1.25 + 0.3 * len(shares[0])))
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - 0.22 / figure.get_figheight()))
    axes = figure.add_subplot()
    _pairs(axes, shares, (len(holes.data), len(holes.samples)))
    axes.set_yticks(range(len(shares[0])), [short_name(name, 22) for name in holes.names[:MOST]], fontsize=8)
    axes.set(xlabel="% of cells that are empty", ylabel="column")
    _legend(figure, called)
    return figure


def empty_patterns(holes: Holes, called: str = "data") -> Figure:
    """The commonest patterns of empty cells."""
    kinds, *shares = holes.patterns()
    names = holes.names[:MOST]
    down, across = len(kinds), len(names)
    figure = Figure(figsize=(3.4 + 0.22 * across, 2.1 + 0.3 * down))
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - 0.22 / figure.get_figheight()))
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [0.22 * across + 0.1, 2.2]})
    rows, columns = np.indices((down, across)).reshape(2, -1)
    empty = kinds[:, :across].ravel()
    left.scatter(columns[~empty], rows[~empty], s=14, color="#dfe5eb", marker="s", lw=0)
    left.scatter(columns[empty], rows[empty], s=42, color=INK, marker="s", lw=0)
    left.set_xticks(range(across), [short_name(name) for name in names], rotation=90, fontsize=8)
    left.set_yticks([])
    left.set(
        xlim=(-0.6, across - 0.4), ylim=(down - 0.4, -0.6), xlabel="column", ylabel="pattern (dark: empty)"
    )
    left.grid(visible=False)
    _pairs(right, shares, (len(holes.data), len(holes.samples)))
    right.set_yticks([])
    right.set(xlabel="% of rows", ylabel="")
    _legend(figure, called)
    return figure


def _pairs(axes: Axes, shares: Sequence[Array], rows: tuple[int, int]) -> None:
    """Lying bars of data and samples, with two standard errors of the difference."""
    where = np.arange(len(shares[0]))
    pooled = (shares[0] * rows[0] + shares[1] * rows[1]) / sum(rows)
    errors = 2 * np.sqrt(pooled * (100 - pooled) * (1 / rows[0] + 1 / rows[1]))
    axes.barh(where - 0.2, shares[0], 0.4, color=DATA, alpha=0.55, lw=0)
    axes.barh(where + 0.2, shares[1], 0.36, color="none", edgecolor=MODEL, lw=1.4)
    axes.hlines(where - 0.2, np.maximum(shares[0] - errors, 0), shares[0] + errors, color=INK, lw=0.9)
    axes.set_ylim(len(where) - 0.4, -0.6)
    share_ticks(axes, 1.05 * float(np.r_[shares[0] + errors, shares[1]].max()) or 1.0, along_x=True)
    axes.grid(visible=False, axis="y")
    axes.tick_params(labelsize=8, length=2)


def _legend(figure: Figure, called: str) -> None:
    handles = [Patch(fc=DATA, alpha=0.55, label=called), Patch(fc="none", ec=MODEL, lw=1.4, label="samples")]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8, handlelength=1,
        borderaxespad=0.2,
    )  # fmt: skip
