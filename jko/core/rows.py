"""What training asks of its rows, and samples of rows.

A tensor has what is asked, and so may rows that do not fit into memory.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

#: a tensor or an array, shape (rows, …)
Many = TypeVar("Many", bound=Any)


class Rows(Protocol):
    """Rows of shape (rows, d) that are drawn by their numbers."""

    @property
    def device(self) -> torch.device:
        """Where the rows given out are."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        """The rows with these numbers, shape (len(indices), d)."""


def drawn(values: Many, most: int | None = None) -> Many:
    """Rows in a random order, at most so many; values of equal length keep their rows together.

    Rows come in the order of their file, which may be sorted: its beginning is no sample of it.

    >>> [int(row) for row in drawn(np.arange(5), 3)]
    [2, 4, 3]
    """
    order = np.random.default_rng(0).permutation(len(values))[:most]
    found: Many = values[order]
    return found


def at_most(values: Many, most: int) -> Many:
    """All rows as they are, or a random sample of so many."""
    return values if len(values) <= most else drawn(values, most)
