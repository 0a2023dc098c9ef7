"""Committed folders: written under a temporary name, digested, renamed, never changed again."""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jko.core.digest import digest_of
from jko.disk.durable import (
    TEMPORARY,
    make_folder,
    new_folder,
    put_in_place,
    sync_tree,
)
from jko.disk.sealed import SEAL, read_json

COMMIT = "COMMIT.json"
#: the part of a block that its weights and the block before it can make again
SAMPLES = "samples.zarr"
#: the prepared rows in block 0 of a folder of :func:`jko.fit`
ROWS = "rows.safetensors"
#: of the data's units, columns and rows
FACTS = "data.json"
#: of commit files that have a seal
FORMAT = 2
#: what a commit file holds beside its format and its seal
BODY = {"fingerprint", "files", "record"}


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Commit:
    """What a committed folder says of itself.

    Args:
        fingerprint: identity of the settings and inputs that made it.
        files: SHA-256 of every file by relative path.
        record: small facts stored with the commit.
    """

    fingerprint: str
    files: Mapping[str, str]
    record: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Digest of the content: of all files' names and digests."""
        return digest_of(dict(self.files))

    @property
    def recomputable(self) -> frozenset[str]:
        """Files that may be absent, all of them together: the samples of a block, never of the data."""
        if self.record.get("index", 0) < 1:
            return frozenset()
        return frozenset(name for name in self.files if name.startswith(f"{SAMPLES}/"))


def read_commit(folder: Path, *, verify: bool = False) -> Commit | None:
    """The commit of a folder, or ``None`` if it was never finished (or is damaged).

    A block whose samples were dropped as a whole (``jko prune --samples``) is still committed.

    Args:
        folder: the folder.
        verify: hash every file again; otherwise only their presence is checked.
    """
    commit = stored_commit(folder)
    return None if commit is None or any(damaged_files(folder, commit, verify=verify)) else commit


def stored_commit(folder: Path) -> Commit | None:
    """What the commit file of a folder says; ``None`` where it is missing or damaged.

    A commit file without a format and a seal was written before commit files had them.
    """
    values = read_json(folder / COMMIT)
    if not isinstance(values, dict):
        return None
    sealed, seal = bool(values.keys() & {"format", SEAL}), values.pop(SEAL, None)
    if values.keys() - {"format"} != BODY or (sealed and seal != digest_of(values)):
        return None
    fingerprint, files, record = values["fingerprint"], values["files"], values["record"]
    if not (isinstance(fingerprint, str) and isinstance(files, dict) and isinstance(record, dict)):
        return None
    if not all(isinstance(digest, str) and _inside(name) for name, digest in files.items()):
        return None
    return Commit(fingerprint, files, record)


def _inside(name: str) -> bool:
    """Whether a relative path stays in its folder."""
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def damaged_files(folder: Path, commit: Commit, start: str = "", *, verify: bool = True) -> Iterator[Path]:
    """Files of a committed folder that are missing, or whose bytes are not those of the commit.

    Args:
        folder: the folder.
        commit: what it must hold.
        start: only files whose relative paths begin so.
        verify: hash them; otherwise only their presence is checked.
    """
    dropped = frozenset() if (folder / SAMPLES).exists() else commit.recomputable
    for name, expected in commit.files.items():
        if name.startswith(start) and name not in dropped:
            path = folder / name
            if not path.is_file() or (verify and file_digest(path) != expected):
                yield path


@contextmanager
def committing(final: Path, fingerprint: str, record: Mapping[str, Any]) -> Iterator[Path]:
    """A temporary folder that becomes ``final`` when the body ends without an exception.

    Args:
        final: the folder to create; an unfinished one of that name is replaced.
        fingerprint: stored in the commit file.
        record: stored in the commit file; may be filled while the body runs.
    """
    make_folder(final.parent)
    temporary = new_folder(final.parent, f"{TEMPORARY}{final.name}-")
    try:
        yield temporary
        publish(temporary, final, fingerprint, record)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def publish(temporary: Path, final: Path, fingerprint: str, record: Mapping[str, Any]) -> Commit:
    """Write the commit file last, make everything durable, and rename into place."""
    files = {
        str(path.relative_to(temporary)): file_digest(path)
        for path in sorted(temporary.rglob("*"))
        if path.is_file()
    }
    commit = Commit(fingerprint, files, dict(record))
    body = {"format": FORMAT, "fingerprint": fingerprint, "files": files, "record": dict(record)}
    (temporary / COMMIT).write_text(json.dumps({**body, SEAL: digest_of(body)}, indent=1, sort_keys=True))
    sync_tree(temporary)
    put_in_place(temporary, final)
    return commit


def remove_temporary(*places: Path) -> None:
    """Remove what killed writers of these files and folders left behind, in and beside them.

    Only for the holder of the chain's lock.
    """
    for place in places:
        inside = place.rglob(f"{TEMPORARY}*") if place.is_dir() else []
        for path in [*inside, *place.parent.glob(f"{TEMPORARY}{glob.escape(place.name)}-*")]:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
