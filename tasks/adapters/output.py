"""Files and folders that others read: written under a private name, made durable, renamed into place.

A name that nobody can guess is shared with no other command and cannot be prepared by a symbolic link;
the mode is what the umask leaves, as of any file that a user makes.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

TEMPORARY = ".tmp-"
#: what a spreadsheet takes for a formula, unless the whole cell is a number (with its error)
FORMULA = re.compile(r"\s*[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?(\d[\d.]*|\.\d+)([eE][+-]?\d+)?( ?[±%] ?[\d.eE+-]*)?")


def new_file(folder: Path, prefix: str = TEMPORARY) -> tuple[int, Path]:
    """A new empty file under a name that nobody else has; returns its open descriptor and its path."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    path = folder / f"{prefix}{secrets.token_hex(8)}"
    return os.open(path, flags, 0o666), path


def new_folder(folder: Path, prefix: str = TEMPORARY) -> Path:
    """A new empty folder under a name that nobody else has."""
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
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Have a file written as :func:`replacing` does."""
    with replacing(path) as stream:
        write(stream)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def csv_text(frame: pd.DataFrame, **options: Any) -> str:
    """A table as CSV in which no name and no text begins as a formula does (see :func:`guarded`)."""
    safe = frame.rename(columns=lambda name: guarded(name) if isinstance(name, str) else name)
    for place, kind in enumerate(safe.dtypes):
        if kind.kind == "O" or str(kind) in ("str", "string", "category"):
            cells = list(safe.iloc[:, place])
            safe.isetitem(place, [guarded(cell) if isinstance(cell, str) else cell for cell in cells])
    return str(safe.to_csv(index=False, **options))


def guarded(text: str) -> str:
    """Text for a CSV file: an apostrophe before what a spreadsheet would run as a formula.

    Readers of this project take the apostrophe off again (:func:`unguarded`).
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def unguarded(text: str) -> str:
    """What :func:`guarded` was given."""
    return text[1:] if text.startswith("'") and guarded(text[1:]) != text[1:] else text
