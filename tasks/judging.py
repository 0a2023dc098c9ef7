"""Models judged by their samples in files: reading them, and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import pandas as pd

from jko.config.data_section import Data
from jko.core.display import figure, pair_of
from jko.core.errors import InputError
from jko.judging import Judged
from tasks.adapters.system.output import write_whole
from tasks.datasets.files import finite_rows, read_cells
from tasks.datasets.parquet import PARQUET, read_parquet
from tasks.report.drawing import STYLE, data_uri, page, png
from tasks.report.resolution import by_pairs, by_resolution


def read_rows(path: Path, columns: Sequence[str] | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The numeric columns of a CSV, NPY or Parquet file.

    Args:
        path: the file.
        columns: those to take, in this order; of a file without names all, and they get these names.

    Returns:
        Rows without empty cells, and notes: what was left out.

    Raises:
        InputError: no such file, another kind, a column is missing, or a number is not finite.
    """
    notes: tuple[str, ...] = ()
    if path.suffix.lower() == PARQUET:
        frame = _parquet(path)
    else:
        cells = read_cells(Data(source="file", file=str(path)))
        frame, notes = cells.frame, cells.notes
    values, dropped = finite_rows(frame, "drop", path)
    notes = (*notes, *dropped)
    frame = pd.DataFrame(values, columns=frame.columns)
    if columns is None:
        return frame, notes
    if path.suffix.lower() == ".npy" and frame.shape[1] == len(columns):
        return frame.set_axis(list(columns), axis=1), notes
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}, which the held-out rows have")
    return frame[list(columns)], notes


def _parquet(path: Path) -> pd.DataFrame:
    return read_parquet(path).select_dtypes("number").astype(float)


def write_page(judged: Sequence[Judged], sources: Mapping[str, str], place: Path) -> None:
    """Write what is known of models as one page that holds its pictures.

    Args:
        judged: the models.
        sources: what was read: words and files.
        place: the file.
    """
    with matplotlib.rc_context(STYLE):
        curves = data_uri(png(by_resolution({one.name: one.bracket for one in judged})))
        maps = {}
        for one in judged:
            drawn = by_pairs(one.columns, one.pairs)
            maps[one.name] = "" if drawn is None else data_uri(png(drawn))
    values = {"models": judged, "sources": sources, "curves": curves, "maps": maps, "figure": figure}
    text = page("judged.html.j2", Path(__file__).parent / "report", {**values, "pair_of": pair_of})
    write_whole(place, lambda stream: stream.write(text.encode()))
