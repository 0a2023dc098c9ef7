"""Whole chains with the law of their defence, and what is kept of their training."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from jko.chain import Chain
from jko.config import Config
from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.disk.sealed import read_json
from jko.disk.weights import BLOCK, chain_of, load_block, load_corrections
from tasks.adapters.defence import defence_of


def load_chain(layout: Layout, config: Config, chain: tuple[str, ...]) -> Chain:
    """A chain's blocks, standardisation, corrections and defence; on the CPU without the run's device.

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
    corrections = load_corrections(layout, chain) if config.target.correction else ()
    return chain_of(config, facts, blocks, corrections, defence=defence_of(config, layout, chain[0]))


def read_curve(folder: Path) -> pd.DataFrame | None:
    """The training curve of a committed block, one row per validation; ``None`` where none was kept."""
    record = read_json(folder / BLOCK)
    columns = record.get("curve") if isinstance(record, dict) else None
    if not columns:
        return None
    # a column of nulls alone (no iteration, so no loss) must be numbers, too
    return pd.DataFrame({name: values if name == "phase" else pd.Series(values, dtype=float)
                         for name, values in columns.items()})  # fmt: skip
