"""Cells beyond the range that a column was seen to have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jko.columns.cells import read_cells
from jko.columns.column import Column, Seen, Values
from jko.columns.dates import Dates
from jko.columns.missing import bare
from jko.columns.schema import Schema


def outside(schema: Schema, cells: Mapping[str, Values]) -> tuple[float, dict[str, float]]:
    """Share of rows with a number or a date beyond the range of the rows that kinds were told from.

    Args:
        schema: the kinds, with what was seen.
        cells: of the columns that samples hold, by name.

    Returns:
        The share of rows, and that of the cells of every column that has some.
    """
    found = {column.name: _beyond(column, cells[column.name]) for column in schema.kept}
    found = {name: beyond for name, beyond in found.items() if beyond.any()}
    if not found:
        return 0.0, {}
    rows = float(np.any(list(found.values()), axis=0).mean())
    return rows, {name: float(beyond.mean()) for name, beyond in found.items()}


def told_outside(schema: Schema, cells: Mapping[str, Values]) -> str:
    """That share as a sentence, with the columns that have the most."""
    rows, columns = outside(schema, cells)
    if not columns:
        return "every sample is within the range of the training rows"
    most = sorted(columns, key=lambda name: -columns[name])[:4]
    listed = ", ".join(f"{name} {100 * columns[name]:.2g} %" for name in most)
    more = f" and {len(columns) - len(most)} more columns" if len(columns) > len(most) else ""
    return f"{100 * rows:.2g} % of the samples are outside the range of the training rows: {listed}{more}"


def _beyond(column: Column, cells: Values) -> NDArray[np.bool_]:
    seen = column.seen
    if seen is None or seen.low is None or seen.high is None or not column.width:
        return np.zeros(len(cells), dtype=bool)
    own = read_cells(cells)
    found = np.zeros(len(cells), dtype=bool)
    found[own.present] = _beyond_seen(bare(column), seen, own.there)
    return found


def _beyond_seen(column: Column, seen: Seen, cells: Values) -> NDArray[np.bool_]:
    """The same of cells none of which is empty, with ends that are known."""
    if isinstance(column, Dates):
        moments = column.moments(cells)
        dates: NDArray[np.bool_] = (moments < np.datetime64(str(seen.low))) | (
            moments > np.datetime64(str(seen.high))
        )
        return dates
    if cells.dtype.kind not in "iuf":
        return np.zeros(len(cells), dtype=bool)
    numbers = cells.astype(float)
    low, high = (float(str(end)) for end in (seen.low, seen.high))
    beyond: NDArray[np.bool_] = (numbers < low) | (numbers > high)
    return beyond
