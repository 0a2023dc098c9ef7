"""Tables and coloured text in a terminal: the only maker of rich consoles."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from tasks.adapters.system.terminal import printable


class Screen(Console):
    """A console that takes text as it is.

    No word in brackets is markup, since names of chains and columns may hold brackets, and no control
    character of theirs reaches the terminal.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Text that is printed, also that of a table's cells, headings and title."""
        return super().render_str(printable(text), **options)


def screen(*, err: bool = False, width: int | None = None, quiet: bool = False) -> Screen:
    """Standard output, or standard error.

    Args:
        err: standard error.
        width: characters a line where it is no terminal; what rich takes by default.
        quiet: print nothing.
    """
    found = Screen(stderr=err, quiet=quiet, highlight=False, markup=False, emoji=False)
    if width is None or found.is_terminal:
        return found
    return Screen(stderr=err, quiet=quiet, highlight=False, markup=False, emoji=False, width=width)
