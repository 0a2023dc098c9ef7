"""What commands and trials are forked from: a process with everything imported, one for all workers of a run.

``multiprocessing`` has such a process for each process that forks; its imports take ten seconds of two cores.
A second worker joins the first one's, by the address of its socket and the pipe that keeps it alive.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import filelock

from tests.together import RUN

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.imported"])
#: Python's own, with its way to be started; later versions want a key as well
SERVER = forkserver._forkserver
START = SERVER.ensure_running
JOINING = sys.version_info < (3, 14) and Path("/proc/self/fd").is_dir()


def ensure_running() -> None:
    """Start or join the server of forks, unless that was done."""
    if RUN.folder is None or not JOINING or SERVER._forkserver_pid is not None:
        START()
        return
    if SERVER._forkserver_address is None or not Path(SERVER._forkserver_address).exists():
        with filelock.FileLock(RUN.folder / "forks.lock", timeout=60):
            record = RUN.folder / "forks.json"
            if not (record.exists() and joined(*json.loads(record.read_text()))):
                START()
                own = (os.getpid(), SERVER._forkserver_alive_fd, SERVER._forkserver_address)
                record.write_text(json.dumps(own))
    resource_tracker.ensure_running()


def joined(pid: int, handle: int, address: str) -> bool:
    """Use the server that another worker has started, if that one is still there."""
    try:
        alive = os.open(f"/proc/{pid}/fd/{handle}", os.O_WRONLY)
    except OSError:
        return False
    SERVER._forkserver_address, SERVER._forkserver_alive_fd = address, alive
    return Path(address).exists()


def nested() -> None:
    """In a forked process: fork others from what it was forked from; by itself it would start another."""
    SERVER.ensure_running = resource_tracker.ensure_running


SERVER.ensure_running = ensure_running
