"""Which cells the benchmark consists of: what is reported, and the trials that choose settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cell import Cell
from benchmarks.chosen import RECORD, chosen
from benchmarks.methods import STARTED
from benchmarks.sets import SECONDS, SETS, Set, tuning_sets
from benchmarks.settings import settings_of, tuned

#: a trial takes this part of a cell's budget by kind of set
TRIAL: Mapping[str, int] = {"picture": 10, "plane": 5, "table": 5}
#: CPU seconds after which a baseline is done, for the sum; on tables the mixture may use its whole budget
BASELINE_SECONDS: Mapping[str, int] = {"gaussian": 2, "mixture": 120, f"mixture{STARTED}": 120}
#: methods of every kind of set, beside the two baselines
PEERS: Mapping[str, tuple[str, ...]] = {
    "plane": ("nsf", "cnf", "ot_cfm", "end_to_end", "ours_plain_jko", "ours"),
    "table": ("nsf", f"mixture{STARTED}", f"nsf{STARTED}", "ours"),
    "picture": ("nsf", "ours"),
}
BASELINES = ("gaussian", "mixture")
#: run in the chosen setting only
CHOSEN_ONLY = ("cnf", "ot_cfm", "ours")
#: of a set of each kind
SEEDS: Mapping[str, tuple[int, ...]] = {"table": (0, 1, 2), "plane": (0,), "picture": (0,)}
#: the short chains of the plane have this part of the budget
PART = 5

#: figures of a cell, ``None`` while there are none
Lookup = Callable[[Cell], Mapping[str, Any] | None]


@dataclass
class Plan:
    """Cells of one set.

    Args:
        cells: those that are known.
        later: CPU seconds of those that depend on the tuning, by what they will be.
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


def budget(name: str) -> int:
    """CPU seconds of every method on a set, or on a table of the user's."""
    return SETS[name].seconds if name in SETS else SECONDS


def plan(name: str, record: Path = RECORD) -> Plan:
    """The cells of a reported set: defaults and chosen settings, all seeds.

    Ours, neural equations and a peer after the same start are run in the chosen setting only.

    Args:
        name: of the set.
        record: of the tuning.
    """
    made, one = Plan(), SETS[name]
    for method in (*BASELINES, *PEERS[one.kind]):
        for setting in settings_to_run(method, one, record):
            if setting is None:
                made.later[f"{name} {method}, chosen setting"] = one.seconds * len(SEEDS[one.kind])
            else:
                made.cells += [Cell(name, method, setting, seed, one.seconds) for seed in SEEDS[one.kind]]
    own = ours_setting(one, record)
    if one.kind == "plane" and own is not None:  # a chain is planned as a whole
        made.cells.append(Cell(name, "ours", own, 0, one.seconds // PART))
    return made


def ours_setting(one: Set, record: Path = RECORD) -> str | None:
    """The setting of ours on a set; ``None`` while it is not chosen."""
    return chosen("ours", one.group, record)


def settings_to_run(method: str, one: Set, record: Path = RECORD) -> list[str | None]:
    """The settings of a method that are reported on a set; ``None`` for one that is not chosen yet."""
    if not tuned(method):
        return ["default"]
    best = chosen(method, one.group, record)
    if method in CHOSEN_ONLY or method.endswith(STARTED):
        return [best]
    return ["default"] if best == "default" else ["default", best]


def trials(group: str) -> list[Cell]:
    """The cells that choose the settings of a group of sets: as many for every method that has some."""
    made = []
    for one in tuning_sets(group):
        for method in PEERS[one.kind]:
            if tuned(method) and not method.endswith(STARTED):
                seconds = one.seconds // TRIAL[one.kind]
                made += [Cell(one.name, method, setting, 0, seconds) for setting in settings_of(method)]
    return made
