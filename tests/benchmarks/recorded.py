"""A record of choices as the tuning would write it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.chosen import settings_digest
from benchmarks.presets import preset_digest
from benchmarks.sets import GROUPS
from jko.disk.sealed import write_json

METHODS = ("nsf", "cnf", "ot_cfm", "ours")


def write_record(path: Path, **chosen: str) -> Path:
    """A record of all groups with the present presets and settings; ``default`` where nothing is named."""
    entry = {
        "chosen": {method: chosen.get(method, "default") for method in METHODS},
        "settings": {method: settings_digest(method) for method in METHODS},
    }
    write_json(path, {group: {**entry, "preset": preset_digest(group)} for group in GROUPS})
    return path
