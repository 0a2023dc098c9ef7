"""ε and the Fisher information of a chain from above, by test rows and the noise that smoothed them."""

from __future__ import annotations

import math

import torch

from jko.build import start_law
from jko.certify.above import Above
from jko.certify.evidence import MARGIN
from jko.core.rows import at_most
from jko.measure.from_above import from_above
from jko.preparation.prepare import smoothing_noise
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chain_store import ChainStore

NOT_SMOOTHED = "the data are not smoothed (data.smoothing = 0)"
#: dimensions beyond which the bound is many times what it bounds at any width
MOST = 20
FEWEST = 100


def above_of(store: ChainStore) -> Above | None:
    """Upper bounds of ε² and the Fisher information after every block; ``None`` for a chain to a target.

    Test rows are used, which chose nothing. Their noise is drawn again from its seed.
    """
    config, facts = store.config, store.facts
    if start_law(config) is not None:
        return None
    if not facts.smoothing:
        return Above(reason=NOT_SMOOTHED)
    stored = read_samples(store.layout, 0, store.fingerprints[0], "test")
    if facts.dim > MOST or len(stored) < FEWEST:
        return Above(
            reason=f"it needs {FEWEST} test rows or more and at most {MOST} dimensions, not {stored.shape}"
        )
    drawn = smoothing_noise(stored.shape, "test", config)
    rows, noise = (torch.from_numpy(at_most(own, config.measure.rows)) for own in (stored, drawn))
    width = math.sqrt(-math.expm1(-2 * facts.smoothing))
    blocks = [store.block(k).cpu() for k in range(1, len(store.fingerprints))]
    found = from_above(blocks, rows, noise, width)
    last = found[-1].fisher
    return Above(
        width=width, rows=len(rows),
        epsilon_squared=tuple(one.epsilon_squared.value for one in found),
        epsilon_squared_se=tuple(one.epsilon_squared.se for one in found),
        fisher=tuple(one.fisher.value for one in found),
        fisher_se=tuple(one.fisher.se for one in found),
        kl_bound=(last.value + MARGIN * last.se) / 2,
    )  # fmt: skip
