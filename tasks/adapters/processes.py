"""Processes of ours: known by pid and start time, ended with all that they started."""

from __future__ import annotations

from typing import Any

import psutil

from tasks.adapters.lock import is_alive


def identity(pid: int | None = None) -> dict[str, Any]:
    """What finds a process again, and no other that got its pid later; by default this one."""
    process = psutil.Process(pid)
    return {"pid": process.pid, "started": process.create_time()}


def lives(record: Any) -> bool:
    """Whether the process of a record still runs."""
    return isinstance(record, dict) and "pid" in record and is_alive(record["pid"], record["started"])


def end_family(record: Any, patience: float) -> bool:
    """Ask a process to stop; kill it and what it started if they have not after a patience.

    Args:
        record: of :func:`identity`.
        patience: seconds.

    Returns:
        Whether it was alive.
    """
    if not lives(record):
        return False
    try:
        head = psutil.Process(record["pid"])
        family = [head, *head.children(recursive=True)]
        head.terminate()
        psutil.wait_procs([head], timeout=patience)
        family += [child for child in _descendants(family) if child not in family]
    except psutil.Error:
        return False
    # what the head left behind gets the same request, and then no choice
    for request, seconds in (("terminate", 5.0), ("kill", 5.0)):
        left = [process for process in family if process.is_running()]
        for process in left:
            try:
                getattr(process, request)()
            except psutil.Error:
                continue
        family = psutil.wait_procs(left, timeout=seconds)[1]
    return True


def _descendants(family: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in family:
        try:
            found += process.children(recursive=True)
        except psutil.Error:
            continue
    return found
