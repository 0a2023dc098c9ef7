"""In which encoding a table of text is written."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

from jko.core.errors import InputError
from tasks.datasets.text import Text

#: bytes searched at a time
PIECE = 1 << 24
#: what is taken for text that is no UTF-8, as spreadsheets of Western languages write it
WESTERN = "windows-1252"
BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")
#: so many letters beyond ASCII in a row are a word of another alphabet, so of another encoding
FOREIGN = 3


def encoding_of(source: Text, told: str = "auto") -> str:
    """UTF-8, or what a byte order mark says, or else Windows-1252 where the bytes are such text.

    Args:
        source: the text.
        told: by the settings; nothing is looked for then.

    Raises:
        InputError: it holds NUL bytes, or bytes that several encodings read in several ways.
    """
    with source.open() as stream:
        start = stream.read(4)
        marked = start[:2] in (b"\xff\xfe", b"\xfe\xff")
        if told in ("auto", "utf-16") and marked:
            return "utf-16"
        if told == "utf-16":
            return "utf-16-le"  # as nearly all programs write it
        stream.seek(0)
        known, wrong = _looked_at(iter(lambda: stream.read(PIECE), b""), source)
    if told not in ("auto", "utf-8"):
        return told
    if wrong is None:
        return "utf-8-sig" if start.startswith(b"\xef\xbb\xbf") else "utf-8"
    if told == "auto" and all(map(_is_western, known)):
        return WESTERN
    raise InputError(
        f"{source.path}: not a readable CSV table (byte {wrong} is no UTF-8); save it as UTF-8, or say "
        "what it is, as in data.encoding=windows-1251"
    )


def _looked_at(pieces: Iterable[bytes], source: Text) -> tuple[set[bytes], int | None]:
    """Runs of bytes beyond ASCII where the text is no UTF-8, and the place of the first wrong byte."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    known: set[bytes] = set()
    wrong, before = None, 0
    for piece in pieces:
        if b"\0" in piece:
            raise InputError(f"{source.path}: not a readable CSV table (it holds NUL bytes; is it text?)")
        if not piece.isascii():
            known.update(BEYOND_ASCII.findall(piece))
        if wrong is None:
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(piece)
            except UnicodeDecodeError as error:
                wrong = before - held + error.start
        before += len(piece)
    if wrong is None and decoder.getstate()[0]:
        wrong = before - len(decoder.getstate()[0])
    return known, wrong


def _is_western(run: bytes) -> bool:
    """Whether bytes are signs of Windows-1252 and no word of another alphabet."""
    try:
        text = run.decode(WESTERN)
    except UnicodeDecodeError:
        return False
    printed = all(one.isprintable() or one == "\xa0" for one in text)
    return printed and not re.search(rf"[^\W\d_]{{{FOREIGN},}}", text)
