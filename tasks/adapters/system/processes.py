"""Processes of ours: known by pid and start time, ended with all that they started."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Annotated

import psutil
from pydantic import Field, Strict

from jko.core.records import Number, Record
from tasks.adapters.store.lock import is_alive

#: for those that outlived the head of their family
LEFT_SECONDS = 5.0
#: between two looks at what shall end
LOOK_SECONDS = 0.1


class ProcessRecord(Record):
    """What finds a process again, as a file of JSON holds it.

    Args:
        pid: its number.
        started: when it did, seconds since 1970.
        boot: when the machine or container did; before that, every number meant another process.
    """

    pid: Annotated[int, Strict(), Field(gt=0, lt=2**31)]
    started: Number
    boot: Number = 0.0


def identity(pid: int | None = None) -> ProcessRecord:
    """What finds a process again, and no other that got its pid later; by default this one."""
    process = psutil.Process(pid)
    return ProcessRecord(pid=process.pid, started=process.create_time(), boot=_boot())


def _boot() -> float:
    """When this machine or container started."""
    return psutil.Process(1).create_time()


def lives(record: ProcessRecord | None) -> bool:
    """Whether the process of a record still runs."""
    return record is not None and is_alive(record.pid, record.started)


def end_family(record: ProcessRecord | None, patience: float) -> bool:
    """Ask a process to stop, and kill it and what it started if they have not after a patience.

    Args:
        record: of :func:`identity`. If the process led a session, those in it are found also after
            its death.
        patience: seconds.

    Returns:
        Whether any of them was alive.
    """
    found = _family(record)
    if lives(record):
        head = found[0]
        _ask(head, "terminate")
        _running([head], patience)
    # what the head left behind or started meanwhile gets the same request, and then no choice
    left = [*found, *_family(record)]
    for request in ("terminate", "kill"):
        left = _running(left)
        for process in left:
            _ask(process, request)
        left = _running(left, LEFT_SECONDS)
    return bool(found)


def _running(processes: Iterable[psutil.Process], patience: float = 0.0) -> list[psutil.Process]:
    """Those that still run after a patience.

    One that has ended and is not waited for by the process that started it, such as a keeper whose first
    user works on, keeps its number, and nothing else.
    """
    deadline = time.monotonic() + patience
    while left := [process for process in processes if not _has_ended(process)]:
        if time.monotonic() >= deadline:
            break
        # of a child of ours this also takes the exit code
        psutil.wait_procs(left, timeout=min(LOOK_SECONDS, patience))
    return left


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _family(record: ProcessRecord | None) -> list[psutil.Process]:
    """The process if it lives, first; its descendants; and those of its session."""
    if record is None:
        return []
    if lives(record):
        try:
            head = psutil.Process(record.pid)
            return [head, *head.children(recursive=True)]
        except psutil.Error:
            return []
    # the kernel gives the pid of a session's leader to nobody as long as the session has members
    if psutil.pid_exists(record.pid) or abs(record.boot - _boot()) > 1.0:
        return []
    return [process for process in psutil.process_iter() if _session_of(process) == record.pid]


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def _ask(process: psutil.Process, request: str) -> None:
    try:
        getattr(process, request)()
    except psutil.Error:
        return
