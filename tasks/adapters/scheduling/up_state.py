"""Where ``jko up`` keeps what finds its processes again."""

from __future__ import annotations

from pathlib import Path

from jko.core.records import Count
from jko.disk.sealed import read_model
from tasks.adapters.system.processes import ProcessRecord, lives


class ChildRecord(ProcessRecord):
    """A process of the supervisor; ``ended`` says how often it did before."""

    ended: Count


class UpRecord(ProcessRecord):
    """The supervisor, as ``up.json`` holds it: the servers' addresses, whose they are, and its children."""

    api: str
    prefect: str
    prefect_own: bool
    mlflow: str
    children: dict[str, ChildRecord]


def home_of(root: Path) -> Path:
    """The folder of the supervisor's state and logs."""
    return root.resolve() / ".jko" / "up"


def records_of_runs(root: Path) -> Path:
    """Where scheduled runs leave their process while they work."""
    return home_of(root) / "runs"


def record_of(root: Path) -> UpRecord | None:
    """What the supervisor of now or of before says of itself; ``None`` if nobody says anything."""
    return read_model(home_of(root) / "up.json", UpRecord)


def state_of(root: Path) -> UpRecord | None:
    """What the living supervisor says of itself and its children; ``None`` if nothing is up."""
    record = record_of(root)
    return record if lives(record) else None
