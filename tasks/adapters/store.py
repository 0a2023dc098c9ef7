"""Arrays and weights of a chain on disk: the only user of Zarr and safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import zarr
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor
from zarr.codecs import Crc32cCodec

from jko.build import new_block, reference_of, torch_dtype
from jko.chain import Chain
from jko.config import Config
from jko.correction import Correction
from jko.errors import InputError
from jko.invertible import InvertibleBlock
from tasks.adapters.commit import SAMPLES, digest_of, file_digest, read_commit, read_json, write_json
from tasks.adapters.corrections import read_correction
from tasks.adapters.layout import Layout
from tasks.adapters.rows import Pieces, StoredRows

WEIGHTS = "weights.safetensors"
BLOCK = "block.json"
CHUNK_BYTES = 8_000_000
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


def read_array(path: Path, name: str, most: int | None = None) -> NDArray[Any]:
    """Read one array whole, or its first ``most`` rows.

    Raises:
        InputError: a chunk is missing or its checksum is wrong.
    """
    array: Any = zarr.open_group(str(path), mode="r")[name]
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
    return {name: read_array(path, name) for name in sorted(zarr.open_group(str(path), mode="r").keys())}


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
        rows *= self.row_scale
        rows += self.row_shift
        return rows


def data_digest(arrays: Mapping[str, NDArray[Any]], shift: NDArray[Any], scale: NDArray[Any]) -> str:
    """Identity of prepared data: the arrays, and the units that their standardised values stand for.

    Args:
        arrays: the prepared arrays.
        shift: of whole rows, data units, shape (d + c,); it counts in float32, as the rows do, so that the
            last bits of another processor are no other data.
        scale: the same of the scale.
    """
    units = {"shift": shift.astype(np.float32), "scale": scale.astype(np.float32)}
    return array_digest({**arrays, **units})


def write_facts(folder: Path, facts: DataFacts) -> None:
    """Store the facts beside the arrays; those of a context only where there is one."""
    values = asdict(facts)
    kept = {name: value for name, value in values.items() if facts.context or not name.startswith("context")}
    write_json(folder / "data.json", kept)


def read_facts(layout: Layout, fingerprint: str) -> DataFacts:
    """The facts of a chain's data."""
    folder = layout.block(0, fingerprint)
    if read_commit(folder) is None:
        raise InputError(f"{folder}: the data are missing or damaged; run jko resume {layout.chain}")
    values = read_json(folder / "data.json")
    tuples: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    return DataFacts(**tuples)


def read_samples(
    layout: Layout, k: int, fingerprint: str, name: str, most: int | None = None
) -> NDArray[Any]:
    """An array of block k's samples, or its first ``most`` rows; row i is particle i."""
    return read_array(layout.block(k, fingerprint) / SAMPLES, name, most)


def require_device(config: Config) -> None:
    """Refuse a device that is not there, before anything is trained.

    Raises:
        InputError: torch cannot use it.
    """
    try:
        torch.zeros(1, device=config.runtime.device)
    except torch.OutOfMemoryError:
        return  # it is there, and busy
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:160]
        raise InputError(
            f"runtime.device = {config.runtime.device!r} is not usable here ({reason}); cpu always is"
        ) from None


def readable_here(config: Config) -> Config:
    """The settings for what is read and not trained: on the CPU where the chain's own device is not there."""
    try:
        require_device(config)
    except InputError:
        return config.model_copy(update={"runtime": config.runtime.model_copy(update={"device": "cpu"})})
    return config


def read_particles(layout: Layout, config: Config, k: int, fingerprint: str, name: str) -> Tensor:
    """Samples of block k as a tensor in the run's dtype, on its device if that is there, else on the CPU."""
    config, values = readable_here(config), read_samples(layout, k, fingerprint, name)
    return torch.from_numpy(values).to(device=config.runtime.device, dtype=torch_dtype(config))


def read_rows(layout: Layout, config: Config, k: int, fingerprint: str, name: str) -> Tensor | StoredRows:
    """Samples of block k to be drawn or gone through, read whole only where they are not too many.

    Raises:
        InputError: a chunk is missing or its checksum is wrong.
    """
    path = layout.block(k, fingerprint) / SAMPLES
    array: Any = zarr.open_group(str(path), mode="r")[name]
    if array.nbytes <= STREAMED_BYTES:
        return read_particles(layout, config, k, fingerprint, name)
    check_chunks(array, f"{path}/{name}")
    return StoredRows(
        path / name / "c", array.shape, np.dtype(array.dtype), array.chunks[0],
        torch_dtype(config), torch.device(readable_here(config).runtime.device),
    )  # fmt: skip


def check_chunks(array: Any, place: str) -> None:
    """Read a stored array chunk by chunk and keep nothing.

    Raises:
        InputError: a chunk is missing or its checksum is wrong.
    """
    if array.nchunks_initialized != array.nchunks:
        raise InputError(f"{place}: {array.nchunks - array.nchunks_initialized} chunks are missing")
    try:
        for start in range(0, array.shape[0], array.chunks[0]):
            array[start : start + array.chunks[0]]
    except ValueError as error:
        raise InputError(f"{place}: the stored values are damaged ({error})") from None


