"""Cells that are held at a value, while other columns move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jko.columns.column import Values
from jko.columns.schema import SMALLEST
from jko.preparation.table import Array

Rows = NDArray[np.int64]


class Encodes(Protocol):
    """What turns cells and noise into encoded numbers: a kind, or an interval."""

    @property
    def noise_width(self) -> int:
        """How many uniform numbers a cell takes."""

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """As :meth:`jko.columns.column.Column.encode`."""


@dataclass(frozen=True)
class HeldColumn:
    """One column of a table that has a cell in some rows.

    Args:
        name: of the column.
        column: its kind.
        place: of its encoded numbers.
        cells: one for each row; what stands where there is none does not count.
        present: which rows have one, shape (rows,).
    """

    name: str
    column: Encodes
    place: slice
    cells: Values
    present: NDArray[np.bool_]


class Held:
    r"""The cells that are known of some rows, and the noise by which they become numbers.

    A cell x is the set of all z = encode(x, u) with u uniform. So a known cell is held, and its noise u moves
    with the other columns. With log_det of the encoding, which is −log q(z | x),

    .. math:: P(x, y_B) = E_u\bigl[p(z(x, u), y_B)\, e^{\log\det(x, u)}\bigr]

    is the law over u and y_B that is sampled (:class:`jko.columns.column.Column`). A real number has no
    noise, and is where it is. Of a cell at the end of its grid, numbers beyond the end are not reached.

    Args:
        columns: with their cells.
        rows: how many.
        width: number of encoded columns.
    """

    def __init__(self, columns: Sequence[HeldColumn], rows: int, width: int) -> None:
        self.columns, self.width = tuple(columns), width
        self.mask = np.zeros((rows, width), dtype=bool)
        for own in self.columns:
            self.mask[own.present, own.place] = True
        noisy = [own.present & (own.column.noise_width > 0) for own in self.columns]
        self.noisy = np.stack(noisy, axis=1) if noisy else np.zeros((rows, 0), dtype=bool)

    def draw(self, rows: Rows, rng: np.random.Generator) -> tuple[Array, Array]:
        """Encoded numbers of the cells of some rows, with fresh noise.

        Args:
            rows: their numbers; a row may be there often.
            rng: of the noise.

        Returns:
            Shape (n, d), zero where nothing is held, and log_det of every column, shape (n, columns).
        """
        y, log_det = np.zeros((len(rows), self.width)), np.zeros((len(rows), len(self.columns)))
        for at in range(len(self.columns)):
            self.redraw(y, log_det, rows, at, rng)
        return y, log_det

    def redraw(self, y: Array, log_det: Array, rows: Rows, at: int, rng: np.random.Generator) -> None:
        """Fresh noise for one column of some rows, in place.

        Args:
            y: encoded numbers, shape (n, d).
            log_det: of every column, shape (n, columns).
            rows: their numbers, shape (n,).
            at: number of the column.
            rng: of the noise.
        """
        own = self.columns[at]
        there = np.flatnonzero(own.present[rows])
        if len(there):
            noise = np.clip(rng.random((len(there), own.column.noise_width)), SMALLEST, 1 - SMALLEST)
            y[there, own.place], log_det[there, at] = own.column.encode(own.cells[rows[there]], noise)
