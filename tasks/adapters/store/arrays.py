"""Arrays of a chain on disk: the only user of Zarr."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor
from zarr.codecs import BytesCodec, Crc32cCodec

from jko.build import torch_dtype
from jko.config import Config
from jko.core.device import readable_here
from jko.core.errors import InputError
from jko.disk.commit import SAMPLES
from jko.disk.damage import checked_block
from jko.disk.layout import Layout
from tasks.adapters.store.rows import Pieces, StoredRows

CHUNK_BYTES = 8_000_000
#: particles that take more are not read whole
STREAMED_BYTES = 64_000_000


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[np.generic] | Pieces], attributes: Mapping[str, JsonValue]
) -> None:
    """Write a Zarr v3 group: whole-row chunks, checksummed, no chunk left out.

    Args:
        path: folder to create.
        arrays: by name; the first axis is rows.
        attributes: JSON values stored with the group.
    """
    group = zarr.create_group(store=str(path), attributes=dict(attributes))
    for name, values in arrays.items():
        row_bytes = max(1, values.dtype.itemsize * int(np.prod(values.shape[1:])))
        rows = max(1, min(values.shape[0], CHUNK_BYTES // row_bytes))
        floating = np.issubdtype(values.dtype, np.floating)
        array = group.create_array(
            name, shape=values.shape, dtype=values.dtype, chunks=(rows, *values.shape[1:]),
            compressors=[Crc32cCodec()], fill_value=float("nan") if floating else 0,
            config={"write_empty_chunks": True},
        )  # fmt: skip
        if isinstance(values, Pieces):
            for number, part in enumerate(values.chunks(rows)):
                array[number * rows : number * rows + len(part)] = part
        else:
            array[...] = values


def open_array(path: Path, name: str) -> Any:
    """One array of a group, as :func:`write_arrays` writes it; nothing of its size is allocated yet.

    Raises:
        InputError: it is none of ours, or says that it holds more than its files do.
    """
    place = f"{path}/{name}"
    try:
        array: Any = zarr.open_group(str(path), mode="r")[name]
        kind, codecs = np.dtype(array.dtype).kind, (array.filters, array.compressors)
    except Exception as error:  # of many types, Zarr's and those of what it calls
        what = str(error).partition("\n")[0][:200]
        raise InputError(f"{place}: this is no stored array ({what})") from None
    plain = isinstance(array.serializer, BytesCodec) and codecs == ((), (Crc32cCodec(),))
    if kind not in "bfiu" or not plain:
        raise InputError(f"{place}: an array of {array.dtype} in another coding is none of ours")
    whole = 1 <= array.ndim <= 3 and array.chunks[1:] == array.shape[1:]
    if not whole or not 1 <= array.chunks[0] <= max(1, array.shape[0]):
        raise InputError(f"{place}: an array of shape {array.shape} in chunks {array.chunks} is none of ours")
    # nothing is compressed: what it says it holds lies in its files
    sizes = [file.stat().st_size for file in (path / name / "c").rglob("*") if file.is_file()]
    stored = sum(sizes)
    if array.nbytes > stored or array.nchunks > len(sizes):
        raise InputError(
            f"{place}: chunks are missing, {array.nbytes} bytes are expected and {stored} are there"
        )
    return array


def read_array(path: Path, name: str, most: int | None = None) -> NDArray[np.generic]:
    """Read one array whole, or its first ``most`` rows.

    Raises:
        InputError: a chunk is missing or its checksum is wrong.
    """
    array = open_array(path, name)
    if array.nchunks_initialized != array.nchunks:
        raise InputError(f"{path}/{name}: {array.nchunks - array.nchunks_initialized} chunks are missing")
    try:
        return array[:most]
    except ValueError as error:
        raise InputError(f"{path}/{name}: the stored values are damaged ({error})") from None


def read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read all arrays of a group.

    Raises:
        InputError: a chunk is missing or its checksum is wrong.
    """
    try:
        names = sorted(zarr.open_group(str(path), mode="r").keys())
    except Exception as error:  # of many types, Zarr's and those of what it calls
        what = str(error).partition("\n")[0][:200]
        raise InputError(f"{path}: these are no stored arrays ({what})") from None
    return {name: read_array(path, name) for name in names}


def read_samples(
    layout: Layout, k: int, fingerprint: str, name: str, most: int | None = None
) -> NDArray[np.generic]:
    """An array of block k's samples, or its first ``most`` rows; row i is particle i.

    Raises:
        InputError: the array is missing, or is not the one that was committed.
    """
    return read_array(checked_samples(layout, k, fingerprint, name), name, most)


def checked_samples(layout: Layout, k: int, fingerprint: str, name: str) -> Path:
    """The group of block k's samples, after the files of one array were hashed."""
    files = (f"{SAMPLES}/zarr.json", f"{SAMPLES}/{name}/")
    return checked_block(layout, k, fingerprint, *files) / SAMPLES


def read_particles(layout: Layout, config: Config, k: int, fingerprint: str, name: str) -> Tensor:
    """Samples of block k as a tensor in the run's dtype, on its device if that is there, else on the CPU."""
    config, values = readable_here(config), read_samples(layout, k, fingerprint, name)
    return torch.from_numpy(values).to(device=config.runtime.device, dtype=torch_dtype(config))


def read_rows(layout: Layout, config: Config, k: int, fingerprint: str, name: str) -> Tensor | StoredRows:
    """Samples of block k to be drawn or gone through, read whole only where they are not too many.

    Raises:
        InputError: the array is missing, or is not the one that was committed.
    """
    path = checked_samples(layout, k, fingerprint, name)
    array = open_array(path, name)
    if array.nbytes <= STREAMED_BYTES:
        return read_particles(layout, config, k, fingerprint, name)
    return StoredRows(
        path / name / "c", array.shape, np.dtype(array.dtype), array.chunks[0],
        torch_dtype(config), torch.device(readable_here(config).runtime.device),
    )  # fmt: skip


def read_some(layout: Layout, k: int, fingerprint: str, name: str, rows: slice) -> NDArray[np.generic]:
    """Some consecutive rows of an array of block k's samples."""
    array = open_array(checked_samples(layout, k, fingerprint, name), name)
    found: NDArray[np.generic] = array[rows]
    return found
