"""Files and folders that outlast a power cut: written aside, synced, renamed, and the names synced, too."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

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
        try:
            folder.mkdir(exist_ok=True)
        except FileExistsError:  # a link that leads nowhere, or in a circle
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
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


def new_file(folder: Path, prefix: str = TEMPORARY) -> tuple[int, Path]:
    """A new empty file under a name that nobody can guess; returns its open descriptor and its path.

    So it is shared with no other process, and no symbolic link waits there; its mode is what umask leaves.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    path = folder / f"{prefix}{secrets.token_hex(8)}"
    return os.open(path, flags, 0o666), path


def new_folder(folder: Path, prefix: str = TEMPORARY) -> Path:
    """A new empty folder under a name that nobody can guess, of the mode that umask leaves."""
    path = folder / f"{prefix}{secrets.token_hex(8)}"
    path.mkdir()
    return path


@contextmanager
def replacing(path: Path, prefix: str = TEMPORARY) -> Iterator[IO[bytes]]:
    """A stream whose content becomes the file ``path`` in one step, once the body ends well.

    A symbolic link of that name is replaced, and what it leads to stays as it is.

    Args:
        path: the file; its folder is there.
        prefix: of the temporary name.
    """
    handle, temporary = new_file(path.parent, prefix)
    try:
        with os.fdopen(handle, "w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: readers see all of it or nothing."""
    make_folder(path.parent)
    with replacing(path, f"{TEMPORARY}{path.name}-") as stream:
        stream.write(content)


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
