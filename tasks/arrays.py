"""Rows that a block pushed, as they are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jko.errors import NumericalError


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


def to_numpy(values: Tensor, dtype: Any = np.float64) -> NDArray[Any]:
    """A tensor as an array on the host."""
    return values.detach().cpu().numpy().astype(dtype)