def read_some(layout: Layout, k: int, fingerprint: str, name: str, rows: slice) -> NDArray[Any]:
    """Some consecutive rows of an array of block k's samples."""
    array: Any = zarr.open_group(str(layout.block(k, fingerprint) / SAMPLES), mode="r")[name]
    found: NDArray[Any] = array[rows]
    return found


def save_weights(folder: Path, block: InvertibleBlock) -> None:
    """Write a block's weights; equal weights give equal bytes."""
    state = {name: value.detach().cpu().contiguous() for name, value in block.state_dict().items()}
    save_file(state, folder / WEIGHTS)


def load_weights(folder: Path, block: InvertibleBlock) -> InvertibleBlock:
    """Read a block's weights into it."""
    block.load_state_dict(load_file(folder / WEIGHTS))
    return block


def pack_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Tensors on the host, and words about them, as the content of a safetensors file."""
    return save(dict(tensors), dict(metadata))


def unpack_tensors(content: bytes) -> dict[str, Tensor]:
    """The tensors of the content of a safetensors file.

    Raises:
        ValueError: it is none.
    """
    try:
        return load(content)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def load_start(layout: Layout, k: int, digest: str, block: InvertibleBlock) -> InvertibleBlock:
    """Read the weights that block k starts from into it.

    Raises:
        InputError: the file is missing or damaged, or is of another network or dimension.
    """
    path = layout.start(k, digest)
    if not path.is_file() or file_digest(path) != digest:
        raise InputError(
            f"{path}: the weights that block {k} starts from are missing or damaged; "
            f"give --start-from again, the chain they came from"
        )
    state = load_file(path)
    stored, wanted = architecture(state), architecture(block.state_dict())
    if stored != wanted:
        raise InputError(
            f"block {k} starts from weights of another network ({stored}), and this chain's is {wanted}; "
            "start from a chain of equal network and dimension, or from none"
        )
    block.load_state_dict(state)
    return block


def architecture(state: Mapping[str, Tensor]) -> str:
    """Kind, dimension, Fourier features and widths of the hidden layers, from a block's weights."""
    widths = [
        len(value) for name, value in state.items() if name.startswith("field.stack") and "bias" in name
    ]
    words = f"dimension {len(state['field.linear.weight'])}, hidden {widths[:-1]}"
    if "field.shift.weight" in state:
        words += f", context {state['field.shift.weight'].shape[1]}"
    if "field.frequencies" not in state:
        return f"residual, {words}"
    fourier = len(state["field.frequencies"])
    return words + (f", fourier {fourier}" if fourier else "")


def load_block(
    layout: Layout, config: Config, k: int, fingerprint: str, dim: int, *, context: int = 0
) -> InvertibleBlock:
    """A committed block, ready to push; on the CPU where the run's device is not there.

    Raises:
        InputError: it is not committed.
    """
    folder = layout.block(k, fingerprint)
    if read_commit(folder, verify=True) is None:
        raise InputError(f"{folder}: block {k} is missing or damaged; run jko resume {layout.chain}")
    return load_weights(folder, new_block(readable_here(config), k, dim, context=context)).eval()


def load_chain(layout: Layout, config: Config, chain: tuple[str, ...]) -> Chain:
    """All blocks of a chain with its standardisation and corrections; on the CPU without the run's device.

    Args:
        layout: the chain.
        config: its settings.
        chain: fingerprints of blocks 0..N.
    """
    facts = read_facts(layout, chain[0])
    blocks = [
        load_block(layout, config, k, chain[k], facts.dim, context=facts.context)
        for k in range(1, len(chain))
    ]
    return chain_of(
        config, facts, blocks, load_corrections(layout, chain) if config.target.correction else ()
    )


def load_corrections(layout: Layout, chain: tuple[str, ...]) -> list[Correction]:
    """The corrections of committed blocks 1..k.

    Args:
        layout: the chain.
        chain: fingerprints of blocks 0..k.

    Raises:
        InputError: one is missing or damaged.
    """
    return [read_correction(layout.block(k, chain[k])) for k in range(1, len(chain))]


def chain_of(
    config: Config,
    facts: DataFacts,
    blocks: Sequence[InvertibleBlock],
    corrections: Sequence[Correction | None] = (),
) -> Chain:
    """A chain of blocks behind the standardisation of its data."""
    like: dict[str, Any] = {"dtype": torch.float64, "device": readable_here(config).runtime.device}
    shift, scale = torch.tensor(facts.row_shift, **like), torch.tensor(facts.row_scale, **like)
    reference = reference_of(config, facts.dim)
    return Chain(blocks, shift, scale, reference, context=facts.context, corrections=corrections)


def read_curve(folder: Path) -> pd.DataFrame | None:
    """The training curve of a committed block, one row per validation; ``None`` where none was kept."""
    columns = (read_json(folder / BLOCK) or {}).get("curve")
    if not columns:
        return None
    # a column of nulls alone (no iteration, so no loss) must be numbers, too
    return pd.DataFrame({name: values if name == "phase" else pd.Series(values, dtype=float)
                         for name, values in columns.items()})  # fmt: skip
