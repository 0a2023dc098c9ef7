"""Tables with all their columns, as people have them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from jko.columns.cells import cells_of, dtypes_of
from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.kinds import MANY, kinds_table
from jko.preparation.names import listed, shown
from jko.preparation.table import Marks, Table
from jko.preparation.whole import Whole
from tasks.datasets.choice import mark_missing
from tasks.datasets.files import load_file, read_frame
from tasks.datasets.kinds import table_name
from tasks.datasets.written import Written


def load_table(settings: Data, seed: int) -> Table:
    """The table ``settings.file`` as rows of numbers: what became of cells of many kinds, or plain ones.

    Args:
        settings: name the file and say how it is read, and what kinds its columns have.
        seed: of the split and of the noise of cells.

    Raises:
        InputError: it cannot be read, or its rows cannot be used.
    """
    if settings.kinds_used != "off":
        return kinds_table(load_whole(settings), settings, seed)
    return load_file(settings)


def load_whole(settings: Data, known: Marks | None = None) -> Whole:
    """The table ``settings.file`` with all columns that are asked for, and their context among them.

    Args:
        settings: name the file and say how it is read.
        known: marks of another file like it.

    Raises:
        InputError: it cannot be read.
    """
    path, context = Path(settings.file or ""), tuple(settings.context or ())
    asked = None if settings.columns is None else (*settings.columns, *context)
    own = settings.model_copy(update={"columns": asked})
    written = read_whole(path, own, known, strict=settings.kinds == "auto")
    frame = written.frame
    return Whole(
        table_name(path), str(path), cells_of(frame), written.notes, written.marks, context_columns=context,
        dtypes=dtypes_of(frame),
    )  # fmt: skip


def read_whole(
    path: Path, settings: Data | None = None, known: Marks | None = None, *, strict: bool = False
) -> Written:
    """All columns of a file of any kind, with text, dates and empty cells as they are.

    Args:
        path: the file.
        settings: how a CSV is written, which array and columns are taken, and what stands for an empty cell.
        known: marks of another file like it, for numbers that can be read in two ways.
        strict: whether numbers in a format that is not read are refused, where they are too many different
            ones to be a list of levels; they are text otherwise.

    Raises:
        InputError: no such file, another kind, no rows, or it cannot be read; names that are refused.
    """
    settings = settings or Data(source="file", file=str(path))
    written = read_frame(path, settings, known, words=MANY if strict else math.inf)
    frame, wanted = written.frame, settings.columns or ()
    unknown = [name for name in wanted if name not in frame.columns]
    if unknown:
        raise InputError(f"{path}: no column {shown(unknown[0])}; it has {listed(list(frame.columns))}")
    frame = frame[list(wanted)] if wanted else frame
    if not settings.missing_values:
        return replace(written, frame=frame)
    marked, notes = mark_missing(frame.select_dtypes("number"), settings.missing_values)
    frame = frame.assign(**{str(name): marked[name] for name in marked.columns})
    return replace(written, frame=frame, notes=(*written.notes, *notes))
