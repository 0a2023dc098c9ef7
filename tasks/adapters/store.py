"""Arrays of a chain on disk: the only user of Zarr."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from pydantic import InstanceOf, TypeAdapter, ValidationError
from torch import Tensor
from zarr.codecs import BytesCodec, Crc32cCodec

from jko.build import torch_dtype
from jko.config import Config
from jko.errors import InputError
from jko.start_kinds import start_map
from jko.start_map import StartMap, pieces, start_log_det
from tasks.adapters.commit import FACTS, SAMPLES
from tasks.adapters.damage import checked_block
from tasks.adapters.device import readable_here
from tasks.adapters.layout import Layout
from tasks.adapters.rows import Pieces, StoredRows
from tasks.adapters.sealed import digest_of, write_json

CHUNK_BYTES = 8_000_000
#: beside the facts, the numbers of the start map
START = "start.zarr"
#: particles that take more are not read whole
STREAMED_BYTES = 64_000_000


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any] | Pieces], attributes: Mapping[str, Any]
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


def read_array(path: Path, name: str, most: int | None = None) -> NDArray[Any]:
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


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
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


def array_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Digest over names, shapes, dtypes and bytes; never over paths or attributes."""
    parts = [
        (
            name,
            list(values.shape),
            str(values.dtype),
            hashlib.sha256(np.ascontiguousarray(values).data).hexdigest(),
        )
        for name, values in sorted(arrays.items())
    ]
    return digest_of(parts)


