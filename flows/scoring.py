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
import torch
from numpy.typing import NDArray

from flows.models import check_output, columns_of, open_chain, plain_rows, write_table
from jko.chain import Chain
from jko.data_section import Data
from jko.densities import Density
from jko.disk.layout import Layout
from jko.errors import InputError
from jko.heavy import warning
from jko.preparation.context import known_classes
from jko.preparation.facts import DataFacts
from jko.preparation.table import Array, Marks, Table
from jko.robust import heavy_rows, robust
from jko.row_seeds import RowSeeds
from jko.sampling import log_density
from jko.seeds import counter_seed
from tasks.datasets.files import Cells, finite_rows, read_cells
from tasks.datasets.laws import start_of

#: draws of the noise that a score is averaged over, where there is noise
DRAWS = 8
#: what a refusal says of settings that would help a training run, up to its end
WAY_OUT = re.compile(
    r"(?:;|,| \()[^;,(]*\bdata\."
    r"(?:columns|missing_values|missing|decimal|thousands|header|separator|context)\b.*",
    re.DOTALL,
)
#: rows scored at a time
PIECE = 20_000


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
    found = log_densities(chain, start_of(config), plain_rows(table, facts), facts, seed=config.seed)
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


def log_densities(chain: Chain, law: Density | None, rows: Array, facts: DataFacts, *, seed: int) -> Array:
    """Log-density of rows and its standard error over draws of the noise, nats, data units.

    Args:
        chain: the chain.
        law: p_0, where the chain leads from a known law to a target.
        rows: as they stand in the file, shape (rows, d + c), data units.
        facts: of the chain's data.
        seed: the chain's.

    Returns:
        Shape (rows, 2); the error is 0 where there is no noise. Equal rows have equal values.
    """
    unique, places = np.unique(rows + 0.0, axis=0, return_inverse=True)  # -0 is 0
    noisy = any(facts.grid) or any(
        block.draw_probes(chain.standardise(torch.from_numpy(unique[:1]))) is not None for block in chain
    )
    draws = DRAWS if noisy else 1
    step = max(1, PIECE // draws)
    parts = [
        _score(chain, law, unique[start : start + step], facts, draws=draws, seed=seed)
        for start in range(0, len(unique), step)
    ]
    return np.concatenate(parts)[places.ravel()]


def _score(
    chain: Chain, law: Density | None, rows: Array, facts: DataFacts, *, draws: int, seed: int
) -> Array:
    """Mean and standard error over draws for distinct rows, shape (rows, 2)."""
    keys = [counter_seed(seed, "score", row.astype("<f8").tobytes().hex()) for row in rows]
    many = np.repeat(rows, draws, axis=0)
    if any(facts.grid):
        noise = [np.random.default_rng(key).random((draws, facts.dim)) - 0.5 for key in keys]
        many[:, : facts.dim] += np.concatenate(noise) * np.array(facts.grid)
    seeds = RowSeeds(tuple(counter_seed(key, "probes", i) for key in keys for i in range(draws)))
    x = torch.from_numpy(many)
    found = chain.log_prob(x, seed=seeds) if law is None else log_density(chain, law, x, seed=seeds)
    values = found[0].double().cpu().numpy().reshape(len(rows), draws)
    with np.errstate(invalid="ignore"):  # a row too far out has no score
        error = values.std(axis=1, ddof=1) / draws**0.5 if draws > 1 else np.zeros(len(rows))
        return np.stack([values.mean(axis=1), error], axis=1)


def _settings(data: Data, facts: DataFacts, file: Path) -> Data:
    """How the file is read: as the chain's own, or as our own files are written where its header says so."""
    settings = columns_of(data.model_copy(update={"source": "file", "file": str(file)}), facts)
    wanted = {*(settings.columns or ()), *(settings.context or ())}
    if not wanted or not file.is_file():
        return settings
    with file.open(encoding="utf-8", errors="replace", newline="") as stream:
        line = stream.readline(1 << 16)
    names = next(csv.reader([line]), [])
    if not wanted <= {name.strip() for name in names}:
        return settings
    ours = {"separator": "comma", "decimal": "point", "thousands": "none"}
    asked = {name: value for name, value in ours.items() if getattr(data, name) != "auto" and len(names) > 1}
    return settings.model_copy(update={"header": "yes", **asked})
