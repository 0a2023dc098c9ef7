"""Folders as values: copied, and compared by what a start would read of them."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from jko.disk.durable import TEMPORARY

#: holds times, or says who works there now; nothing is computed from them
UNREAD = frozenset({"events.jsonl", "holder.json", "lock"})


def copied(source: Path, target: Path) -> Path:
    """A copy of a folder at a new place, which is returned."""
    shutil.copytree(source, target)
    return target


def state_of(root: Path) -> str:
    """Digest of a project's names and bytes, but for what a start removes unread or never reads.

    What lies under temporary names is the former: a start that holds the lock removes it first.
    """
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if any(part.startswith(TEMPORARY) for part in name.parts) or name.name in UNREAD:
            continue
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        total.update(f"{name}\0{content}\0".encode())
    return total.hexdigest()


def fast_place() -> str | None:
    """A folder in memory for very many small files, where there is one."""
    place = Path("/dev/shm")
    return str(place) if os.access(place, os.W_OK) else None
