"""The page of figures: tables in Markdown between marks of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cell import ROOM
from jko.core.errors import InputError
from jko.disk.durable import write_text
from jko.disk.sealed import write_json

README = ROOM / "README.md"
#: what a table says while it has no figures
EMPTY = "No figures yet."


def markdown(heading: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left and the others to the right."""
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, rule, *body))


def between_marks(text: str, name: str, content: str) -> str:
    """A text with the part between the marks of a name replaced.

    Raises:
        InputError: the marks are not there.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise InputError(f"no marks {start} and {end} in the page")
    return pattern.sub(lambda _: f"{start}\n\n{content}\n\n{end}", text)


def keep(path: Path, figures: Mapping[str, Any], name: str, content: str, readme: Path = README) -> None:
    """Write figures to a file of their own, and their table between the marks of the README."""
    write_json(path, figures)
    write_text(readme, between_marks(readme.read_text(), name, content))
