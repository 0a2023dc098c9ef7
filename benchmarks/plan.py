"""Which cells the benchmark consists of, as far as the figures so far tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.cell import Cell
from benchmarks.methods import METHODS
from benchmarks.settings import tried

#: CPU seconds of a cell by kind of set; of our chain on the rose, twenty minutes of one core
SECONDS: Mapping[str, int] = {"plane": 300, "table": 120, "picture": 300}
CHAIN_SECONDS: Mapping[str, int] = {"picture": 1200}
#: a setting is tried for this part of the budget
TRIAL = 5
#: CPU seconds after which a baseline is done, for the sum; on tables the mixture uses its whole budget
BASELINE_SECONDS: Mapping[str, int] = {"gaussian": 2, "mixture": 120}
#: methods of every kind of set, beside the two baselines
PEERS: Mapping[str, tuple[str, ...]] = {
    "plane": ("nsf", "cnf", "ot_cfm", "end_to_end", "ours_plain_jko", "ours"),
    "table": ("nsf", "ours"),
    "picture": ("nsf", "ours"),
}
BASELINES = ("gaussian", "mixture")
SEEDS = (0, 1, 2)
#: methods of a set of the plane that get all seeds
BEST = 2

#: figures of a cell, ``None`` while there are none
Lookup = Callable[[Cell], Mapping[str, Any] | None]


@dataclass
class Plan:
    """Cells of one set.

    Args:
        cells: those that are known.
        later: CPU seconds of those that depend on figures still missing, by what they will be.
    """

    cells: list[Cell] = field(default_factory=list)
    later: dict[str, int] = field(default_factory=dict)

    @property
    def seconds(self) -> int:
        """CPU seconds of all cells, an upper bound."""
        return sum(expected(cell) for cell in self.cells) + sum(self.later.values())


def expected(cell: Cell) -> int:
    """CPU seconds that a cell takes at most."""
    return min(cell.seconds, BASELINE_SECONDS.get(cell.method, cell.seconds))


def budget(kind: str, method: str) -> int:
    """CPU seconds of a method on a kind of set."""
    return CHAIN_SECONDS.get(kind, SECONDS[kind]) if METHODS[method].ours else SECONDS[kind]


def plan(kind: str, name: str, lookup: Lookup) -> Plan:
    """The cells of a set: defaults, trials of settings, the best of them in full, more seeds.

    Args:
        kind: of the set.
        name: of the set.
        lookup: the figures so far.
    """
    made = Plan()
    methods = (*BASELINES, *PEERS[kind])
    seeds = SEEDS if kind == "table" else SEEDS[:1]
    for method in methods:
        made.cells += [Cell(name, method, "default", seed, budget(kind, method)) for seed in seeds]
        if tried(method):
            _tune(made, kind, name, method, lookup)
    if kind == "plane":
        made.cells.append(
            Cell(name, "ours", "default", 0, SECONDS[kind] // TRIAL)
        )  # a chain is planned as a whole
        _repeat(made, lookup)
    return made


def _tune(made: Plan, kind: str, name: str, method: str, lookup: Lookup) -> None:
    """Trials of a method's settings, and the best on validation rows in full."""
    seconds = budget(kind, method)
    made.cells += trials(kind, name, method)
    best = chosen(kind, name, method, lookup)
    seeds = SEEDS if kind == "table" else SEEDS[:1]
    if best is None:
        made.later[f"{name} {method}, best setting"] = seconds * len(seeds)
    else:
        made.cells += [Cell(name, method, best, seed, seconds) for seed in seeds]


def trials(kind: str, name: str, method: str) -> list[Cell]:
    """The cells that choose a method's setting."""
    return [Cell(name, method, setting, 0, budget(kind, method) // TRIAL) for setting in tried(method)]


def chosen(kind: str, name: str, method: str, lookup: Lookup) -> str | None:
    """The setting with the smallest validation NLL; ``None`` while a trial is missing."""
    found = {cell.setting: _validation(lookup(cell)) for cell in trials(kind, name, method)}
    scores = {setting: score for setting, score in found.items() if score is not None}
    return min(scores, key=lambda setting: scores[setting]) if found and len(scores) == len(found) else None


def _repeat(made: Plan, lookup: Lookup) -> None:
    """More seeds for the best methods, one setting each, chosen on validation rows."""
    full = [cell for cell in made.cells if cell.seconds == SECONDS["plane"]]
    scores = {cell: _validation(lookup(cell)) for cell in full}
    if made.later or any(score is None for score in scores.values()):
        made.later["more seeds of the best methods"] = BEST * (len(SEEDS) - 1) * SECONDS["plane"]
        return
    ranked = sorted(full, key=lambda cell: scores[cell] or 0.0)
    best = {cell.method: cell for cell in reversed(ranked)}  # the best cell of every method
    leading = sorted(best.values(), key=lambda cell: scores[cell] or 0.0)[:BEST]
    made.cells += [
        Cell(cell.set, cell.method, cell.setting, seed, cell.seconds)
        for cell in leading
        for seed in SEEDS[1:]
    ]


def _validation(record: Mapping[str, Any] | None) -> float | None:
    """Validation NLL of a record, nats; one that is not finite is worse than all others."""
    if record is None:
        return None
    value = record["validation_nll"]["value"]
    return float("inf") if value is None else float(value)
