"""Results that people take elsewhere: whole files, and CSV that no spreadsheet runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from jko.disk.durable import replacing

if TYPE_CHECKING:
    import pandas as pd

#: what a spreadsheet takes for a formula, unless the whole cell is a number (with its error)
FORMULA = re.compile(r"\s*[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?(\d[\d.]*|\.\d+)([eE][+-]?\d+)?( ?[±%] ?[\d.eE+-]*)?")


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Have a file written as :func:`jko.disk.durable.replacing` does."""
    with replacing(path) as stream:
        write(stream)


def csv_text(frame: pd.DataFrame, *, float_format: str | None = None) -> str:
    """A table as CSV in which no name and no text begins as a formula does (see :func:`guarded`)."""
    return str(safe_frame(frame).to_csv(index=False, float_format=float_format))


def safe_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A table in which no name and no text begins as a formula does."""
    safe = frame.rename(columns=lambda name: guarded(name) if isinstance(name, str) else name)
    for place, kind in enumerate(safe.dtypes):
        if kind.kind == "O" or str(kind) in ("str", "string", "category"):
            cells = list(safe.iloc[:, place])
            safe.isetitem(place, [guarded(cell) if isinstance(cell, str) else cell for cell in cells])
    return safe


def guarded(text: str) -> str:
    """Text for a CSV file: an apostrophe before what a spreadsheet would run as a formula.

    Readers of this project take the apostrophe off again (:func:`unguarded`).
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def unguarded(text: str) -> str:
    """What :func:`guarded` was given."""
    return text[1:] if text.startswith("'") and guarded(text[1:]) != text[1:] else text
