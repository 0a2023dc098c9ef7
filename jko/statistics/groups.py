"""Groups of rows by a column: one for every value of a few, else between quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Cells = NDArray[np.int64]
#: different values of a number that have a group each, at most, and else so many groups of as many rows
MOST_VALUES, PARTS = 10, 4
#: categories of text that have a group each, those of most rows
MOST_LABELS = 20


@dataclass(frozen=True)
class Groups:
    """How rows are divided by a column.

    Args:
        names: of the groups, such as ``dose = 2`` or ``age from 31 to 45``.
        values: of each group, where each is one value; else empty.
        edges: between the groups, where these are between quantiles; a row on an edge is in the upper one.
    """

    names: tuple[str, ...]
    values: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()

    def of(self, column: Array) -> Cells:
        """The number of the group of every row, shape (n,); −1 for none."""
        if not self.values:
            return np.searchsorted(np.array(self.edges), column, side="right").astype(np.int64)
        found = np.full(len(column), -1, np.int64)
        for at, value in enumerate(self.values):
            found[np.isclose(column, value, rtol=1e-6, atol=0)] = at
        return found


def groups_by(name: str, column: Array, labels: Sequence[str] = ()) -> Groups:
    """Divide rows by a column.

    Args:
        name: of the column.
        column: its values, shape (n,).
        labels: of the values 0, 1, …, where they stand for categories.
    """
    values, counts = np.unique(column, return_counts=True)
    if labels:
        kept = np.sort(values[np.argsort(-counts, kind="stable")][:MOST_LABELS])
        return Groups(tuple(f"{name} = {labels[int(one)]}" for one in kept), tuple(map(float, kept)))
    if len(values) <= MOST_VALUES:
        return Groups(tuple(f"{name} = {one:g}" for one in values), tuple(map(float, values)))
    inner = np.quantile(column, np.arange(1, PARTS) / PARTS)
    edges = [float(one) for one in np.unique(inner) if values[0] < one] or [float(values[1])]
    between = [f"{name} from {low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    names = (f"{name} below {edges[0]:.4g}", *between, f"{name} from {edges[-1]:.4g} on")
    return Groups(names, edges=tuple(edges))
