"""The log-density of every row of a file: a function of the row, written in the row's own place."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.views.models import check_output, columns_of, open_chain, plain_rows, write_table
from jko.build import start_law
from jko.chain.noise import log_densities
from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.disk.layout import Layout
from jko.preparation.context import known_classes
from jko.preparation.facts import DataFacts
from jko.preparation.table import Array, Marks, Table
from jko.statistics.heavy import warning
from jko.statistics.robust import heavy_rows, robust
from tasks.datasets.choice import finite_rows
from tasks.datasets.files import Cells, read_cells
from tasks.datasets.text import first_line

#: what a refusal says of settings that would help a training run, up to its end
WAY_OUT = re.compile(
    r"(?:;|,| \()[^;,(]*\bdata\."
    r"(?:columns|missing_values|missing|decimal|thousands|header|separator|encoding|array|context)\b.*",
    re.DOTALL,
)


@dataclass(frozen=True)
class Scored:
    """What was written.

    Args:
        rows: of the file.
        mean: of the log-densities, nats, data units.
        left: why rows were left empty, and how many.
        notes: on how the file was read.
        median: of the log-densities, nats, data units.
        warning: a sentence that names rows which decide the mean; empty where none does.
    """

    rows: int
    mean: float
    left: Mapping[str, int]
    notes: tuple[str, ...] = ()
    median: float = math.nan
    warning: str = ""

    def __str__(self) -> str:
        """One sentence."""
        empty = sum(self.left.values())
        reasons = ", ".join(f"{count} {why}" for why, count in self.left.items() if count)
        rest = f"; {empty} left empty ({reasons})" if empty else ""
        median = f" (median {self.median:.4f})" if math.isfinite(self.median) else ""
        said = f"; {self.warning}" if self.warning else ""
        return (
            f"{self.rows - empty} of {self.rows} rows scored, mean log-density {self.mean:.4f} nats{median}"
            f"{rest}{said}"
        )


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
    cells = _read(_settings(config.data, facts, file), facts)
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


def beside_mean(scores: Array) -> tuple[float, str]:
    """Median of the log-densities, and a sentence that names rows which decide their mean.

    Args:
        scores: −log q of every row of a file, nats; not a number where it has none.
    """
    scored = np.flatnonzero(np.isfinite(scores))
    if not len(scored):
        return math.nan, ""
    found = robust(scores[scored])
    return -found.median, warning(heavy_rows(scores[scored], found, scored), found.mean, "mean of −log q")


def _read(settings: Data, facts: DataFacts) -> Cells:
    """The file's cells; a refusal names no settings, since a score takes none.

    Raises:
        InputError: the file is none that the chain can score.
    """
    try:
        return read_cells(settings, Marks(*facts.marks) if facts.marks else None)
    except InputError as error:
        said = WAY_OUT.sub("", str(error))
        if said == str(error):
            raise
        closed = ")" * (said.count("(") - said.count(")"))
        raise InputError(
            f"{said}{closed}; it is read as the chain's training file was, so write it in the same way"
        ) from None


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


def _settings(data: Data, facts: DataFacts, file: Path) -> Data:
    """How the file is read: as the chain's own, or as our own files are written where its header says so."""
    settings = columns_of(data.model_copy(update={"source": "file", "file": str(file)}), facts)
    wanted = {*(settings.columns or ()), *(settings.context or ())}
    if not wanted or not file.is_file():
        return settings
    names = next(csv.reader([first_line(file)]), [])
    if not wanted <= {name.strip() for name in names}:
        return settings
    ours = {"separator": "comma", "decimal": "point", "thousands": "none"}
    asked = {name: value for name, value in ours.items() if getattr(data, name) != "auto" and len(names) > 1}
    return settings.model_copy(update={"header": "yes", **asked})
