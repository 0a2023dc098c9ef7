"""What is said of scored rows, and how the files are read that hold them."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.views.models import columns_of
from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.facts import DataFacts
from jko.preparation.table import Array
from jko.statistics.heavy import warning
from jko.statistics.robust import heavy_rows, robust
from tasks.adapters.system.output import unguarded
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
        of: what the figures are: log-densities, or log-probabilities where cells have masses.
    """

    rows: int
    mean: float
    left: Mapping[str, int]
    notes: tuple[str, ...] = ()
    median: float = math.nan
    warning: str = ""
    of: str = "log-density"

    def __str__(self) -> str:
        """One sentence."""
        empty = sum(self.left.values())
        reasons = ", ".join(f"{count} {why}" for why, count in self.left.items() if count)
        rest = f"; {empty} left empty ({reasons})" if empty else ""
        median = f" (median {self.median:.4f})" if math.isfinite(self.median) else ""
        said = f"; {self.warning}" if self.warning else ""
        return (
            f"{self.rows - empty} of {self.rows} rows scored, mean {self.of} {self.mean:.4f} nats{median}"
            f"{rest}{said}"
        )


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


@contextmanager
def naming_no_settings() -> Iterator[None]:
    """Refusals of a file in the body name no settings, since a score takes none.

    Raises:
        InputError: the file is none that the chain can score.
    """
    try:
        yield
    except InputError as error:
        said = WAY_OUT.sub("", str(error))
        if said == str(error):
            raise
        closed = ")" * (said.count("(") - said.count(")"))
        raise InputError(
            f"{said}{closed}; it is read as the chain's training file was, so write it in the same way"
        ) from None


def file_settings(data: Data, facts: DataFacts, file: Path) -> Data:
    """How the file is read: as the chain's own, or as our own files are written where its header says so."""
    settings = columns_of(data.model_copy(update={"source": "file", "file": str(file)}), facts)
    wanted = {*(settings.columns or ()), *(settings.context or ())}
    if not wanted or not file.is_file():
        return settings
    names = next(csv.reader([first_line(file)]), [])
    if not wanted <= {unguarded(name.strip()) for name in names}:
        return settings
    ours = {"separator": "comma", "decimal": "point", "thousands": "none"}
    asked = {name: value for name, value in ours.items() if getattr(data, name) != "auto" and len(names) > 1}
    return settings.model_copy(update={"header": "yes", **asked})
