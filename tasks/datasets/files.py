"""Tables from files of all kinds: every problem is one sentence that says what and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.disk.content import absent, is_there
from jko.preparation.context import with_columns
from jko.preparation.names import check_names, shown
from jko.preparation.table import Array, Marks, Table
from tasks.adapters.dvc.versions import recorded_md5, version_of
from tasks.adapters.system.output import unguarded
from tasks.datasets.choice import choose_columns, finite_rows, mark_missing
from tasks.datasets.csv_table import read_csv
from tasks.datasets.holes import is_text
from tasks.datasets.kinds import form_of, has_names, refuse_other_kinds, table_name
from tasks.datasets.npy import read_npy
from tasks.datasets.npz import read_npz
from tasks.datasets.written import Written


@dataclass(frozen=True)
class Cells:
    """The numbers of a file as they stand there.

    Args:
        path: the file.
        frame: columns of the state, then those of the context; NaN where a cell is empty or marked.
        context: names of the columns of the context.
        notes: sentences for the user.
        marks: of its numbers, where it shows some.
    """

    path: Path
    frame: pd.DataFrame
    context: tuple[str, ...]
    notes: tuple[str, ...]
    marks: Marks | None = None

    def table(self, rows: Array, notes: Sequence[str] = ()) -> Table:
        """Some of the rows as a table with its context apart."""
        table = Table(
            table_name(self.path), rows, tuple(self.frame.columns), (*self.notes, *notes), marks=self.marks
        )
        return with_columns(table, self.context) if self.context else table


def load_file(settings: Data) -> Table:
    """Read the table ``settings.file`` and choose its columns and rows.

    Raises:
        InputError: missing, empty, not numeric, not finite, too few rows.
    """
    cells = read_cells(settings)
    values, notes = finite_rows(cells.frame, settings.missing, cells.path)
    return cells.table(values, notes)


def read_cells(settings: Data, known: Marks | None = None) -> Cells:
    """The chosen columns of ``settings.file``, all rows of it in their order.

    Args:
        settings: name the file and say how it is read.
        known: marks of another file like it, for numbers that can be read in two ways.

    Raises:
        InputError: missing, empty, or not numeric.
    """
    path = Path(settings.file or "")
    written = read_frame(path, settings, known)
    frame, notes = written.frame, written.notes
    context = tuple(settings.context or ())
    choose_columns(frame, context, path)  # refuses unknown ones and text
    if context and set(frame.columns) == set(context):
        raise InputError(f"{path}: every column is in data.context, and none is left to model")
    rest = frame.drop(columns=list(context))
    chosen, more = choose_columns(rest, settings.columns, path, named=has_names(path))
    both = pd.concat([chosen, frame[list(context)]], axis=1) if context else chosen
    marked, marks = mark_missing(both.astype(float), settings.missing_values)
    return Cells(path, marked, context, (*notes, *more, *marks), written.marks)


def read_frame(path: Path, settings: Data, known: Marks | None = None, *, words: float = 0) -> Written:
    """The file as a table of named columns, with sentences on how it was read.

    Args:
        path: the file, or the folder of a Zarr store.
        settings: how text is written, and which array of several is meant.
        known: marks of another file like this one, for numbers that can be read in two ways.
        words: see :func:`tasks.datasets.csv_table.read_csv`.

    Raises:
        InputError: it is not there, is of a kind that is not read, is damaged, or has no rows.
    """
    if not is_there(path):
        raise InputError(f"{path}: {absent(path)}")
    form = form_of(path)
    if path.is_file():
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty; give a table with a header line and rows")
        refuse_other_kinds(path)
    written = _read_text(path, settings, known, words=words) if form.kind == "text" else _read(path, settings)
    check_names([str(name) for name in written.frame.columns], path)
    if written.frame.empty:
        raise InputError(f"{path}: the table has no rows")
    return replace(written, notes=(*written.notes, *tracked(path)))


def _read_text(path: Path, settings: Data, known: Marks | None, *, words: float) -> Written:
    written = read_csv(path, settings, known, words=words)
    packing = form_of(path).packing
    frame = written.frame.apply(_unguarded)
    names = [unguarded(str(name)) for name in frame.columns]
    if len(set(names)) == len(names):
        frame.columns = pd.Index(names)
    return replace(written, frame=frame, how=f"{packing}, {written.how}" if packing else written.how)


def _unguarded(column: pd.Series) -> pd.Series:
    """Text as it was before a table of ours was written."""
    if not is_text(column) or not column.astype(str).str.startswith("'").any():
        return column
    return column.map(lambda cell: unguarded(cell) if isinstance(cell, str) else cell)


def _read(path: Path, settings: Data) -> Written:
    """A file that is no text."""
    kind, chosen = form_of(path).kind, ""
    if kind == "parquet":
        from tasks.datasets.columnar import read_parquet

        return read_parquet(path)
    if kind == "arrow":
        from tasks.datasets.columnar import read_arrow

        return read_arrow(path)
    if kind == "zarr":
        from tasks.adapters.store.foreign import read_zarr

        values, chosen = read_zarr(path, settings.array)
    elif kind == "npz":
        values, chosen = read_npz(path, settings.array)
    else:
        values = read_npy(path)
    names = [f"x{i}" for i in range(values.shape[1])]
    how = {"zarr": "Zarr", "npz": "NPZ"}.get(kind, "NPY") + (f", array {shown(chosen)}" if chosen else "")
    return Written(pd.DataFrame(values, columns=names), how=how)


def tracked(path: Path) -> tuple[str, ...]:
    """A sentence on the version that DVC records of data, where it does."""
    recorded = recorded_md5(path)
    if recorded is None:
        return ()
    own = version_of(path)
    if own == recorded:
        return (f"DVC tracks it: MD5 {recorded}",)
    return (
        f"warning: it is not the version that {path.name}.dvc records (MD5 {recorded}, this is {own}); "
        f"dvc pull {path} brings that one, dvc add {path} records this one",
    )
