"""What a page shows of a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.figure import Figure

from jko.core.display import figure as text_of


class Picture(NamedTuple):
    """A picture of the report.

    Args:
        name: of its file, without an ending.
        title: of what it is.
        alt: what it shows, for those who do not see it.
        figure: the picture.
    """

    name: str
    title: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Line:
    """What is said of a column below the pictures.

    Args:
        name: of the column.
        kind: in words.
        distance: total variation of data and samples over the bins of its picture; ``None`` for none.
        chance: its mean if both were of one law.
        least: nats by which the model is known to be wrong in it; ``None`` where that was not asked.
        empty: share of empty cells in data and samples.
    """

    name: str
    kind: str
    distance: float | None
    chance: float | None
    least: float | None
    empty: tuple[float, float]

    @property
    def words(self) -> str:
        """How far data and samples are apart, short."""
        if self.least:
            return f"wrong by ≥ {text_of(self.least)} nats"
        if self.distance is None or self.chance is None:
            return "nothing to compare"
        return f"apart {100 * self.distance:.1f} % (chance {100 * self.chance:.1f})"

    @property
    def rank(self) -> tuple[float, float]:
        """The worst first: by nats that are known, then by the distance beyond chance."""
        if self.distance is None or self.chance is None:
            return -(self.least or 0.0), math.inf
        return -(self.least or 0.0), self.chance - self.distance


@dataclass(frozen=True)
class TableSection:
    """What a page shows of a table.

    Args:
        pictures: single columns first, the worst before others, then pairs, then empty cells.
        lines: of all columns, in the order of the pictures.
        notes: sentences on what is left out.
    """

    pictures: tuple[Picture, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
