"""How much a file may become in memory: what unpacks to more is refused before it is made."""

from __future__ import annotations

import os
from pathlib import Path

from jko.core.errors import InputError

#: a table may take this share of the machine's memory; copies of it are made
SHARE = 0.25


def memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def room() -> int:
    """Bytes that a table may take."""
    return int(SHARE * memory())


def check_room(wanted: int, path: Path | str) -> None:
    """Refuse what would take too much.

    Args:
        wanted: bytes.
        path: of the file, for the sentence.

    Raises:
        InputError: there is no room for so many.
    """
    if wanted > room():
        raise InputError(
            f"{path}: it unpacks to more than {room()} bytes, a quarter of this machine's memory; "
            "give fewer rows or columns"
        )
