"""Chains whose blocks start from the slowed blocks of another chain: the weights, and where they are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from jko.config import Config
from jko.disk.commit import file_digest
from jko.disk.durable import write_bytes
from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.disk.tensors import pack_tensors
from jko.disk.weights import load_block
from jko.training.warm_start import slowed


@dataclass(frozen=True)
class StartingPoint:
    """What one block starts from.

    Args:
        source: index of the other chain's block, 1..N.
        factor: by which its velocity is multiplied.
    """

    source: int
    factor: float


def slowed_weights(
    config: Config, parent: Layout, chain: tuple[str, ...], points: Sequence[StartingPoint]
) -> list[bytes]:
    """The weights files of blocks that start from a chain's blocks, slowed; equal calls give equal bytes.

    Args:
        config: settings of the chain to start from.
        parent: its place.
        chain: its fingerprints, blocks 0..N, all committed.
        points: one for each new block.
    """
    facts = read_facts(parent, chain[0])
    files = []
    for point in points:
        block = load_block(
            parent, config, point.source, chain[point.source], facts.dim, context=facts.context
        )
        state = slowed(block, point.factor).state_dict()
        tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
        files.append(pack_tensors(tensors, {}))
    return files


def digests_of(files: Sequence[bytes]) -> tuple[str, ...]:
    """The SHA-256 of every file, as ``config.start.weights`` names them."""
    return tuple(hashlib.sha256(content).hexdigest() for content in files)


def keep_start(layout: Layout, files: Sequence[bytes]) -> None:
    """Write the weights that blocks 1, 2, … start from into the chain's folder, where they are not there yet.

    Only for the holder of the chain's lock.
    """
    for k, (content, digest) in enumerate(zip(files, digests_of(files), strict=True), start=1):
        final = layout.start(k, digest)
        if not final.is_file() or file_digest(final) != digest:
            write_bytes(final, content)
