"""Whole chains with the law of their defence, and what is kept of their training."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from jko.chain.chain import Chain
from jko.config import Config
from jko.disk.chains import load_chain as load_stored
from jko.disk.layout import Layout
from jko.disk.sealed import read_model
from jko.disk.weights import BLOCK, BlockRecord
from tasks.adapters.store.defence import defence_of


def load_chain(layout: Layout, config: Config, chain: tuple[str, ...]) -> Chain:
    """A chain from its folder (see :func:`jko.disk.chains.load_chain`), wherever its broad law is from.

    Args:
        layout: the chain.
        config: its settings.
        chain: fingerprints of blocks 0..N.
    """
    defence = defence_of(config, layout, chain[0])
    return load_stored(layout, config, chain, law=None if defence is None else defence.law)


def read_curve(folder: Path) -> pd.DataFrame | None:
    """The training curve of a committed block, one row per validation; ``None`` where none was kept."""
    record = read_model(folder / BLOCK, BlockRecord)
    if record is None or not record.curve:
        return None
    # a column of nulls alone (no iteration, so no loss) must be numbers, too
    return pd.DataFrame({name: values if name == "phase" else pd.Series(values, dtype=float)
                         for name, values in record.curve.items()})  # fmt: skip
