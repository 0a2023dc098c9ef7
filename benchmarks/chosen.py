"""The record of the tuning: which sets, which trials, what was chosen, and by which settings and presets.

It is written before a test row of a reported set is looked at (:mod:`benchmarks.tuning`), and cells of
reported sets are run by what it says or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.methods import settings_name
from benchmarks.presets import PRESET, preset_digest
from benchmarks.settings import settings_of, tuned
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.disk.sealed import read_json

RECORD = Path(__file__).parent / "tuning.json"
#: what to do where something is not as it was recorded
WAY_OUT = "run `python -m benchmarks.tuning`, or try things with --try, which opens no test rows"


def entry_of(group: str, record: Path = RECORD) -> Mapping[str, Any] | None:
    """What was recorded for a group of sets; ``None`` where nothing was."""
    known = read_json(record)
    found: Mapping[str, Any] | None = (known or {}).get(group)
    return found


def settings_digest(method: str) -> str:
    """SHA-256 of all settings of a method."""
    return digest_of(settings_of(method))


def chosen(method: str, group: str, record: Path = RECORD) -> str | None:
    """The setting of a method that did best on the tuning sets; ``None`` while nothing is recorded."""
    if not tuned(method):
        return None
    entry = entry_of(group, record)
    found: str | None = None if entry is None else entry["chosen"].get(settings_name(method))
    return found


def best_of(trials: Mapping[str, Mapping[str, float | None]]) -> str:
    """The setting with the smallest mean rank over the sets; of equal ones the first.

    Ranks and not nats: a set of many columns has larger differences than one of few.

    Args:
        trials: validation NLL in nats by setting and set; ``None`` where it was not finite.
    """
    ranks = dict.fromkeys(trials, 0.0)
    for name in next(iter(trials.values())):
        values = {setting: _or_infinite(of[name]) for setting, of in trials.items()}
        for setting, value in values.items():
            below = sum(other < value for other in values.values())
            equal = sum(other == value for other in values.values())
            ranks[setting] += below + (equal - 1) / 2
    return min(ranks, key=lambda setting: ranks[setting])


def _or_infinite(value: float | None) -> float:
    return float("inf") if value is None else value


def check(group: str, method: str, setting: str, record: Path = RECORD) -> Mapping[str, Any]:
    """Refuse a cell of a reported set whose settings are not those that were recorded.

    Args:
        group: of the set.
        method: of the cell.
        setting: its name.
        record: the file.

    Returns:
        The group's entry.

    Raises:
        InputError: nothing was recorded, or preset, settings or choice differ from it.
    """
    entry, wanted = entry_of(group, record), settings_name(method)
    if entry is None:
        raise InputError(f"{record.name} records no choice of settings for a {group}: {WAY_OUT}")
    if entry["preset"] != preset_digest(group):
        raise InputError(
            f"the preset {PRESET[group]} is not the one that {record.name} records for a {group}: {WAY_OUT}"
        )
    if tuned(method) and entry["settings"].get(wanted) != settings_digest(method):
        raise InputError(f"the settings of {wanted} are not those that {record.name} records: {WAY_OUT}")
    if setting not in ("default", chosen(method, group, record)):
        raise InputError(
            f"{method} {setting} is neither the default nor what {record.name} records as chosen: {WAY_OUT}"
        )
    return entry
