"""Processes of ours: known by pid and start time, ended with all that they started."""

from __future__ import annotations

import os
from typing import Annotated

import psutil
from pydantic import Field, Strict

from jko.core.records import Number, Record
from tasks.adapters.store.lock import is_alive

#: for those that outlived the head of their family
LEFT_SECONDS = 5.0


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
        psutil.wait_procs([head], timeout=patience)
    # what the head left behind or started meanwhile gets the same request, and then no choice
    left = [*found, *_family(record)]
    for request in ("terminate", "kill"):
        left = [process for process in left if process.is_running()]
        for process in left:
            _ask(process, request)
        left = psutil.wait_procs(left, timeout=LEFT_SECONDS)[1]
    return bool(found)


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
