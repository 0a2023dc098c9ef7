"""A table as people have it, before anything is told of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jko.columns.cells import Cells, Dtype
from jko.preparation.table import Array, Marks


@dataclass(frozen=True)
class Whole:
    """A table as people have it, before anything is told of its columns.

    Args:
        name: what the data set is called.
        place: what it is called in sentences.
        cells: of its columns by name.
        notes: on how it was read.
        marks: of its numbers, where it is a file that shows some.
        context: what rows are conditioned on, where that is given apart, shape (rows, c).
        context_columns: names of the context: of that, or of columns among the cells.
        dtypes: types that columns come back with, where these are none of numpy's.
    """

    name: str
    place: str
    cells: Mapping[str, Cells]
    notes: tuple[str, ...] = ()
    marks: Marks | None = None
    context: Array | None = None
    context_columns: tuple[str, ...] = ()
    dtypes: Mapping[str, Dtype] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(next(iter(self.cells.values())).values) if self.cells else 0


def part_of(cells: Cells, rows: NDArray[np.generic]) -> Cells:
    """Some rows of a column."""
    return Cells(cells.values[rows], cells.present[rows], cells.order)
