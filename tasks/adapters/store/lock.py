"""Who works on a chain: an OS file lock, with a JSON file beside it that names the holder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jko.core.errors import ChainInUseError
from jko.core.records import Count, Number, Record
from jko.disk.layout import Layout
from jko.disk.sealed import read_model, write_json
from tasks.adapters.system.terminal import say

POLL_SECONDS = 0.2
#: who only looks whether a chain is held shares its lock for a moment, and keeps nobody from taking it
LOOK_SECONDS = 0.2


class Holder(Record):
    """Who holds a chain.

    Args:
        pid: of the process.
        host: it runs on.
        command: it carries out.
        started: when it was started, seconds since 1970.
    """

    pid: Count
    host: str
    command: str
    started: Number


@contextmanager
def chain_lock(layout: Layout, command: str, wait: float = 0.0) -> Iterator[None]:
    """Hold the chain; the kernel releases the lock at any death of this process.

    Args:
        layout: the chain.
        command: told to others that want the chain meanwhile.
        wait: seconds to wait for another process that holds it.

    Raises:
        ChainInUseError: another process holds it, and still does after ``wait`` seconds.
    """
    import filelock
    import psutil

    layout.run.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(layout.run / "lock")
    try:
        if wait > 0 and is_held(layout):
            say(f"waiting for {_holder(layout)}, which holds {layout.chain}", err=True)
        lock.acquire(timeout=max(wait, LOOK_SECONDS), poll_interval=min(POLL_SECONDS, LOOK_SECONDS / 4))
    except filelock.Timeout:
        raise ChainInUseError(f"{layout.chain} is in use by {_holder(layout)}; wait or stop it") from None
    try:
        holder = Holder(
            pid=os.getpid(), host=socket.gethostname(), command=command,
            started=psutil.Process().create_time(),
        )  # fmt: skip
        write_json(layout.run / "holder.json", holder.plain())
        yield
    finally:
        (layout.run / "holder.json").unlink(missing_ok=True)
        lock.release()


def is_held(layout: Layout) -> bool:
    """Whether some process holds the chain now; writes nothing, so that readers need no permission to."""
    try:
        handle = os.open(layout.run / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)  # which gives the lock back, too
    return False


@contextmanager
def one_at_a_time(path: Path, seconds: float = 120.0) -> Iterator[None]:
    """Let one process at a time into the body; after ``seconds`` go on without, for what is no result."""
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    with suppress(filelock.Timeout):
        lock.acquire(timeout=seconds)
    try:
        yield
    finally:
        lock.release()


def _holder(layout: Layout) -> str:
    holder = read_model(layout.run / "holder.json", Holder)
    if holder is None:
        return "another process"
    return f"process {holder.pid} on {holder.host} ({holder.command})"


def is_alive(pid: int, started: float) -> bool:
    """Whether the process with this pid *and* start time still runs."""
    import psutil

    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
