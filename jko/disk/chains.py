"""A whole chain from its folder: blocks, block 0, corrections and the defence of its model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from jko.chain.chain import Chain
from jko.chain.correction import Correction
from jko.chain.defence import Defence
from jko.config import Config
from jko.core.errors import InputError
from jko.core.records import Number, Record
from jko.disk.damage import checked_block
from jko.disk.defence import stored_law
from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.disk.sealed import read_model, write_json
from jko.disk.weights import chain_of, load_block
from jko.laws.student_t import StudentT

CORRECTION = "correction.json"


class StoredCorrection(Record):
    """A :class:`jko.chain.correction.Correction` on disk."""

    log_level: Number
    acceptance: Number
    acceptance_se: Number


def load_chain(
    layout: Layout, config: Config, chain: tuple[str, ...], *, law: StudentT | None = None
) -> Chain:
    """A chain with the model's defence where it has one; on the CPU without the run's device.

    Args:
        layout: the chain.
        config: its settings.
        chain: fingerprints of blocks 0..N.
        law: the broad law, where block 0 was stored without one.

    Raises:
        InputError: something is missing or damaged.
    """
    facts = read_facts(layout, chain[0])
    blocks = [
        load_block(layout, config, k, chain[k], facts.dim, context=facts.context)
        for k in range(1, len(chain))
    ]
    corrections = load_corrections(layout, chain) if config.target.correction else ()
    share = config.defence_share
    law = law or (stored_law(layout, chain[0]) if share else None)
    if share and law is None:
        raise InputError(
            f"{layout.chain}: the broad law of this model is not stored with its data, which were prepared "
            "without one; use the jko command, which makes it from the rows"
        )
    defence = Defence(share, law) if share and law is not None else None
    return chain_of(config, facts, blocks, corrections, defence=defence)


def load_corrections(layout: Layout, chain: tuple[str, ...]) -> list[Correction]:
    """The corrections of committed blocks 1..k.

    Args:
        layout: the chain.
        chain: fingerprints of blocks 0..k.

    Raises:
        InputError: one is missing or damaged.
    """
    return [read_correction(checked_block(layout, k, chain[k], CORRECTION)) for k in range(1, len(chain))]


def write_correction(folder: Path, correction: Correction) -> None:
    """Store a correction: log c and ᾱ with its standard error."""
    write_json(folder / CORRECTION, asdict(correction))


def read_correction(folder: Path) -> Correction:
    """The correction of a committed block.

    Raises:
        InputError: it is missing or damaged.
    """
    found = read_model(folder / CORRECTION, StoredCorrection)
    if found is None:
        raise InputError(f"{folder}: the correction of this block is missing or damaged")
    return Correction(found.log_level, found.acceptance, found.acceptance_se)
