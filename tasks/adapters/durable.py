"""Files and folders that outlast a power cut: written aside, synced, renamed, and the names synced, too."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

#: what a killed writer leaves behind begins so
TEMPORARY = ".tmp-"
#: Linux: swap two names in one step
RENAME_EXCHANGE, AT_FDCWD = 2, -100


def put_in_place(source: Path, target: Path) -> None:
    """Rename a folder durably; one that has the name already is exchanged with it, not removed first.

    What was replaced is left under the name of ``source``, for the caller to remove. Where the file system
    cannot exchange two names, it is renamed away first. A link gives way to the folder; what it points at
    stays.
    """
    make_folder(target.parent)
    if target.is_symlink() or target.is_file():
        target.unlink()
    if not target.exists():
        os.rename(source, target)
    elif not _exchange(source, target):
        aside = source.with_name(f"{source.name}-replaced")
        os.rename(target, aside)
        os.rename(source, target)
        os.rename(aside, source)
    for folder in {source.parent, target.parent}:
        sync(folder)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; false where this system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, each known to the disk as soon as it is there."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def move(source: Path, target: Path) -> None:
    """Rename a file or folder durably; what has the name already is removed."""
    make_folder(target.parent)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
    os.rename(source, target)
    for folder in {source.parent, target.parent}:
        sync(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: readers see all of it or nothing."""
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
        sync(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file of text (UTF-8) as :func:`write_bytes` does."""
    write_bytes(path, text.encode())


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Append lines to a file; one that a kill cut off is ended first, so that it spoils no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            cut = stream.read(1) != b"\n"
        else:
            cut = False
        stream.write(("\n" * cut + "".join(f"{line}\n" for line in lines)).encode())


def link_tree(source: Path, target: Path) -> None:
    """Copy a tree by hard links where the file system allows, by bytes where not."""
    shutil.copytree(source, target, copy_function=link_file, dirs_exist_ok=True)


def link_file(source: str | Path, target: str | Path) -> None:
    """A hard link where the file system allows, a copy where not."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def sync_tree(folder: Path) -> None:
    """Make a folder with all its files and folders durable."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
