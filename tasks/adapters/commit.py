"""Committed folders: written under a temporary name, digested, renamed, never changed again."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.adapters.output import TEMPORARY, new_folder, replacing

COMMIT = "COMMIT.json"
#: the part of a block that its weights and the block before it can make again
SAMPLES = "samples.zarr"


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value written in one canonical way."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
    try:
        values = json.loads((folder / COMMIT).read_text())
        commit = Commit(values["fingerprint"], values["files"], values["record"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    dropped = frozenset() if (folder / SAMPLES).exists() else commit.recomputable
    for name, expected in commit.files.items():
        if name in dropped:
            continue
        path = folder / name
        if not path.is_file() or (verify and file_digest(path) != expected):
            return None
    return commit


@contextmanager
def committing(final: Path, fingerprint: str, record: Mapping[str, Any]) -> Iterator[Path]:
    """A temporary folder that becomes ``final`` when the body ends without an exception.

    Args:
        final: the folder to create; an unfinished one of that name is replaced.
        fingerprint: stored in the commit file.
        record: stored in the commit file; may be filled while the body runs.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
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
    body = {"fingerprint": fingerprint, "files": files, "record": dict(record)}
    (temporary / COMMIT).write_text(json.dumps(body, indent=1, sort_keys=True))
    for path in [*temporary.rglob("*"), temporary]:
        _sync(path)
    if final.exists():
        shutil.rmtree(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    os.rename(temporary, final)
    _sync(final.parent)
    return commit


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: readers see all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, f"{TEMPORARY}{path.name}-") as stream:
        stream.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a file of text (UTF-8) as :func:`write_bytes` does."""
    write_bytes(path, text.encode())


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Append lines to a file; one that a kill cut off is ended first, so that it spoils no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            cut = stream.read(1) != b"\n"
        else:
            cut = False
        stream.write(("\n" * cut + "".join(f"{line}\n" for line in lines)).encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, readable by people; nan and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value of a file, or ``None`` if it is absent or damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def link_tree(source: Path, target: Path) -> None:
    """Copy a tree by hard links where the file system allows, by bytes where not."""

    def link(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    shutil.copytree(source, target, copy_function=link, dirs_exist_ok=True)


def remove_temporary(*places: Path) -> None:
    """Remove what killed writers of these files and folders left behind, in and beside them.

    Only for the holder of the chain's lock.
    """
    for place in places:
        inside = place.rglob(f"{TEMPORARY}*") if place.is_dir() else []
        for path in [*inside, *place.parent.glob(f"{TEMPORARY}{glob.escape(place.name)}-*")]:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
