"""Words of a file as they may be shown, and the column names that are refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from jko.core.errors import InputError

#: what a spreadsheet takes for the beginning of a formula
FORMULA = ("=", "+", "-", "@")
#: characters of a name at most, and of a cell in a sentence
LONGEST_NAME, LONGEST_SHOWN = 200, 40
#: kinds of characters that act on a terminal or hide: control, format, surrogate, line and paragraph ends
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def shown(value: object) -> str:
    r"""A cell or name in quotes, shortened, with every hidden character escaped.

    >>> print(shown("a\x1b[31m"))
    'a\x1b[31m'
    """
    text = str(value)
    short = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
    escaped = "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in HIDDEN else char
        for char in short
    )
    return f"'{escaped}'"


def listed(names: Sequence[object], most: int = 10) -> str:
    """Some names with commas between them."""
    return ", ".join(map(str, names[:most])) + (", …" if len(names) > most else "")


def check_names(names: Sequence[str], path: Path | str) -> None:
    """Refuse names that are alike, hide something or would be run by a spreadsheet.

    Raises:
        InputError: there is such a name.
    """
    for number, name in enumerate(names, start=1):
        problem = _problem(name)
        if problem:
            raise InputError(f"{path}: the name {shown(name)} of column {number} {problem}; rename it")
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise InputError(f"{path}: two columns are called {shown(twice[0])}; give each its own name")


def _problem(name: str) -> str:
    if any(unicodedata.category(char) in HIDDEN for char in name):
        return "holds a control character"
    if name.startswith(FORMULA):
        return f"begins with {name[0]!r}, which a spreadsheet runs as a formula"
    if len(name) > LONGEST_NAME:
        return f"has {len(name)} characters, and {LONGEST_NAME} are allowed"
    return ""
