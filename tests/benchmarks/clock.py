"""A clock that counts work in place of time, so that a budget is kept to alike on every machine."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class WorkClock(TorchDispatchMode):
    """Seconds by torch's operations inside, forward and backward: a fixed cost, and one for each number.

    Args:
        operation: seconds of each.
        number: seconds of every number that one makes.
    """

    def __init__(self, operation: float = 1e-4, number: float = 2e-9) -> None:
        super().__init__()
        self.operation, self.number, self.seconds = operation, number, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        values = made if isinstance(made, tuple | list) else (made,)
        count = sum(value.numel() for value in values if isinstance(value, torch.Tensor))
        self.seconds += self.operation + self.number * count
        return made

    def __call__(self) -> float:
        """The time."""
        return self.seconds
