"""What the runs of a schedule know of each other: a small file in ``.jko/schedules``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from jko.config import Config
from jko.core.errors import InputError
from jko.disk.content import absent, content_digest, is_there, size_and_time
from jko.disk.sealed import read_json, write_json
from tasks.adapters.dvc.versions import fetch_tracked, recorded_md5


@dataclass(frozen=True)
class Seen:
    """A data file as a run saw it.

    Args:
        path: the file.
        size: bytes.
        mtime_ns: time of its last change.
        sha256: of its content.
        recorded: MD5 in ``FILE.dvc``, where DVC tracks it.
        since: when this content was first seen.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str
    recorded: str | None
    since: str


@dataclass(frozen=True)
class ScheduleState:
    """The state of a schedule.

    Args:
        last: folder name of the last complete chain; ``None`` before the first.
        working: folder name of the chain that the last run worked on.
        seen: the data file.
        scored: source key of new data that were scored and not trained on.
        checked: when the last run looked.
    """

    last: str | None = None
    working: str | None = None
    seen: Seen | None = None
    scored: str | None = None
    checked: str = ""

    @classmethod
    def read(cls, root: Path, name: str) -> ScheduleState:
        """The stored state; a new one where there is none or it is of another version."""
        try:
            return TypeAdapter(cls).validate_python(read_json(state_file(root, name)))
        except ValidationError:
            return cls()

    def write(self, root: Path, name: str) -> None:
        """Store it, all or nothing."""
        write_json(state_file(root, name), asdict(self))


def state_file(root: Path, name: str) -> Path:
    """Where the state of a schedule is."""
    return root / ".jko" / "schedules" / f"{name}.json"


def look(config: Config, root: Path, known: Seen | None) -> Seen | None:
    """The data file now: hashed only if size or time changed, fetched if DVC records another version.

    Returns:
        ``None`` if the data are no file.

    Raises:
        InputError: the file is gone, or DVC cannot fetch it.
    """
    if config.data.file is None:
        return None
    path = Path(config.data.file)
    recorded = recorded_md5(path)
    if known is not None and recorded == known.recorded and _is_same(path, known):
        return known
    fetch_tracked(path, root)
    if not is_there(path):
        raise InputError(f"data.file = {str(path)!r}: {absent(path)}")
    size, changed = size_and_time(path)
    sha256 = known.sha256 if known is not None and _is_same(path, known) else content_digest(path)
    since = known.since if known is not None and known.sha256 == sha256 else now()
    return Seen(str(path), size, changed, sha256, recorded, since)


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_same(path: Path, known: Seen) -> bool:
    if not is_there(path) or str(path) != known.path:
        return False
    return size_and_time(path) == (known.size, known.mtime_ns)
