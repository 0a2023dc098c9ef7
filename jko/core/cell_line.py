"""How the cells of a list lie on a line of numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CellLine:
    """The cells of a list on the line of one encoded column.

    Args:
        count: K cells: the unit intervals around 0 … K − 1, with uniform noise in them.
        halves: whether the two cells are the halves of the line, the negative one first, with half-normal
            noise.
    """

    count: int
    halves: bool = False


#: two cells as the halves of the line
HALVES = CellLine(2, halves=True)
