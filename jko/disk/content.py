"""The bytes of a data file, or of a folder that is one: a store of Zarr."""

from __future__ import annotations

import os
from pathlib import Path

from jko.core.digest import digest_of
from jko.disk.commit import file_digest

#: what the folder of an array or a group of Zarr holds
ZARR = "zarr.json"


def is_there(path: Path) -> bool:
    """Whether there are data: a file, or a folder that holds a Zarr array or group."""
    return path.is_file() or (path / ZARR).is_file()


def absent(path: Path | str) -> str:
    """What to say of data that are not there, with the way to have them where DVC tracks them.

    Args:
        path: of the data; what DVC tracks may also be a folder above them.
    """
    path = Path(path)
    tracked = [place for place in (path, *path.parents) if place.name and _record(place).is_file()]
    if path.is_dir():
        return f"no such file; the folder is no Zarr store of format 3 (it has no {ZARR})"
    return "no such file" + (f"; DVC tracks it: dvc pull {tracked[0]}" if tracked else "")


def _record(path: Path) -> Path:
    """Where DVC says which version of a file or folder is the current one."""
    return path.with_name(f"{path.name}.dvc")


def content_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder that of all its files with their names."""
    if not path.is_dir():
        return file_digest(path)
    return digest_of({str(one.relative_to(path)): file_digest(one) for one in files_of(path)})


def files_of(path: Path) -> list[Path]:
    """A file, or all files of a folder, by name."""
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def size_and_time(path: Path) -> tuple[int, int]:
    """Bytes in all, and the time of the last change, ns."""
    found: list[os.stat_result] = [one.stat() for one in files_of(path)]
    times = [status.st_mtime_ns for status in found]
    if path.is_dir():
        times += [one.stat().st_mtime_ns for one in (path, *path.rglob("*")) if one.is_dir()]
    return sum(status.st_size for status in found), max(times)
