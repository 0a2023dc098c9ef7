"""Blocks as ``jko.fit`` keeps them, without the rows that they pushed: they are taken into a chain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jko.core.errors import InputError
from jko.disk.commit import COMMIT, SAMPLES, committing, read_commit
from jko.disk.defence import stored_law, write_law
from jko.disk.durable import link_tree
from jko.disk.facts import read_facts, write_facts
from jko.disk.flows import stored_rows
from jko.disk.layout import Layout
from jko.laws.student_t import StudentT
from jko.preparation.facts import DataFacts
from tasks.adapters.store.arrays import write_arrays


def write_block_0(
    folder: Path, arrays: Mapping[str, NDArray[np.generic]], facts: DataFacts, law: StudentT | None
) -> None:
    """Write prepared rows, their facts and the broad law of a model into a folder to be committed."""
    write_arrays(folder / SAMPLES, arrays, {"units": "standardised"})
    write_facts(folder, facts)
    if law is not None:
        write_law(folder, law)


def take_bare(layout: Layout, k: int, fingerprint: str, source: Layout) -> None:
    """Take a block of another folder that has no rows: those of block 0 are stored in another form there.

    Of later blocks the weights are staged; pushing the rows of the block before commits them.

    Args:
        layout: the chain to fill.
        k: index of the block.
        fingerprint: its identity.
        source: the folder to take from, whose block was verified.

    Raises:
        InputError: the other folder has no rows in any form.
    """
    folder = source.block(k, fingerprint)
    commit = read_commit(folder)
    assert commit is not None  # the caller has read it
    if k == 0:
        arrays = stored_rows(source, fingerprint)
        if arrays is None:
            raise InputError(
                f"{source.chain}: this flow was saved without its rows, so nothing can go on from it here"
            )
        with committing(layout.block(0, fingerprint), fingerprint, commit.record) as place:
            write_block_0(place, arrays, read_facts(source, fingerprint), stored_law(source, fingerprint))
        return
    with committing(layout.staged(k, fingerprint), fingerprint, {}) as place:
        link_tree(folder, place)
        (place / COMMIT).unlink()
