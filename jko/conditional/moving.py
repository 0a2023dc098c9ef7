"""Markov chains moved until they agree, and are worth the rows that are wanted."""

from __future__ import annotations

import math

import numpy as np

from jko.conditional.asked import Bounds
from jko.conditional.checks import chain_size, split_r_hat
from jko.conditional.found import Worth
from jko.conditional.markov import Conditional, States
from jko.preparation.table import Array

#: chains at least and at most, and steps between two looks at them
CHAINS, MOST_CHAINS, ROUND = 64, 1000, 50
#: chains have mixed below this split-R̂; above the second number it is said that they have not
MIXED, NOT_MIXED = 1.05, 1.1
#: numbers of chains that are kept at most
KEPT = 20_000_000


def chains_for(rows: int) -> int:
    """How many chains are moved for so many rows."""
    return int(np.clip(rows, CHAINS, MOST_CHAINS))


def moved(
    conditional: Conditional, states: States, rows: int, *, bounds: Bounds, rng: np.random.Generator
) -> tuple[Array, Worth]:
    """Rows of chains that are moved until they agree and are worth the rows, or the steps are used up.

    Args:
        conditional: the law given the conditions.
        states: where the chains begin.
        rows: how many are wanted; of more rows than chains, several come from each.
        bounds: of the steps.
        rng: the generator.

    Returns:
        Encoded rows, shape (rows, d), and what they are worth.
    """
    free = ~conditional.held.mask[0]
    kept_y: list[Array] = []
    kept_v: list[Array] = []
    stride = 1 + states.y.size * bounds.steps // KEPT  # neighbours are alike, and memory has an end
    changed, steps, r_hat, size = 0, 0, math.inf, 0.0
    while steps < bounds.steps and (r_hat > MIXED or size < rows):
        for _ in range(min(ROUND, bounds.steps - steps)):
            states, accepted = conditional.step(states, rng)
            changed, steps = changed + int(accepted.sum()), steps + 1
            if steps % stride == 0:
                kept_y.append(states.y)
                kept_v.append(states.v[:, free])
        if steps < 2 * ROUND < bounds.steps:
            continue
        late = np.stack(kept_v[len(kept_v) // 2 :])
        r_hat, size = split_r_hat(late), chain_size(late)
    chains = len(states.rows)
    late_y = np.stack(kept_y[len(kept_y) // 2 :])
    each = min(math.ceil(rows / chains), len(late_y))
    at = np.linspace(len(late_y) - 1, 0, each).round().astype(int)
    mixed = late_y[at][:, rng.permutation(chains)]
    ended = mixed.reshape(-1, late_y.shape[2])[:rows]
    ended = np.resize(ended, (rows, late_y.shape[2]))
    notes: tuple[str, ...] = ()
    if r_hat > NOT_MIXED:
        notes = (f"the chains have not mixed in {steps} steps (split-R̂ {r_hat:.2f}): allow more steps",)
    return ended, Worth(
        method="markov chains", rows=rows, effective=min(float(rows), size), tries=chains * steps,
        accepted=changed / (chains * steps), r_hat=r_hat if math.isfinite(r_hat) else None, notes=notes,
    )  # fmt: skip
