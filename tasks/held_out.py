"""The rows that a chain is measured on: test rows, which chose nothing, where there are enough of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from jko.build import start_law
from jko.chain.chain import push_in_batches
from jko.chain.pushing import BATCH, as_stored
from jko.config import Config
from jko.core.device import readable_here
from jko.core.rows import drawn
from jko.core.seeds import generator
from jko.disk.commit import read_commit
from jko.disk.identity import chosen_by_figures
from jko.disk.weights import load_block
from jko.measure.epsilon import ROWS_PER_FEATURE
from jko.preparation.facts import DataFacts
from tasks.adapters.store.arrays import read_particles, read_samples
from tasks.adapters.store.chain_store import ChainStore
from tasks.push import restore_samples

TEST, VALIDATION = "test", "validation"


def why_validation(config: Config, facts: DataFacts) -> str:
    """Why a chain is measured on validation rows, part of a sentence; empty where it is on test rows."""
    if start_law(config) is not None:
        return "the chain leads from a known law to a target, and has no other rows"
    if chosen_by_figures(config):
        return "the stop rule looks at these figures, and test rows are to choose nothing"
    rows = {part: facts.rows.get(part, 0) for part in (TEST, VALIDATION)}
    asked = ROWS_PER_FEATURE * (facts.dim + facts.context + 1)
    if rows[TEST] < min(asked, rows[VALIDATION]):
        return f"there are {rows[TEST]} test rows, and a critic needs {asked}"
    return ""


def part_of(config: Config, facts: DataFacts) -> str:
    """The part of the rows that a chain is measured on."""
    return VALIDATION if why_validation(config, facts) else TEST


@dataclass(frozen=True)
class Images:
    """Test rows pushed through the first blocks of a chain, in random order.

    Args:
        rows: after the last of the blocks, as it would be stored, shape (rows, d + c).
        log_det: log|det| of that block, nats, shape (rows,).
        log_det_se: its standard error over probes.
        total: of all blocks and the standardisation.
    """

    rows: Tensor
    log_det: Tensor
    log_det_se: Tensor
    total: Tensor


def images_of_test_rows(store: ChainStore, k: int) -> Images:
    """The test rows that are measured, after block k; blocks keep those of training and validation only.

    Raises:
        InputError: a block is missing or damaged.
    """
    commits = [read_commit(store.folder(j)) for j in range(k + 1)]
    digests = tuple("" if one is None else one.digest for one in commits)
    return _images(_Asked(store, k, digests))


@dataclass(frozen=True)
class _Asked:
    """What is asked for; equal where the content of the blocks is."""

    store: ChainStore
    k: int
    digests: tuple[str, ...]

    def _key(self) -> tuple[object, ...]:
        config = readable_here(self.store.config)
        return self.digests, config.measure.rows, config.seed, config.runtime.dtype, config.runtime.device

    def __hash__(self) -> int:
        return hash(self._key())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._key() == other._key()


@lru_cache(maxsize=2)  # block k asks for those before and after it
def _images(asked: _Asked) -> Images:
    store, k = asked.store, asked.k
    config, most = store.config, store.config.measure.rows
    if k == 0:
        own = store.fingerprints[0]
        rows = drawn(read_particles(store.layout, config, 0, own, TEST), most)
        total = store.facts.log_det(read_samples(store.layout, 0, own, TEST))
        none = torch.zeros(len(rows), dtype=torch.float64)
        return Images(rows, none, none, torch.from_numpy(drawn(np.asarray(total, dtype=float), most)))
    before = _images(_Asked(store, k - 1, asked.digests[:-1]))
    facts = store.facts
    block = load_block(
        store.layout, config, k, store.fingerprints[k], facts.dim, context=facts.context
    ).eval()
    pushed = push_in_batches(block, before.rows, BATCH, generator(config.seed, k, "push test"))
    log_det = pushed.log_det.double().cpu()
    return Images(
        as_stored(pushed.x, k).to(before.rows), log_det, pushed.log_det_se.double().cpu(),
        before.total + log_det,
    )  # fmt: skip


def particles(store: ChainStore, k: int, most: int | None = None) -> Tensor:
    """The rows that the chain is measured on after block k, in random order, at most so many."""
    if part_of(store.config, store.facts) == TEST:
        return images_of_test_rows(store, k).rows[:most]
    restore_samples(store, k)
    return drawn(store.particles(k, VALIDATION), most)
