"""Zarr arrays of others, as people bring them: a folder or a ZIP archive, of format 3."""

from __future__ import annotations

import math
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore, ZipStore

from jko.core.errors import InputError
from jko.disk.content import ZARR
from jko.preparation.names import shown
from tasks.datasets.named import chosen_of
from tasks.datasets.npy import check_kind, in_columns
from tasks.datasets.room import check_room


def read_zarr(path: Path, name: str | None = None) -> tuple[NDArray[np.float64], str]:
    """An array of a store, shape (rows, d), float64, and its name; that of a store of one array is empty.

    Args:
        path: a folder, or a ZIP archive of one.
        name: of the array in a group; may be left out where there is one only.

    Raises:
        InputError: no such array, several and none is named, none of real numbers in one or two axes, or some
            of it is missing or damaged.
    """
    try:
        with closing(_store(path)) as store:
            node: zarr.Array | zarr.Group = zarr.open(store, mode="r", zarr_format=3)
            if isinstance(node, zarr.Array):
                if name is not None:
                    raise InputError(f"{path}: it holds one array without a name; leave data.array out")
                return _values(node, str(path), path), ""
            found = {key: one for key, one in node.members(max_depth=None) if isinstance(one, zarr.Array)}
            shapes = {key: " × ".join(map(str, one.shape)) for key, one in found.items()}
            chosen = chosen_of(path, shapes, name)
            return _values(found[chosen], f"{path}: array {shown(chosen)}", path), chosen
    except InputError:
        raise
    except Exception as error:  # of many types, Zarr's and those of what it calls
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(
            f"{path}: not a readable Zarr store of format 3, or it is damaged ({said})"
        ) from None


def _store(path: Path) -> LocalStore | ZipStore:
    if path.is_dir():
        return LocalStore(path, read_only=True)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if ZARR not in {one.filename for one in members}:
        raise InputError(
            f"{path}: a ZIP archive without a Zarr array or group (no {ZARR} at its top); unpack it, or save "
            "the table as CSV"
        )
    check_room(sum(one.file_size for one in members), path)
    return ZipStore(path, mode="r", read_only=True)


def _values(array: zarr.Array, place: str, path: Path) -> NDArray[np.float64]:
    """All of an array.

    Raises:
        InputError: it holds other things than numbers, has no room, or chunks are missing.
    """
    check_kind(tuple(array.shape), np.dtype(array.dtype), place)
    check_room(8 * math.prod(array.shape), path)
    missing = array.nchunks - array.nchunks_initialized
    if missing:
        raise InputError(
            f"{place}: {missing} of {array.nchunks} chunks are missing; where they hold nothing but the fill "
            "value, write it with write_empty_chunks"
        )
    return in_columns(np.asarray(array[...]), place)
