"""What training asks of its rows: a tensor has it, and so may rows that do not fit into memory."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Rows(Protocol):
    """Rows of shape (rows, d) that are drawn by their numbers."""

    @property
    def device(self) -> torch.device:
        """Where the rows given out are."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        """The rows with these numbers, shape (len(indices), d)."""
