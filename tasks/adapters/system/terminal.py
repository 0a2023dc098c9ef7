"""What reaches a terminal: text without control characters; the only place that prints."""

from __future__ import annotations

import logging
import os
import re
import sys

import click

#: control characters but tab and line feed, marks that turn the direction of writing, half characters
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: a byte of a file name that is no UTF-8 comes as one of these, 256 of them
BYTES = 0xDC00


def printable(text: str) -> str:
    r"""Text that a terminal shows and does not obey: an escape character becomes the four letters ``\x1b``.

    Names of columns, files and chains come from others, and a terminal runs what control characters say.

    Args:
        text: of any source; tabs and ends of lines stay.
    """
    return UNSAFE.sub(_escaped, text)


def one_line(text: str) -> str:
    r"""The same on one line: an end of a line becomes ``\n``, too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if BYTES <= code < BYTES + 256:
        code -= BYTES
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def say(text: str, *, err: bool = False) -> None:
    """Print a line on standard output, or on standard error."""
    click.echo(printable(text), err=err)


class Printable(logging.Formatter):
    """Log records as lines of :func:`printable` text."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        return printable(super().format(record))


def warn_on_stderr() -> None:
    """Have warnings of the log printed on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Printable("warning: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def write_anything() -> None:
    """Let standard output and error take every character; where they are closed, nothing is said."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (for as long as the process lives)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
