"""Tables with all their columns, as people have them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.names import check_names, listed, shown
from tasks.datasets.csv_table import Written
from tasks.datasets.files import mark_missing, read_frame
from tasks.datasets.formats import refuse_dressed
from tasks.datasets.parquet import PARQUET, read_parquet


def read_whole(path: Path, settings: Data | None = None) -> Written:
    """All columns of a CSV, NPY or Parquet file, with text, dates and empty cells as they are.

    Args:
        path: the file.
        settings: how a CSV is written, which columns are taken, and what stands for an empty cell.

    Raises:
        InputError: no such file, another kind, no rows, or it cannot be read; names that are refused.
    """
    known = settings or Data(source="file", file=str(path))
    written = _read(path, known)
    frame, wanted = written.frame, known.columns or ()
    unknown = [name for name in wanted if name not in frame.columns]
    if unknown:
        raise InputError(f"{path}: no column {shown(unknown[0])}; it has {listed(list(frame.columns))}")
    frame = frame[list(wanted)] if wanted else frame
    if not known.missing_values:
        return replace(written, frame=frame)
    marked, notes = mark_missing(frame.select_dtypes("number"), known.missing_values)
    frame = frame.assign(**{str(name): marked[name] for name in marked.columns})
    return replace(written, frame=frame, notes=(*written.notes, *notes))


def _read(path: Path, settings: Data) -> Written:
    if path.suffix.lower() != PARQUET:
        notes: list[str] = []

        def noted(cells: pd.Series, place: str) -> None:
            """<=50K and >50K are two words of a table, though each could be a number."""
            try:
                refuse_dressed(cells, place)
            except InputError as refusal:
                told = str(refusal).removeprefix(f"{path}: ").partition(";")[0]
                notes.append(f"{told}: taken as text")

        written = read_frame(path, settings, dressed=noted)
        return replace(written, notes=(*written.notes, *notes))
    frame: pd.DataFrame = read_parquet(path)
    check_names([str(name) for name in frame.columns], path)
    if frame.empty:
        raise InputError(f"{path}: the table has no rows")
    return Written(frame)
