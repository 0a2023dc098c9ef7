"""Weights of blocks on disk, and the chains that they make."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import Tensor

from jko.build import new_block, reference_of
from jko.chain.chain import Chain
from jko.chain.correction import Correction
from jko.chain.defence import Defence
from jko.config import NUMERICS, Config
from jko.core.device import readable_here
from jko.core.errors import InputError
from jko.core.records import Count, Record
from jko.disk.commit import file_digest
from jko.disk.damage import checked_block
from jko.disk.identity import block_settings
from jko.disk.layout import Layout
from jko.disk.sealed import write_json
from jko.disk.tensors import read_tensors, write_tensors
from jko.maps.invertible import InvertibleBlock
from jko.preparation.facts import DataFacts
from jko.training.block_trainer import FitResult
from jko.training.fit_state import FitRecord

WEIGHTS = "weights.safetensors"
BLOCK = "block.json"
#: a value of a training curve
CurveValue = str | int | float | None


def save_weights(folder: Path, block: InvertibleBlock) -> None:
    """Write a block's weights; equal weights give equal bytes.

    Raises:
        InputError: they are not finite: nothing is written.
    """
    check_finite(block, folder)
    write_tensors(folder / WEIGHTS, block.state_dict())


def save_block(folder: Path, config: Config, k: int, block: InvertibleBlock, result: FitResult) -> None:
    """Write a trained block: its weights, and the settings and the curve of its training.

    Raises:
        InputError: the weights are not finite: nothing is written.
    """
    save_weights(folder, block)
    write_record(folder, config, k, result)


class BlockRecord(Record):
    """How a block was trained.

    Args:
        index: k.
        settings: of the block.
        numerics: version of what training computes.
        best: the line of the curve whose weights were kept.
        rollbacks: how often a non-finite value forced a return to the best weights.
        curve: the fields of :class:`jko.training.fit_state.FitRecord`, one value a line each; no loss was
            computed for the start.
    """

    index: Count
    settings: dict[str, JsonValue] = {}
    numerics: Count
    best: dict[str, CurveValue] = {}
    rollbacks: Count = 0
    curve: dict[str, list[CurveValue]] = {}


def write_record(folder: Path, config: Config, k: int, result: FitResult) -> None:
    """Write the settings and the curve of a block's training."""
    records = [_finite(record) for record in result.curve]
    found = BlockRecord(
        index=k,
        settings=block_settings(config, k),
        numerics=NUMERICS,
        best=_finite(result.best),
        rollbacks=result.rollbacks,
        curve={name: [record[name] for record in records] for name in records[0]},
    )
    write_json(folder / BLOCK, found.plain())


def _finite(record: FitRecord) -> dict[str, CurveValue]:
    """A record as JSON: no loss was computed for the start (iteration 0)."""
    values = asdict(record)
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }


def load_weights(folder: Path, block: InvertibleBlock) -> InvertibleBlock:
    """Read a block's weights into it.

    Raises:
        InputError: the file is no file of weights, or these are of another network.
    """
    path = folder / WEIGHTS
    return put_weights(path, read_tensors(path), block)


def put_weights(path: Path, state: Mapping[str, Tensor], block: InvertibleBlock) -> InvertibleBlock:
    """Take weights into a block, if they are of its network, in every name, shape and dtype.

    Raises:
        InputError: they are not, or some are not finite.
    """
    wanted = block.state_dict()
    for name in sorted({*wanted, *state}):
        there, here = _kind(state.get(name)), _kind(wanted.get(name))
        if there != here:
            raise InputError(f"{path}: {name} is {there}, and the network of this block has {here}")
    block.load_state_dict(dict(state))
    check_finite(block, path)
    return block


def _kind(tensor: Tensor | None) -> str:
    """Shape and dtype in words."""
    return "missing" if tensor is None else f"{tuple(tensor.shape)} of {str(tensor.dtype).partition('.')[2]}"


def check_finite(block: InvertibleBlock, where: Path) -> None:
    """Refuse weights from which no figure can be computed.

    Raises:
        InputError: some are not finite.
    """
    bad = [name for name, value in block.state_dict().items() if not value.isfinite().all()]
    if bad:
        raise InputError(
            f"{where}: weights of the block are not finite ({bad[0]}), so nothing can be computed from "
            "them; remove this folder and run jko resume, or call jko.fit again"
        )


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
    state = read_tensors(path)
    if "field.linear.weight" not in state:
        raise InputError(f"{path}: these are no weights of a block; give --start-from again")
    stored, wanted = architecture(state), architecture(block.state_dict())
    if stored != wanted:
        raise InputError(
            f"block {k} starts from weights of another network ({stored}), and this chain's is {wanted}; "
            "start from a chain of equal network and dimension, or from none"
        )
    kinds = {name: value.dtype for name, value in block.state_dict().items()}
    same = {name: value.to(kinds.get(name, value.dtype)) for name, value in state.items()}
    return put_weights(path, same, block)


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
        InputError: it is not committed, or its weights are not those that were.
    """
    folder = checked_block(layout, k, fingerprint, WEIGHTS)
    return load_weights(folder, new_block(readable_here(config), k, dim, context=context)).eval()


def chain_of(
    config: Config,
    facts: DataFacts,
    blocks: Sequence[InvertibleBlock],
    corrections: Sequence[Correction | None] = (),
    *,
    defence: Defence | None = None,
) -> Chain:
    """A chain of blocks behind the standardisation of its data, with the model's defence where it has one."""
    device = readable_here(config).runtime.device
    shift, scale = (
        torch.tensor(values, dtype=torch.float64, device=device)
        for values in (facts.row_shift, facts.row_scale)
    )
    reference = reference_of(config, facts.dim)
    start = None if facts.start is None else facts.start.to(shift.device)
    return Chain(
        blocks, shift, scale, reference, context=facts.context, corrections=corrections, start=start,
        defence=None if defence is None else defence.to(shift.device),
    )  # fmt: skip
