"""Metrics on disk with their timestamps, before they are sent: sending them again is harmless."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from jko.disk.durable import append_lines
from jko.disk.sealed import read_lines, sealed_line


@dataclass(frozen=True)
class Entry:
    """One metric value of the journal.

    Args:
        key: name.
        value: finite value.
        step: JKO step k.
        timestamp: milliseconds since the epoch.
    """

    key: str
    value: float
    step: int
    timestamp: int


#: what a line must hold
KINDS: dict[str, type | tuple[type, ...]] = {"key": str, "value": (int, float), "step": int, "timestamp": int}


def milliseconds() -> int:
    """The time as MLflow takes it, in milliseconds since 1970; 0 where the clock stands before."""
    return max(0, time.time_ns() // 1_000_000)


class Journal:
    """Metrics of one run on disk; equal entries are kept once, with their first timestamp."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[tuple[str, int], Entry] = {}
        for values in read_lines(path):
            with suppress(TypeError):
                entry = Entry(**values)
                if all(isinstance(getattr(entry, name), kind) for name, kind in KINDS.items()):
                    self.entries[entry.key, entry.step] = entry

    def add(self, values: Mapping[str, float | None], step: int) -> list[Entry]:
        """Append new values; returns the entries to send."""
        now = milliseconds()
        new = []
        for key, value in values.items():
            known = self.entries.get((key, step))
            if value is None or not math.isfinite(value) or (known and known.value == value):
                continue
            self.entries[key, step] = entry = Entry(key, float(value), step, now)
            new.append(entry)
        append_lines(self.path, [sealed_line(asdict(entry)) for entry in new])
        return new
