"""The log-density of every row of a file: a function of the row, written in the row's own place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.views.models import check_output, open_chain, plain_rows, write_table
from flows.views.scored import Scored, beside_mean, file_settings, naming_no_settings
from flows.views.scored_kinds import score_kinds
from jko.build import start_law
from jko.chain.noise import log_densities
from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.disk.layout import Layout
from jko.preparation.context import known_classes
from jko.preparation.facts import DataFacts
from jko.preparation.table import Marks, Table
from tasks.datasets.choice import finite_rows
from tasks.datasets.files import Cells, read_cells


def score_file(layout: Layout, file: Path, output: Path, *, missing: str = "drop") -> Scored:
    """Write the log-density of every row of a file, in its order; given the context where there is one.

    Where columns were dequantised for training, or log-determinants are estimated, a score is the mean over
    a few draws of that noise, with its standard error: so it estimates what the chain's test NLL averages.
    The draws go by the chain's seed and the row's numbers, so a row has one score wherever it stands.

    Args:
        layout: the chain.
        file: rows in the chain's columns.
        output: where one line for each row goes, empty where a row cannot be scored.
        missing: ``refuse`` for a file with empty cells or infinite numbers.

    Raises:
        InputError: the file is none that the chain can score, or no row of it can be.
    """
    check_output(output)
    if output.resolve() == file.resolve():
        raise InputError(f"-o {output}: this is the file to score; name another one")
    config, chain, facts = open_chain(layout)
    if facts.kinds is not None:
        return score_kinds(config, chain, facts, file, output, missing=missing)
    cells = read_scored(config.data, facts, file)
    if missing == "refuse":
        finite_rows(cells.frame, missing, cells.path, way_out="leave --missing at drop")
    table, kept, left = usable_rows(cells, facts.context_columns)
    found = log_densities(chain, start_law(config), plain_rows(table, facts), facts, seed=config.seed)
    found = np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)
    values = np.full((len(cells.frame), 2), np.nan)
    values[kept] = found
    frame = pd.DataFrame({"log_density": values[:, 0]})
    if (found[:, 1] > 0).any():
        frame["log_density_se"] = values[:, 1]
    write_table(frame, output)
    left = {**left, "too far out for the model's numbers": int(np.isnan(found[:, 0]).sum())}
    scores = -frame["log_density"].to_numpy()
    mean = float(frame["log_density"].mean())
    return Scored(len(frame), mean, left, cells.notes, *beside_mean(scores))


def read_scored(data: Data, facts: DataFacts, file: Path) -> Cells:
    """The cells of a file in a chain's columns, read as its training file was.

    Raises:
        InputError: the file is none that the chain can take.
    """
    return _read(file_settings(data, facts, file), facts)


def _read(settings: Data, facts: DataFacts) -> Cells:
    """The file's cells."""
    with naming_no_settings():
        return read_cells(settings, Marks(*facts.marks) if facts.marks else None)


def usable_rows(cells: Cells, context: Sequence[str]) -> tuple[Table, NDArray[np.int64], dict[str, int]]:
    """The rows that can be scored.

    Args:
        cells: all rows of the file.
        context: the chain's context columns.

    Returns:
        Their table, their numbers in the file, and how many others there are of each kind.

    Raises:
        InputError: there are none.
    """
    values = cells.frame.to_numpy(dtype=float)
    empty = np.isnan(values).any(axis=1)
    infinite = np.isinf(values).any(axis=1) & ~empty
    kept = np.flatnonzero(~empty & ~infinite)
    left = {"with a missing cell": int(empty.sum()), "with an infinite number": int(infinite.sum())}
    if not len(kept):
        raise InputError(
            f"{cells.path}: no row can be scored: each has an empty cell, one that data.missing_values "
            "marks, or "
            "an infinite number"
        )
    table = cells.table(values[kept])
    known = known_classes(table, context)
    if not known.any():
        return table, kept, left  # refused by its first class
    return cells.table(values[kept[known]]), kept[known], {**left, "of an unknown class": int((~known).sum())}
