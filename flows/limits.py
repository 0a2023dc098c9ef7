"""Limits of the system that a command needs room under."""

from __future__ import annotations

import resource
from contextlib import suppress

from jko.core.errors import InputError

#: a training run with its two servers' connections has about 60 files open at once
FILES = 256
#: below this not even the libraries can be loaded
LEAST = 64


def allow_files() -> None:
    """Have this process open as many files as it needs, where the system lets it.

    Raises:
        InputError: it may open so few that no command could end well.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= FILES:
        return
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < LEAST:
        raise InputError(
            f"at most {wanted} files may be open here, and jko needs {FILES}: give more by ulimit -n {FILES}"
        )
