"""Push the particles through a trained block and commit the block."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from prefect import State, task
from pydantic import JsonValue

from jko.build import new_block
from jko.chain.chain import push_in_batches
from jko.chain.correction import Correction
from jko.chain.pushing import BATCH, array_of, as_stored, push_rows, to_numpy
from jko.core.device import readable_here, require_device
from jko.core.errors import InputError
from jko.core.seeds import generator
from jko.disk.chains import write_correction
from jko.disk.commit import SAMPLES, Commit, committing, file_digest, read_commit
from jko.disk.durable import TEMPORARY, link_tree, move, sync_tree
from jko.disk.facts import read_facts
from jko.disk.layout import Layout, name_of
from jko.disk.weights import load_weights
from jko.maps.invertible import InvertibleBlock
from tasks.adapters.store.arrays import read_samples, write_arrays
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.rows import Pieces
from tasks.correct import corrected_samples
from tasks.options import DURABLE, skipped


@task(name="push", task_run_name="block-{k}-push", **DURABLE)
def push_block(store: ChainStore, k: int) -> str | State[str | None] | None:
    """Push the samples of block k−1 through block k in stored order, then commit block k."""
    final, name = store.folder(k), name_of(k, store.fingerprints[k])
    commit = read_commit(final)
    if commit is not None and commit.fingerprint == store.fingerprints[k]:
        return skipped(f"block {k} is already committed ({name})", commit.digest)
    require_device(store.config)
    torch.set_num_threads(store.config.runtime.threads)
    restore_samples(store, k - 1)
    staged = store.staged(k)
    block = load_weights(staged, empty_block(store, k)).eval()
    arrays, correction = new_samples(store, k, block)
    with committing(final, store.fingerprints[k], {"index": k}) as folder:
        link_tree(staged, folder)
        (folder / "COMMIT.json").unlink()
        if correction is not None:
            write_correction(folder, correction)
        write_arrays(folder / SAMPLES, arrays, attributes(k))
    shutil.rmtree(staged)
    committed = read_commit(final)
    return committed.digest if committed else None


def empty_block(store: ChainStore, k: int) -> InvertibleBlock:
    """Block k as it is before its weights are read; on the CPU where the run's device is not there."""
    facts = store.facts
    return new_block(readable_here(store.config), k, facts.dim, context=facts.context)


def new_samples(
    store: ChainStore, k: int, block: InvertibleBlock
) -> tuple[Mapping[str, NDArray[np.generic] | Pieces], Correction | None]:
    """The arrays of block k, and its correction where the settings ask for one."""
    if not store.config.target.correction:
        return push_samples(store, k, block), None
    before = [store.block(j).eval() for j in range(1, k)]
    return corrected_samples(store, k, [*before, block])


def push_samples(
    store: ChainStore, k: int, block: InvertibleBlock
) -> dict[str, NDArray[np.generic] | Pieces]:
    """The arrays of block k: row i is the image of row i of block k−1.

    Returns:
        ``train``, in pieces, and ``validation`` (rows, d + c) float32; ``validation_log_det`` and its
        standard error over probes (rows,) float64, nats, of this block; ``validation_log_det_total``
        (rows,) float64, nats, of blocks 1..k and the standardisation.
    """
    train = store.rows(k - 1, "train")
    validation = store.particles(k - 1, "validation")
    pushed = push_in_batches(block, validation, BATCH, generator(store.config.seed, k, "push"))
    moved = (array_of(push_rows(block, rows, k), np.float32) for rows in train.split(BATCH))
    log_det = to_numpy(pushed.log_det)
    return {
        "train": Pieces((len(train), block.dim + block.context), np.dtype(np.float32), moved),
        "validation": array_of(as_stored(pushed.x, k), np.float32),
        "validation_log_det": log_det,
        "validation_log_det_se": to_numpy(pushed.log_det_se),
        "validation_log_det_total": total_log_det(store.layout, store.fingerprints, k - 1) + log_det,
    }


def attributes(k: int) -> dict[str, JsonValue]:
    """What is stored with the arrays of block k."""
    return {"block": k, "units": "standardised"}


def restore_samples(store: ChainStore, k: int) -> None:
    """Make the samples of a committed block k again where they were dropped.

    Those of the blocks before it are made as far back as they were dropped, too.

    Raises:
        InputError: other bytes come out than were committed.
    """
    first = k
    while first and not (store.folder(first) / SAMPLES).exists():
        first -= 1
    for index in range(first + 1, k + 1):
        push_again(store, index)


def push_again(store: ChainStore, k: int) -> None:
    """Push the samples of block k−1 through the committed block k and put them in their place."""
    folder = store.folder(k)
    commit = read_commit(folder, verify=True)
    if commit is None:
        raise InputError(f"{folder}: block {k} is missing or damaged; run jko resume {store.layout.chain}")
    torch.set_num_threads(store.config.runtime.threads)
    block = load_weights(folder, empty_block(store, k)).eval()
    store.layout.run.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}{folder.name}-", dir=store.layout.run) as temporary:
        samples = Path(temporary) / SAMPLES
        write_arrays(samples, new_samples(store, k, block)[0], attributes(k))
        if not same_files(samples, commit):
            raise InputError(
                f"{folder}: the samples of block {k} were dropped, and other bytes than the committed ones "
                "come out here (another processor, device, thread count or library version); "
                f"train it again with jko resume {store.layout.chain} --from-block {k}"
            )
        sync_tree(samples)
        move(samples, folder / SAMPLES)


def same_files(samples: Path, commit: Commit) -> bool:
    """Whether a folder of samples holds exactly the bytes of a commit."""
    wanted = {name: digest for name, digest in commit.files.items() if name in commit.recomputable}
    found = {f"{SAMPLES}/{path.relative_to(samples)}": path for path in samples.rglob("*") if path.is_file()}
    return found.keys() == wanted.keys() and all(
        file_digest(path) == wanted[name] for name, path in found.items()
    )


def total_log_det(layout: Layout, chain: tuple[str, ...], k: int) -> NDArray[np.float64]:
    """Σ log|det| of blocks 0..k on validation rows, shape (rows,)."""
    if k == 0:
        facts, stored = read_facts(layout, chain[0]), read_samples(layout, 0, chain[0], "validation")
        return facts.log_det(stored)
    return read_samples(layout, k, chain[k], "validation_log_det_total").astype(np.float64)
