"""One writer a chain folder, by a lock of the operating system that ends with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from jko.core.errors import ChainInUseError
from jko.disk.durable import make_folder
from jko.disk.layout import Layout

#: in the run folder; the lock of the command line is the same one
LOCK = "lock"


@contextmanager
def writing(layout: Layout) -> Iterator[None]:
    """Hold a chain while the body runs.

    Raises:
        ChainInUseError: another process holds it.
    """
    make_folder(layout.run)
    handle = os.open(layout.run / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(handle, layout)
        yield
    finally:
        os.close(handle)  # which gives the lock back, too


def _lock(handle: int, layout: Layout) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ChainInUseError(f"{layout.chain} is in use by another process; wait or stop it") from None
