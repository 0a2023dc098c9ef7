"""Prefect flows, the command line, and :func:`train`, which is ``jko train`` from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.face import train

__all__ = ["train"]


def __getattr__(name: str) -> Any:
    """``train``, imported when it is asked for: the command line starts at once.

    Raises:
        AttributeError: another name.
    """
    if name != "train":
        raise AttributeError(f"module 'flows' has no attribute {name!r}")
    from flows.face import train

    return train