@dataclass(frozen=True)
class DataFacts:
    """What is known of the prepared data (block 0).

    Args:
        name: name of the data set or file.
        columns: one name per dimension.
        shift: subtracted from the data, data units, d values.
        scale: the data are divided by it, data units, d values.
        grid: grid step of each dequantised column, 0 where none, data units.
        notes: sentences for the user: what was left out, dropped, dequantised.
        rows: number of rows by part; ``source`` counts the training rows without copies.
        entropy: differential entropy of the law in nats with its standard error, where known.
        image_shape: rows as pictures, where that makes sense.
        smoothing: δ, the Ornstein-Uhlenbeck time by which all rows are smoothed; 0 if they are not.
        smoothing_w2: upper bound of W2 between the law of the data and that of the smoothed rows,
            standardised units; ``None`` if they are not smoothed.
        context_columns: names of the c columns behind those of the state that the flow is conditioned on;
            ``class=0``, ``class=1``, … for classes.
        context_shift: subtracted from the context, data units, c values.
        context_scale: the context is divided by it, data units, c values.
        atoms: columns of which one value has a probability of its own, so that their law has no density.
        marks: before decimals and between thousands, where the rows come from a text that shows them.
        choices: sentences on what was chosen of the preparation by trials on validation rows.
        start_kind: word for the start map, empty where there is none.
        start: the map from standardised units to start coordinates; its numbers are stored beside the facts.
    """

    name: str
    columns: tuple[str, ...]
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    grid: tuple[float, ...]
    notes: tuple[str, ...]
    rows: Mapping[str, int]
    entropy: Mapping[str, float] | None
    image_shape: tuple[int, int] | None
    smoothing: float = 0.0
    smoothing_w2: float | None = None
    context_columns: tuple[str, ...] = ()
    context_shift: tuple[float, ...] = ()
    context_scale: tuple[float, ...] = ()
    atoms: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    start_kind: str = ""
    start: InstanceOf[StartMap] | None = None

    @property
    def dim(self) -> int:
        """Dimension d of the state."""
        return len(self.columns)

    @property
    def context(self) -> int:
        """Columns c of the context; 0 where the flow is conditioned on nothing."""
        return len(self.context_columns)

    @property
    def row_shift(self) -> NDArray[np.float64]:
        """Shift of whole rows, shape (d + c,), data units."""
        return np.array((*self.shift, *self.context_shift))

    @property
    def row_scale(self) -> NDArray[np.float64]:
        """Scale of whole rows, shape (d + c,), data units."""
        return np.array((*self.scale, *self.context_scale))

    def in_data_units(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        """Stored rows, shape (rows, d + c), in data units; one copy of them, since there may be many."""
        rows = stored.astype(np.float64)
        if self.start is not None:
            for part in pieces(len(rows)):
                rows[part, : self.dim] = self.start.inverse(torch.from_numpy(rows[part, : self.dim])).numpy()
        rows *= self.row_scale
        rows += self.row_shift
        return rows

    def in_start_coordinates(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows in data units, shape (rows, d + c), as they are stored, but in float64."""
        found = (rows - self.row_shift) / self.row_scale
        if self.start is not None:
            for part in pieces(len(found)):
                found[part, : self.dim] = self.start(torch.from_numpy(found[part, : self.dim]))[0].numpy()
        return found

    def log_det(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        """Block 0's log-determinant at stored rows, nats, shape (rows,)."""
        return start_log_det(self.start, self.scale, stored)


def data_digest(
    arrays: Mapping[str, NDArray[Any]],
    shift: NDArray[Any],
    scale: NDArray[Any],
    start: StartMap | None = None,
) -> str:
    """Identity of prepared data: the arrays, and the units that their standardised values stand for.

    Args:
        arrays: the prepared arrays.
        shift: of whole rows, data units, shape (d + c,); it counts in float32, as the rows do, so that the
            last bits of another processor are no other data.
        scale: the same of the scale.
        start: the start map; it counts in float32, too.
    """
    units = {**_in_float32("shift", shift), **_in_float32("scale", scale)}
    tables = {} if start is None else start_tables(start)
    parts = {f"start_{name}": values.astype(np.float32) for name, values in tables.items()}
    return array_digest({**arrays, **units, **parts})


def start_tables(start: StartMap) -> dict[str, NDArray[np.float64]]:
    """The numbers of a start map by name."""
    return {name: tensor.cpu().numpy() for name, tensor in start.state_dict().items()}


def _in_float32(name: str, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Numbers in float32, and in float32 digits beside exponents where that cannot hold them."""
    limits, size = np.finfo(np.float32), np.abs(values[values != 0])
    if np.all((size <= limits.max) & (size >= limits.tiny)):
        return {name: values.astype(np.float32)}
    digits, exponents = np.frexp(values)
    return {name: digits.astype(np.float32), f"{name}_exponents": exponents}


def write_facts(folder: Path, facts: DataFacts) -> None:
    """Store the facts beside the arrays; those of a context, atoms and marks only where there are some."""
    if facts.start is not None:
        write_arrays(folder / START, start_tables(facts.start), {"kind": facts.start_kind})
    values = asdict(replace(facts, start=None))
    absent = {"start"} | {name for name in values if name.startswith("context") and not facts.context}
    absent |= {name for name in ("atoms", "marks", "choices", "start_kind") if not values[name]}
    kept = {name: value for name, value in values.items() if name not in absent}
    write_json(folder / FACTS, kept)


def read_facts(layout: Layout, fingerprint: str) -> DataFacts:
    """The facts of a chain's data.

    Raises:
        InputError: the data are not committed, or the facts are not those that were.
    """
    folder = checked_block(layout, 0, fingerprint, FACTS)
    try:
        facts = TypeAdapter(DataFacts).validate_json((folder / FACTS).read_bytes(), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "all of it"
        said = f"{problem['msg'][:1].lower()}{problem['msg'][1:]}"
        raise InputError(f"{folder / FACTS}: {where}: {said}") from None
    if len(facts.marks) not in (0, 2):
        raise InputError(f"{folder / FACTS}: marks: one before decimals and one between thousands are needed")
    columns = facts.dim + facts.context
    if not facts.row_shift.shape == facts.row_scale.shape == (columns,):
        raise InputError(f"{folder / FACTS}: {columns} columns need as many shifts and scales")
    finite = np.isfinite(facts.row_shift).all() and np.isfinite(facts.row_scale).all()
    if not (finite and all(facts.row_scale > 0)):
        raise InputError(f"{folder / FACTS}: shifts must be finite, and scales positive and finite")
    return replace(facts, start=_read_start(layout, fingerprint, facts))


def _read_start(layout: Layout, fingerprint: str, facts: DataFacts) -> StartMap | None:
    """The start map beside the facts.

    Raises:
        InputError: it is missing, damaged, or one of other columns.
    """
    if not facts.start_kind:
        return None
    folder = checked_block(layout, 0, fingerprint, f"{START}/")
    tables = {name: torch.from_numpy(values) for name, values in read_arrays(folder / START).items()}
    made = start_map(facts.start_kind, tables)
    if made.dim != facts.dim:
        raise InputError(f"{folder / START}: a map of {made.dim} columns; the data have {facts.dim}")
    return made


def read_samples(
    layout: Layout, k: int, fingerprint: str, name: str, most: int | None = None
) -> NDArray[Any]:
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


def read_some(layout: Layout, k: int, fingerprint: str, name: str, rows: slice) -> NDArray[Any]:
    """Some consecutive rows of an array of block k's samples."""
    array = open_array(checked_samples(layout, k, fingerprint, name), name)
    found: NDArray[Any] = array[rows]
    return found
