"""A whole chain from its folder: blocks, block 0, corrections and the defence of its model."""

from __future__ import annotations

from jko.chain import Chain
from jko.config import Config
from jko.defence import Defence
from jko.disk.defence import stored_law
from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.disk.weights import chain_of, load_block, load_corrections
from jko.errors import InputError
from jko.student_t import StudentT


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
