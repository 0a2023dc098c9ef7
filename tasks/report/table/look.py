"""How a column looks: the axis that its cells stand on, levels and atoms beside it, and the counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jko.statistics.association import Apart, total_variation

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Marks = NDArray[np.bool_]
#: what stands on the axis: nothing but levels, numbers, positive numbers by their logarithm, dates, a circle
Form = Literal["levels", "numbers", "log", "dates", "circle"]

#: bins of numbers where they are compared with other columns
COARSE = 8


@dataclass(frozen=True)
class Side:
    """The cells of a column, of data or of samples, row by row.

    Args:
        slots: number of the level or the atom, −1 for none, shape (rows,).
        places: place on the axis; NaN for levels, atoms and empty cells, shape (rows,).
    """

    slots: Codes
    places: Array

    @property
    def present(self) -> Marks:
        """Where there is a cell, shape (rows,)."""
        found: Marks = (self.slots >= 0) | ~np.isnan(self.places)
        return found

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return int(self.present.sum())


@dataclass(frozen=True)
class Counts:
    """How many cells stand where.

    Args:
        slots: of every level or atom.
        bins: of every bin.
        beyond: below the axis and above it.
    """

    slots: Codes
    bins: Codes
    beyond: Codes

    @property
    def all(self) -> Codes:
        """All of them, one after the other; the sum is the number of cells."""
        return np.concatenate([self.slots, self.bins, self.beyond])


@dataclass(frozen=True)
class Look:
    """A column of data and of samples on one axis.

    Args:
        name: of the column.
        kind: in words.
        label: of the axis: the name, with a power of ten where numbers are drawn in one.
        form: what stands on the axis.
        data: the cells of the data.
        samples: those of the samples.
        words: of the levels or atoms.
        first: how many atoms stand before the axis; the others stand behind it.
        edges: of the bins, ascending; none for levels. A circle is one turn from 0 to 1.
        turn: the first number of a circle, and its period.
        values: numbers of the levels or atoms where these are in an order; none else.
    """

    name: str
    kind: str
    label: str
    form: Form
    data: Side
    samples: Side
    words: tuple[str, ...] = ()
    first: int = 0
    edges: Array = field(default_factory=lambda: np.zeros(0))
    turn: tuple[float, float] = (0.0, 1.0)
    values: tuple[float, ...] = ()

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return max(len(self.edges) - 1, 0)

    @property
    def sides(self) -> tuple[Side, Side]:
        """Data and samples."""
        return self.data, self.samples

    @property
    def holes(self) -> bool:
        """Whether the data or the samples have empty cells."""
        return any(side.cells < len(side.slots) for side in self.sides)

    def counts(self, side: Side) -> Counts:
        """How many cells of a side stand where."""
        slots = np.bincount(side.slots[side.slots >= 0], minlength=len(self.words))
        if not self.bins:
            return Counts(slots, np.zeros(0, np.int64), np.zeros(0, np.int64))
        places = side.places[~np.isnan(side.places)]
        below, above = places < self.edges[0], places > self.edges[-1]
        bins = np.histogram(places, self.edges)[0].astype(np.int64)
        return Counts(slots, bins, np.array([below.sum(), above.sum()], dtype=np.int64))

    @property
    def ordered(self) -> bool:
        """Whether cells are in an order, so that they have ranks."""
        return self.form != "circle" and len(self.values) == len(self.words)

    def ranked(self, side: Side) -> Array:
        """Numbers in the order of the cells, NaN for empty ones."""
        values = np.array([*self.values, np.nan])
        return np.where(side.slots >= 0, values[side.slots], side.places)

    @property
    def apart(self) -> Apart:
        """How far data and samples are apart, over levels, atoms, bins and what is beyond the axis."""
        data, samples = (self.counts(side) for side in self.sides)
        return total_variation(data.all, samples.all)

    def line(self, side: Side) -> Array:
        """Places on a line on which every level, atom and bin is one long; NaN for empty cells and beyond.

        The atoms before the axis stand at 0, 1, …, then come the bins, then the other atoms.
        """
        found = np.full(len(side.slots), np.nan)
        if self.bins:
            inside = (side.places >= self.edges[0]) & (side.places <= self.edges[-1])
            steps = np.arange(self.bins + 1.0)
            found[inside] = self.first + np.interp(side.places[inside], self.edges, steps) - 0.5
        behind = self.bins * (side.slots >= self.first)
        return np.where(side.slots >= 0, side.slots + behind, found)

    @property
    def length(self) -> int:
        """The length of this line."""
        return len(self.words) + self.bins

    def coarse(self) -> tuple[Codes, Codes, int]:
        """Cells as a few numbers: every level or atom one, the others by the quantiles of the data.

        Returns:
            Those of data and samples, −1 for empty cells, and how many different ones there can be.
        """
        places = self.data.places[~np.isnan(self.data.places)]
        inner = np.arange(1, COARSE) / COARSE
        edges = np.unique(np.quantile(places, inner)) if len(places) and self.form != "circle" else inner
        count = len(self.words)

        def codes(side: Side) -> Codes:
            binned = count + np.searchsorted(edges, side.places, side="right")
            return np.where(np.isnan(side.places), side.slots, binned).astype(np.int64)

        return codes(self.data), codes(self.samples), count + len(edges) + 1
