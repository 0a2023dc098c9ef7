"""Prefect flows, the command line, and :func:`train`, which is ``jko train`` from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from flows.face import train
    from jko.flow import Flow

__all__ = ["train"]


def __getattr__(name: str) -> Callable[..., Flow]:
    """``train``, imported when it is asked for: the command line starts at once.

    Raises:
        AttributeError: another name.
    """
    if name != "train":
        raise AttributeError(f"module 'flows' has no attribute {name!r}")
    from flows.face import train

    return train
