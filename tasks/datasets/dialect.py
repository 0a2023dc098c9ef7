"""How a CSV is written: encoding, separator, quotes, and whether its first line holds names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.names import check_names
from jko.preparation.table import Marks
from tasks.datasets.encodings import encoding_of
from tasks.datasets.fields import SEPARATORS, Reader, quote_of, separator_of
from tasks.datasets.header import is_header, named_in
from tasks.datasets.text import Text

#: bytes that are looked at
HEAD = 1 << 20


@dataclass(frozen=True)
class Dialect:
    """How a CSV is written.

    Args:
        encoding: of its text.
        separator: of its fields; a space stands for any number of them.
        skip: lines before the first row.
        names: of the columns.
        notes: sentences for the user.
        quote: the mark around fields.
        named: whether the file has a line of names.
        quoted: whether fields with quotes were seen.
    """

    encoding: str
    separator: str
    skip: int
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    quote: str = '"'
    named: bool = True
    quoted: bool = False

    def says(self, marks: Marks | None) -> str:
        """How the file was read, in words.

        Args:
            marks: those of its numbers; ``None`` where they show none.
        """
        known = {mark: word for word, mark in SEPARATORS.items() if mark in "\t "}
        words = [f"separator {known.get(self.separator, repr(self.separator))}"]
        words += [] if marks is None else [f"decimal {marks.decimal!r}"]
        if marks is not None and marks.thousands:
            words.append("thousands " + ("space" if marks.thousands == " " else repr(marks.thousands)))
        words.append({"utf-8-sig": "UTF-8 with a byte order mark"}.get(self.encoding, self.encoding.upper()))
        words.append(f"quotes {self.quote}" if self.quoted else "no quotes")
        return ", ".join([*words, "a line of names" if self.named else "no names"])


def find_dialect(source: Text, settings: Data) -> Dialect:
    """Look at the beginning of a CSV.

    Raises:
        InputError: no text, names that are refused, or a first line that may be names or a row.
    """
    path, encoding = source.path, encoding_of(source, settings.encoding)
    text, notes = _head(source, encoding), []
    comments = _comments(text)
    body_text = _without(text, len(comments))
    quote = quote_of(body_text)
    read = Reader(path, quote)
    separator = _declared(text) or separator_of(body_text, settings, read, tabs=source.form.ending == ".tsv")
    records, starts = read.records(body_text, separator)
    if not records:
        raise InputError(f"{path}: the table has no rows")
    first, body = records[0], records[1:]
    commented, named = named_in(comments, separator, first, read), True
    if commented:
        names, skip = commented, len(comments)
    elif is_header(first, body, settings, path):
        names, skip = first, len(comments) + starts[0] + 1
    else:
        names, skip, named = [f"x{i}" for i in range(len(first))], len(comments) + starts[0], False
    if comments:
        notes.append(f"left out, lines of comment at the beginning: {len(comments)}")
    if separator == " ":
        names = [name for name in names if name]
    names = [name or f"Unnamed: {i}" for i, name in enumerate(names)]
    check_names(names, path)
    return Dialect(
        encoding, separator, skip, tuple(names), tuple(notes), quote, named, quoted=quote in body_text
    )  # fmt: skip


def _head(source: Text, encoding: str) -> str:
    """The first lines, whole ones."""
    path = source.path
    with source.open() as stream:
        raw = stream.read(HEAD)
        more = bool(stream.read(1))
    try:
        text = raw.decode(encoding, errors="ignore" if more else "strict")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a readable CSV table (byte {error.start} is no {encoding.upper()}); save it "
            "as UTF-8"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not more:
        return text
    if "\n" not in text:
        raise InputError(f"{path}: the first line has more than {HEAD} bytes; is it a table of lines?")
    return text[: text.rindex("\n") + 1]


def _comments(text: str) -> list[str]:
    """Leading lines that begin with #."""
    found = []
    for line in text.split("\n"):
        if not line.startswith("#"):
            break
        found.append(line)
    return found


def _without(text: str, lines: int) -> str:
    return "".join(text.split("\n", lines)[lines:]) if lines else text


def _declared(text: str) -> str | None:
    """The separator that a first line ``sep=;`` names, as spreadsheets write it."""
    found = re.match(r"sep=([,;\t|])\n", text)
    return found[1] if found else None
