"""The bytes of a table of text, unpacked where the file is packed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jko.core.errors import InputError
from tasks.datasets.kinds import Form, form_of
from tasks.datasets.room import check_room

#: bytes that are unpacked at a time
PIECE = 1 << 20
#: what damaged files make of their readers
BROKEN = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Text:
    """A table of text.

    Args:
        path: its file.
        form: what the name says.
        unpacked: all bytes of a packed file; ``None`` of another one.
    """

    path: Path
    form: Form
    unpacked: bytes | None = None

    def open(self) -> IO[bytes]:
        """The bytes from the first one on."""
        return self.path.open("rb") if self.unpacked is None else io.BytesIO(self.unpacked)

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self.path.stat().st_size if self.unpacked is None else len(self.unpacked)


def text_of(path: Path) -> Text:
    """The text of a file. A packed one is read to its end, so that no half of it is taken.

    Raises:
        InputError: it is damaged, unpacks to too much, or is packed in another way than its name says.
    """
    form = form_of(path)
    if not form.packing:
        return Text(path, form)
    pieces, size = [], 0
    try:
        with _unpacking(path, form.packing) as stream:
            while piece := stream.read(PIECE):
                size += len(piece)
                check_room(2 * size, path)  # the pieces, and all of them joined
                pieces.append(piece)
    except InputError:
        raise
    except BROKEN as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path}: it cannot be unpacked by {form.packing}, so it is cut short or damaged ({said})"
        ) from None
    if not size:
        raise InputError(f"{path}: the file is empty; give a table with a header line and rows")
    return Text(path, form, b"".join(pieces))


def _unpacking(path: Path, packing: str) -> IO[bytes]:
    openers: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
    if packing == "zstd":
        import pyarrow as pa

        openers["zstd"] = lambda path, _: pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
    stream: IO[bytes] = openers[packing](path, "rb")
    return stream


def first_line(path: Path, most: int = 1 << 16) -> str:
    """The first line of a file of text, with what is no UTF-8 replaced; empty where there is none to be had.

    Args:
        path: of the file.
        most: bytes that are looked at.
    """
    try:
        form = form_of(path)
        if form.kind != "text":
            return ""
        with _unpacking(path, form.packing) if form.packing else path.open("rb") as stream:
            return stream.read(most).decode("utf-8", errors="replace").splitlines()[0]
    except (InputError, IndexError, *BROKEN):
        return ""
