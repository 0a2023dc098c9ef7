"""Rows as they come from a source, before splitting and scaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from jko.config.data_section import Data

if TYPE_CHECKING:  # it loads much, and a table that is looked at needs nothing of it
    from jko.laws.densities import Estimate

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Marks:
    """What stands before decimals and between thousands; empty for nothing."""

    decimal: str = "."
    thousands: str = ""


@dataclass(frozen=True)
class Table:
    """Numeric rows of one source.

    Args:
        name: what the data set is called.
        rows: shape (rows, d), data units.
        columns: d names.
        notes: what was left out or dropped, as sentences.
        entropy: differential entropy of the law in nats, where known.
        grid: grid step of all columns, where the source knows it; else it is looked for.
        image_shape: (height, width) if a row is a picture.
        context: what every row is conditioned on, shape (rows, c), data units; ``None`` for nothing.
        context_columns: c names; ``class=0``, ``class=1``, … for classes, a one in the column of the class.
        marks: of its numbers, where it is a file that shows some.
    """

    name: str
    rows: Array
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    entropy: Estimate | None = None
    grid: float | None = None
    image_shape: tuple[int, int] | None = None
    context: Array | None = None
    context_columns: tuple[str, ...] = ()
    marks: Marks | None = None


class Source(Protocol):
    """Loads the rows that the settings describe."""

    def __call__(self, settings: Data, seed: int) -> Table:
        """Load; draws of toy laws depend on the seed alone."""
