"""NPZ files: one of their arrays, judged by its header before anything is made of it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jko.core.errors import InputError
from jko.preparation.names import shown
from tasks.datasets.named import chosen_of
from tasks.datasets.npy import BROKEN, array_of, header_of
from tasks.datasets.room import check_room

#: what damaged archives make of their reader; a password is a RuntimeError
DAMAGED = (*BROKEN, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
ENDING = ".npy"


def read_npz(path: Path, name: str | None = None) -> tuple[NDArray[np.float64], str]:
    """An array of a file, shape (rows, d), float64, and its name.

    Args:
        path: the file.
        name: of the array; may be left out where there is one only.

    Raises:
        InputError: no such array, several and none is named, none of real numbers in one or two axes, or the
            file is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                one.filename.removesuffix(ENDING): one for one in archive.infolist() if not one.is_dir()
            }
            chosen = chosen_of(path, _shapes(archive, members), name)
            size = members[chosen].file_size  # no more is unpacked, and the checksum is that of so much
            check_room(size, path)
            with archive.open(members[chosen]) as stream:
                values = array_of(stream, size, f"{path}: array {shown(chosen)}")
                if stream.read(1):
                    raise InputError(f"{path}: array {shown(chosen)} is longer than its header promises")
    except InputError:
        raise
    except DAMAGED as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: not a readable NPZ file, so it is cut short or damaged ({said})") from None
    return values, chosen


def _shapes(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> dict[str, str]:
    """Every array's name with its shape in words; an empty text where its header is none."""
    found = {}
    for name, member in members.items():
        with archive.open(member) as stream:
            try:
                shape, _ = header_of(stream, "")
            except InputError:
                found[name] = ""
                continue
        found[name] = " × ".join(map(str, shape)) or "one number"
    return found
