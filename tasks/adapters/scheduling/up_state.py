"""Where ``jko up`` keeps what finds its processes again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jko.disk.sealed import read_json
from tasks.adapters.system.processes import lives


def home_of(root: Path) -> Path:
    """The folder of the supervisor's state and logs."""
    return root.resolve() / ".jko" / "up"


def records_of_runs(root: Path) -> Path:
    """Where scheduled runs leave their process while they work."""
    return home_of(root) / "runs"


def state_of(root: Path) -> dict[str, Any] | None:
    """What the living supervisor says of itself and its children; ``None`` if nothing is up."""
    record = read_json(home_of(root) / "up.json")
    return record if lives(record) else None
