"""Under a limit of its address space, a process that only waits is ended; no other is."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.adapters.system.starved import ran_out_of_memory

ROOT = Path(__file__).resolve().parents[2]
WATCHED = """
import threading, time
from tasks.adapters.system import starved
starved.SECONDS, starved.LOOK_SECONDS = 1.0, 0.1
starved.end_when_starved("jko resume chain")
"""
#: as Prefect waits for an event loop whose thread has died
WAITS = "threading.Event().wait(20)"
WORKS = "end = time.monotonic() + 1.6\nwhile time.monotonic() < end: pass"


def limited() -> None:
    """Enough for everything."""
    resource.setrlimit(resource.RLIMIT_AS, (64_000_000_000, resource.RLIM_INFINITY))


def ended(code: str, limit: Callable[[], None] | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WATCHED + code], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False, preexec_fn=limit,
    )  # fmt: skip


def test_a_process_that_waits_for_ever_is_ended_with_a_sentence() -> None:
    done = ended(WAITS, limited)
    assert done.returncode == 1
    assert done.stderr == (
        "jko: memory ran out and the run hung (the process may use 64.00 GB of address space); "
        "what is committed stays\nto continue: jko resume chain\n"
    )


def test_a_process_that_works_is_not() -> None:
    assert ended(WORKS, limited).returncode == 0


def test_no_alarm_is_left_for_the_end_of_the_interpreter() -> None:
    late = "import signal\nprint(signal.getitimer(signal.ITIMER_REAL)[0] > 0)\n"
    late += "import atexit\natexit._run_exitfuncs()\nprint(signal.getitimer(signal.ITIMER_REAL)[0])"
    assert ended(late, limited).stdout.split() == ["True", "0.0"]


def test_without_a_limit_nothing_is_watched() -> None:
    assert ended(WAITS.replace("20", "1.6"), None).returncode == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_errors_that_mean_no_memory(error: Exception, expected: bool) -> None:
    assert ran_out_of_memory(error) is expected
