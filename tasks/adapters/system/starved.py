"""A process whose address space is limited must end where it starves, and not wait for ever.

Under a limit (``ulimit -v``) a thread of a library can die of a lack of memory before it has told
anybody: Prefect's event loop, for one, whose start is waited for without a bound.
What asks for memory over and over inside a library (OpenBLAS does) is not found: no Python runs there.
"""

from __future__ import annotations

import atexit
import errno
import os
import signal
import threading
import time
from types import FrameType

#: longer than the longest answer of a server is waited for, one minute
SECONDS = 90.0
LOOK_SECONDS = 10.0
#: of one processor: what a process that only waits may use; its event loops wake up now and then
IDLE_SHARE = 0.02
#: how libraries say that there was no memory, in errors that are no MemoryError
WORDS = ("can't start new thread", "can't allocate memory", "CUDA out of memory")


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory, or no room for one more thread."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in WORDS)


def limit_in_words() -> str:
    """The limit that is set for this process's memory, or nothing."""
    limit = address_space_limit()
    return "" if limit is None else f" (the process may use {limit / 1e9:.2f} GB of address space)"


def address_space_limit() -> int | None:
    """Bytes of address space that this process may have; None where there is no limit."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft


class Watch:
    """Ends the process when it has done nothing for a while; called by a timer, in the main thread.

    Args:
        said: the last words.
        seconds: of doing nothing.
    """

    def __init__(self, said: str, seconds: float) -> None:
        self.said, self.seconds = said.encode(), seconds
        self.since, self.used = time.monotonic(), time.process_time()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Look whether anything was done; this needs no memory to speak of."""
        now, used = time.monotonic(), time.process_time()
        if used - self.used > IDLE_SHARE * self.seconds:
            self.since, self.used = now, used
        elif now - self.since > self.seconds:
            os.write(2, self.said)
            # what could clean up is what hangs; to the next start this is a kill
            os._exit(1)


def end_when_starved(command: str) -> None:
    """Watch this process until the interpreter is taken down, if its address space is limited.

    Args:
        command: that goes on where this process ended.
    """
    if address_space_limit() is None or threading.current_thread() is not threading.main_thread():
        return
    said = f"jko: memory ran out and the run hung{limit_in_words()}; what is committed stays\n"
    signal.signal(signal.SIGALRM, Watch(f"{said}to continue: {command}\n", SECONDS))
    signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
    # the interpreter gives handlers back before its end: the signal would kill a run that is done
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0.0)
