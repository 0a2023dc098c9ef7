"""Sets of encoded rows: where the cells lie that fulfil conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jko.columns.noise import nearest_corner, on_line, turns_of
from jko.preparation.table import Array

#: closed intervals
Ends = tuple[tuple[float, float], ...]
Inside = NDArray[np.bool_]


class Region(Protocol):
    """A set of rows of a column's encoded numbers."""

    def inside(self, z: Array) -> Inside:
        """Which rows lie in it, of shape (n, width) to (n,)."""


@dataclass(frozen=True)
class Intervals:
    """Intervals of one encoded column.

    Args:
        ends: of each, both of them in it.
    """

    ends: Ends

    def inside(self, z: Array) -> Inside:
        """See :class:`Region`."""
        return in_ends(z[:, 0], self.ends)


@dataclass(frozen=True)
class Corners:
    """Regions around corners of a simplex (:func:`jko.columns.noise.nearest_corner`).

    Args:
        codes: of the corners.
    """

    codes: tuple[int, ...]

    def inside(self, z: Array) -> Inside:
        """See :class:`Region`."""
        return np.isin(nearest_corner(z), self.codes)


@dataclass(frozen=True)
class Sectors:
    """Directions in the plane.

    Args:
        ends: of intervals of turns in [0, 1].
    """

    ends: Ends

    def inside(self, z: Array) -> Inside:
        """See :class:`Region`."""
        return in_ends(turns_of(z), self.ends)


@dataclass(frozen=True)
class WithAtoms:
    """Some atoms, whatever stands beside them; and no atom, with a value from a region.

    Args:
        codes: of the atoms.
        count: K of them; the code K is that of no atom.
        value: where the value lies then; ``None`` where it cannot be.
        line: whether the codes are intervals of a line, and no regions around corners.
    """

    codes: tuple[int, ...]
    count: int
    value: Region | None
    line: bool = False

    def inside(self, z: Array) -> Inside:
        """See :class:`Region`."""
        places = 1 if self.line else self.count
        which = on_line(z[:, 0], self.count) if self.line else nearest_corner(z[:, :places])
        found: Inside = np.isin(which, self.codes)
        if self.value is not None:
            found |= (which == self.count) & self.value.inside(z[:, places:])
        return found


@dataclass(frozen=True)
class Everywhere:
    """All rows."""

    def inside(self, z: Array) -> Inside:
        """See :class:`Region`."""
        return np.ones(len(z), dtype=bool)


@dataclass(frozen=True)
class Constraint:
    """What conditions leave of the encoded numbers of one column.

    Numbers z lie in the region exactly where the cell that they decode to fulfils the conditions; of a
    single real number that is rounded to decimals, the region is the number itself.

    Args:
        region: where they lie.
        cell: the only cell that fulfils the conditions, where there is one.
        thin: whether the region has mass zero, as that of one real number has.
    """

    region: Region
    cell: object | None = None
    thin: bool = False


def in_ends(numbers: Array, ends: Ends) -> Inside:
    """Which numbers lie in one of some closed intervals."""
    found = np.zeros(len(numbers), dtype=bool)
    for low, high in ends:
        found |= (numbers >= low) & (numbers <= high)
    return found
