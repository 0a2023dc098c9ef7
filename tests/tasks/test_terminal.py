"""What reaches a terminal: names are shown, and neither obeyed nor taken for markup."""

from __future__ import annotations

import io
import logging

import pytest
from rich.table import Table

from tasks.adapters.system.screen import Screen
from tasks.adapters.system.terminal import Printable, one_line, printable, say

HOSTILE = "\x1b[31mred\x07\x9b2J\u202edcba\udcff\x00"
SHOWN = "\\x1b[31mred\\x07\\x9b2J\\u202edcba\\xff\\x00"


def test_control_characters_become_letters() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("ε ≤ 5\tnats\n") == "ε ≤ 5\tnats\n"
    assert one_line("a\nb\tc") == "a\\nb\\tc"


def test_what_is_said_holds_none(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE, err=True)
    assert capsys.readouterr().err == f"{SHOWN}\n"
    record = logging.LogRecord("x", logging.WARNING, "x", 1, HOSTILE, None, None)
    assert Printable("warning: %(message)s").format(record) == f"warning: {SHOWN}"


def test_tables_show_brackets_and_letters_as_they_are() -> None:
    out = io.StringIO()
    console = Screen(file=out, width=200, highlight=False, markup=False, emoji=False)
    table = Table(title="a[/b]")
    table.add_column("[bold]c[/]")
    table.add_row(f"[/red]:smile: {HOSTILE}")
    console.print(table)
    console.print("[/]done")
    said = out.getvalue()
    assert all(part in said for part in ("a[/b]", "[bold]c[/]", "[/red]:smile: ", SHOWN, "[/]done"))
    assert "\x1b" not in said
    assert "\x9b" not in said


def test_an_ordinary_console_would_have_failed() -> None:
    """The case is one: rich takes a closing tag without an opening one for an error."""
    from rich.console import Console
    from rich.errors import MarkupError

    with pytest.raises(MarkupError):
        Console(file=io.StringIO()).print("a[/b]")
