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

from pydantic import JsonValue

from jko.core.digest import digest_of
from jko.core.records import Count, Record
from jko.disk.durable import (
    TEMPORARY,
    make_folder,
    new_folder,
    put_in_place,
    sync_tree,
)
from jko.disk.sealed import SEAL, model_of, read_json

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


class CommitRecord(Record):
    """Small facts stored with a commit.

    Args:
        index: k of a block; 0 of all else.
        data_digest: of the data, the identity of the prepared rows.
        source_key: of the data, the identity of their source and preparation; ``None`` where none is known.
    """

    index: Count = 0
    data_digest: str = ""
    source_key: str | None = None


#: what a commit is made with
Facts = CommitRecord | Mapping[str, JsonValue]


class CommitFile(Record):
    """The commit file of a folder without its seal; without a format it is of an early version.

    Args:
        format: of the file.
        fingerprint: identity of the settings and inputs that made the folder.
        files: SHA-256 of every file by relative path.
        record: small facts.
    """

    format: Count | None = None
    fingerprint: str
    files: dict[str, str]
    record: CommitRecord


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
    record: CommitRecord

    @property
    def digest(self) -> str:
        """Digest of the content: of all files' names and digests."""
        return digest_of(dict(self.files))

    @property
    def recomputable(self) -> frozenset[str]:
        """Files that may be absent, all of them together: the samples of a block, never of the data."""
        if self.record.index < 1:
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
    found = model_of(CommitFile, values)
    if found is None or not all(map(_inside, found.files)):
        return None
    return Commit(found.fingerprint, found.files, found.record)


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
def committing(final: Path, fingerprint: str, record: Facts) -> Iterator[Path]:
    """A temporary folder that becomes ``final`` when the body ends without an exception.

    Args:
        final: the folder to create; an unfinished one of that name is replaced.
        fingerprint: stored in the commit file.
        record: stored in the commit file.
    """
    make_folder(final.parent)
    temporary = new_folder(final.parent, f"{TEMPORARY}{final.name}-")
    try:
        yield temporary
        publish(temporary, final, fingerprint, record)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def publish(temporary: Path, final: Path, fingerprint: str, record: Facts) -> Commit:
    """Write the commit file last, make everything durable, and rename into place."""
    files = {
        str(path.relative_to(temporary)): file_digest(path)
        for path in sorted(temporary.rglob("*"))
        if path.is_file()
    }
    kept = record if isinstance(record, CommitRecord) else CommitRecord.model_validate(record)
    commit = Commit(fingerprint, files, kept)
    body = CommitFile(format=FORMAT, fingerprint=fingerprint, files=files, record=kept).plain()
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
