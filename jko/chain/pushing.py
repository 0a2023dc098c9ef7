"""Rows that a block pushed, as they are stored."""

from __future__ import annotations

from typing import TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jko.core.errors import NumericalError
from jko.maps.invertible import InvertibleBlock

#: rows pushed at a time
BATCH = 8192
Scalar = TypeVar("Scalar", bound=np.generic)


def finite(pushed: Tensor, k: int) -> Tensor:
    """Rows that block k pushed, unless some are not finite.

    Raises:
        NumericalError: some are.
    """
    if not torch.isfinite(pushed).all():
        raise NumericalError(
            "pushed samples are not finite", block=k,
            remedy="lower training.learning_rate or raise solver.steps",
        )  # fmt: skip
    return pushed


def as_stored(pushed: Tensor, k: int) -> Tensor:
    """Rows that block k pushed in float32, in which they are stored.

    Raises:
        NumericalError: some are not finite.
    """
    return finite(pushed, k).detach().float()


@torch.no_grad()
def push_rows(block: InvertibleBlock, rows: Tensor, k: int) -> Tensor:
    """Some rows pushed through block k, as they are stored.

    Raises:
        NumericalError: some images are not finite.
    """
    return as_stored(block.push_forward(rows), k)


@overload
def to_numpy(values: Tensor) -> NDArray[np.float64]: ...
@overload
def to_numpy(values: Tensor, dtype: type[Scalar]) -> NDArray[Scalar]: ...
def to_numpy(values: Tensor, dtype: type[np.generic] = np.float64) -> NDArray[np.generic]:
    """A tensor as an array on the host."""
    return values.detach().cpu().numpy().astype(dtype)
