"""A table as a reader gives it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from jko.preparation.table import Marks


@dataclass(frozen=True)
class Written:
    """A table as it was read.

    Args:
        frame: its columns.
        notes: sentences on how it was read.
        marks: those of its numbers; ``None`` where no number shows one.
        how: how the file is written, in words.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    marks: Marks | None = None
    how: str = ""
