"""Push the particles through a trained block and commit the block."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from prefect import task
from torch import Tensor

from jko.block import Block
from jko.chain import push_in_batches
from jko.config import Config
from jko.errors import NumericalError
from jko.seeds import generator
from tasks.adapters.commit import committing, link_tree, read_commit
from tasks.adapters.layout import Layout, name_of
from tasks.adapters.store import (
    SAMPLES,
    load_weights,
    new_block,
    read_facts,
    read_particles,
    read_samples,
    write_arrays,
)  # fmt: skip
from tasks.options import DURABLE, skipped

BATCH = 8192


@task(name="push", task_run_name="block-{k}-push", **DURABLE)
def push_block(config: Config, layout: Layout, chain: tuple[str, ...], k: int) -> Any:
    """Push the samples of block k−1 through block k in stored order, then commit block k."""
    final, name = layout.block(k, chain[k]), name_of(k, chain[k])
    commit = read_commit(final)
    if commit is not None and commit.fingerprint == chain[k]:
        return skipped(f"block {k} is already committed ({name})", commit.digest)
    torch.set_num_threads(config.runtime.threads)
    staged = layout.staged(k, chain[k])
    block = load_weights(staged, new_block(config, k, read_facts(layout, chain[0]).dim)).eval()
    arrays = push_samples(config, layout, chain, k, block)
    with committing(final, chain[k], {"index": k}) as folder:
        link_tree(staged, folder)
        (folder / "COMMIT.json").unlink()
        write_arrays(folder / SAMPLES, arrays, {"block": k, "units": "standardised"})
    shutil.rmtree(staged)
    committed = read_commit(final)
    return committed.digest if committed else None


def push_samples(
    config: Config, layout: Layout, chain: tuple[str, ...], k: int, block: Block
) -> dict[str, NDArray[Any]]:
    """The arrays of block k: row i is the image of row i of block k−1.

    Returns:
        ``train`` and ``validation`` (rows, d) float32; ``validation_log_det`` and its standard
        error over probes (rows,) float64, nats, of this block; ``validation_log_det_total``
        (rows,) float64, nats, of blocks 1..k and the standardisation.
    """
    train = read_particles(layout, config, k - 1, chain[k - 1], "train")
    validation = read_particles(layout, config, k - 1, chain[k - 1], "validation")
    pushed = push_in_batches(block, validation, BATCH, generator(config.seed, k, "push"))
    with torch.no_grad():
        moved = torch.cat([block.push_forward(rows) for rows in train.split(BATCH)])
    if not (torch.isfinite(moved).all() and torch.isfinite(pushed.x).all()):
        raise NumericalError(
            "pushed samples are not finite", block=k,
            remedy="lower training.learning_rate or raise solver.steps",
        )  # fmt: skip
    log_det = to_numpy(pushed.log_det)
    return {
        "train": to_numpy(moved, np.float32),
        "validation": to_numpy(pushed.x, np.float32),
        "validation_log_det": log_det,
        "validation_log_det_se": to_numpy(pushed.log_det_se),
        "validation_log_det_total": total_log_det(layout, chain, k - 1, len(log_det)) + log_det,
    }


def total_log_det(layout: Layout, chain: tuple[str, ...], k: int, rows: int) -> NDArray[np.float64]:
    """Σ log|det| of the standardisation and blocks 1..k on validation rows, shape (rows,)."""
    if k == 0:
        return np.full(rows, -np.log(read_facts(layout, chain[0]).scale).sum())
    return read_samples(layout, k, chain[k], "validation_log_det_total")


def to_numpy(values: Tensor, dtype: Any = np.float64) -> NDArray[Any]:
    """A tensor as an array on the host."""
    return values.detach().cpu().numpy().astype(dtype)
