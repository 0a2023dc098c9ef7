"""The device that numbers are computed on, and what is read where it is not there."""

from __future__ import annotations

import torch

from jko.config import Config
from jko.core.errors import InputError


def require_device(config: Config) -> None:
    """Refuse a device that is not there, before anything is trained.

    Raises:
        InputError: torch cannot use it.
    """
    try:
        torch.zeros(1, device=config.runtime.device)
    except torch.OutOfMemoryError:
        return  # it is there, and busy
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:160]
        raise InputError(
            f"runtime.device = {config.runtime.device!r} is not usable here ({reason}); cpu always is"
        ) from None


def readable_here(config: Config) -> Config:
    """The settings for what is read and not trained: on the CPU where the chain's own device is not there."""
    try:
        require_device(config)
    except InputError:
        return config.model_copy(update={"runtime": config.runtime.model_copy(update={"device": "cpu"})})
    return config
