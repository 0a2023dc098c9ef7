"""Models judged by their samples in files: reading them, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jko.columns.infer import infer
from jko.config.data_section import Data
from jko.core.display import figure, pair_of
from jko.core.errors import InputError
from jko.judged import Judged, Judgement
from tasks.adapters.system.output import write_whole
from tasks.datasets.choice import choose_columns, finite_rows
from tasks.datasets.files import read_frame
from tasks.datasets.kinds import has_names
from tasks.report.drawing import STYLE, data_uri, page, png
from tasks.report.ranks import of_columns
from tasks.report.resolution import by_pairs, by_resolution
from tasks.report.table.section import table_section
from tasks.report.table.shown import ShownTable, shown_table
from tasks.report.worst import beside, worst_of


def read_rows(
    path: Path, columns: Sequence[str] | None = None, groups: Sequence[str] = ()
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The numeric columns of a file of any kind.

    Args:
        path: the file.
        columns: those to take, in this order; of a file without names all, and they get these names.
        groups: columns that may also hold text.

    Returns:
        Rows without empty cells, and notes: what was left out.

    Raises:
        InputError: no such file, another kind, a column is missing, or a number is not finite.
    """
    named = has_names(path)
    written = read_frame(path, Data(source="file", file=str(path)))
    whole, notes = written.frame, written.notes
    if columns is not None and not named:
        if whole.shape[1] != len(columns):
            raise InputError(f"{path}: {whole.shape[1]} columns beside the {len(columns)} of held-out rows")
        whole = whole.set_axis(list(columns), axis=1)
    needed = [*groups] if columns is None else [*columns]
    missing = [name for name in needed if name not in whole.columns]
    if missing:
        known = "--group names" if columns is None else "the held-out rows have"
        raise InputError(f"{path}: no column {missing[0]!r}, which {known}")
    text = [name for name in groups if not pd.api.types.is_numeric_dtype(whole[name])]
    numbers = whole.drop(columns=text)
    wanted = None if columns is None else [name for name in columns if name not in text]
    chosen, more = choose_columns(numbers, wanted, path, named=named)
    frame, dropped = _whole_rows(chosen.astype(float), whole[text], path)
    if columns is None:
        order = [str(name) for name in whole.columns if name in frame.columns]
        return frame[order], (*notes, *more, *dropped)
    return frame[list(columns)], (*notes, *more, *dropped)


def _whole_rows(
    numbers: pd.DataFrame, text: pd.DataFrame, path: Path
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows without empty cells, and how many were dropped.

    Raises:
        InputError: an infinite number.
    """
    finite_rows(numbers, "drop", path)  # refuses what is infinite
    both = pd.concat([numbers, text], axis=1)
    kept = both.notna().all(axis=1).to_numpy()
    gone = int(np.count_nonzero(~kept))
    notes = (f"dropped {gone} of {len(kept)} rows with empty cells",) if gone else ()
    return both[kept].reset_index(drop=True), notes


def write_page(judgement: Judgement, place: Path, sources: Sequence[tuple[str, str]] = ()) -> None:
    """Write what is known of models as one page that holds its pictures.

    Args:
        judgement: of the models.
        place: the file.
        sources: what was read: words and files.
    """
    with matplotlib.rc_context(STYLE):
        curves = data_uri(png(by_resolution({one.name: one.bracket for one in judgement})))
        pictures = {one.name: _pictures(judgement, one) for one in judgement}
        tables = _tables(judgement)
    values = {
        "judgement": judgement, "models": judgement.models, "sources": sources, "curves": curves,
        "pictures": pictures, "tables": tables, "figure": figure, "pair_of": pair_of,
    }  # fmt: skip
    text = page("judged.html.j2", Path(__file__).parent / "report", values)
    write_whole(place, lambda stream: stream.write(text.encode()))


def _tables(judgement: Judgement) -> dict[str, ShownTable]:
    """The columns of every model by the kinds that the held-out rows have."""
    names = judgement.columns
    rows = dict(zip(names, judgement.held_out.T, strict=True))
    schema, found = infer(rows), {}
    for one in judgement:
        samples = dict(zip(names, judgement.samples[one.name].T, strict=True))
        least = {single.columns[0]: single.least for single in one.singles}
        section = table_section(schema, rows, samples, called="held-out rows", least=least)
        found[one.name] = shown_table(section, "held-out rows", model=one.name)
    return found


def _pictures(judgement: Judgement, one: Judged) -> dict[str, str]:
    """The pictures of a model by name; empty where there is none."""
    drawn: dict[str, Figure | None] = {
        "ranks": of_columns(one.coverage), "map": by_pairs(one.singles, one.pairs), "worst": None,
        "conditional": None if one.conditional is None else of_columns(one.conditional.coverage),
    }  # fmt: skip
    worst = worst_of(one.pairs)
    if worst is not None:
        places = [judgement.columns.index(name) for name in worst.columns]
        drawn["worst"] = beside(worst, judgement.held_out[:, places], judgement.samples[one.name][:, places])
    return {name: "" if made is None else data_uri(png(made)) for name, made in drawn.items()}
