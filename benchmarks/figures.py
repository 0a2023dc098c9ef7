"""What the tables and pictures show: rows of methods, read from the cells' files."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cell import RESULTS, ROOM, Cell
from benchmarks.chosen import RECORD
from benchmarks.methods import METHODS
from benchmarks.plan import BASELINES, PEERS, SEEDS, Lookup, settings_to_run
from benchmarks.sets import SETS
from benchmarks.settings import tuned
from jko.disk.sealed import read_json

#: a point of the curve stands for a time up to this factor before it
LATE = 1.05


@dataclass(frozen=True)
class Row:
    """A method on a set.

    Args:
        label: of the method, with the setting where it was chosen among several.
        ours: whether it is the project's own chain.
        records: one a seed, as the cells' files have them.
    """

    label: str
    ours: bool
    records: tuple[Mapping[str, Any], ...]

    @property
    def value(self) -> float | None:
        """Median of the figure over the seeds, nats; ``None`` if one is not finite."""
        return _median([record[record["measure"]]["value"] for record in self.records])

    @property
    def text(self) -> str:
        """The figure with its standard error; of several seeds the median, the smallest and the largest."""
        figures = [record[record["measure"]] for record in self.records]
        return _text([figure["value"] for figure in figures], figures[0]["se"])

    @property
    def core_s(self) -> float:
        """Median CPU seconds."""
        return statistics.median(record["core_s"] for record in self.records)

    @property
    def peak_mb(self) -> float:
        """Median of the largest resident memory, MiB."""
        return statistics.median(record["peak_mb"] for record in self.records)

    def at(self, seconds: float) -> tuple[float | None, str]:
        """The figure that the curves show at some CPU seconds, as number and text."""
        points = [point for record in self.records if (point := _point(record, seconds))]
        if len(points) < len(self.records):
            return None, "–"
        values = [point[1] for point in points]
        return _median(values), _text(values, points[0][2])


def _point(record: Mapping[str, Any], seconds: float) -> Sequence[Any] | None:
    """The last point of a curve at or before a time, if there is one; for the whole budget its end."""
    curve: Sequence[Sequence[Any]] = record["curve"]
    if seconds >= record["cell"]["seconds"]:
        return curve[-1]  # also where the last iteration took a little longer
    before = [point for point in curve if point[0] <= LATE * seconds]
    return before[-1] if before else None


def _median(values: Sequence[float | None]) -> float | None:
    finite = [value for value in values if value is not None]
    return statistics.median(finite) if finite and len(finite) == len(values) else None


def _text(values: Sequence[float | None], se: float | None) -> str:
    middle = _median(values)
    if middle is None:
        return "not finite"
    digits = 4 if abs(middle) < 1 else 2
    if len(values) == 1:
        return f"{middle:.{digits}f} ± {se or 0:.{digits}f}"
    finite = [value for value in values if value is not None]
    return f"{middle:.{digits}f} ({min(finite):.{digits}f} … {max(finite):.{digits}f})"


def stored(results: Path = RESULTS) -> Lookup:
    """Looks up what the files say, also of code that changed since; only cells of recorded settings."""

    def lookup(cell: Cell) -> Mapping[str, Any] | None:
        known: Mapping[str, Any] | None = read_json(cell.path(results))
        return known if known and known.get("tuning") else None

    return lookup


def rows(name: str, lookup: Lookup, record: Path = RECORD) -> dict[tuple[str, str], Row]:
    """The rows of a set by method and ``default`` or ``best``; those without figures are left out.

    Where the default itself was chosen, both rows are of its cells.
    """
    one, found = SETS[name], {}
    for method in (*BASELINES, *PEERS[one.kind]):
        settings = settings_to_run(method, one, record)
        for which, setting in (("default", settings[0]), ("best", settings[-1])):
            if setting is None or (which == "best" and not _choice(method)):
                continue
            if which == "default" and setting != "default" and method != "ours":
                continue  # no row of the default where only what was chosen is run
            cells = [Cell(name, method, setting, seed, one.seconds) for seed in SEEDS[one.kind]]
            records = [known for cell in cells if (known := lookup(cell))]
            if records:
                found[method, which] = Row(_label(method, which), METHODS[method].ours, tuple(records))
    return found


def _choice(method: str) -> bool:
    """Whether a method has a row of its chosen setting."""
    return tuned(method) and method != "ours"


def _label(method: str, which: str) -> str:
    label = METHODS[method].label
    return f"{label}, {'best of four' if which == 'best' else 'default'}" if _choice(method) else label


def published() -> Mapping[str, Any]:
    """Figures from papers and of earlier measurements, by set."""
    known: Mapping[str, Any] = read_json(ROOM / "published.json")
    return known
