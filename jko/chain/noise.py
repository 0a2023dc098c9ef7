"""Log-densities of rows as they stand: a mean over draws of the noise that training rows had.

Noise is that of dequantised columns and of the probes by which log-determinants are estimated. The draws go
by the row's numbers and a seed, so that a row has one log-density wherever it stands.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from jko.chain.chain import Chain
from jko.chain.sampling import log_density
from jko.core.seeds import counter_seed
from jko.laws.densities import Density
from jko.maps.row_seeds import RowSeeds
from jko.preparation.facts import DataFacts
from jko.preparation.table import Array

#: draws of the noise, where there is noise
DRAWS = 8
#: rows at a time
PIECE = 20_000


def log_densities(chain: Chain, law: Density | None, rows: Array, facts: DataFacts, *, seed: int) -> Array:
    """Log-density of rows and its standard error over draws of the noise, nats, data units.

    Args:
        chain: the chain.
        law: p_0, where the chain leads from a known law to a target.
        rows: as they stand in the file, shape (rows, d + c), data units.
        facts: of the chain's data.
        seed: the chain's.

    Returns:
        Shape (rows, 2); the error is 0 where there is no noise. Equal rows have equal values.
    """
    if not len(rows):
        return np.empty((0, 2))
    unique, places = np.unique(rows + 0.0, axis=0, return_inverse=True)  # -0 is 0
    draws = DRAWS if any(facts.grid) or noisy(chain, torch.from_numpy(unique[:1])) else 1
    step = max(1, PIECE // draws)
    parts = [
        _score(chain, law, unique[start : start + step], facts, draws=draws, seed=seed)
        for start in range(0, len(unique), step)
    ]
    return np.concatenate(parts)[places.ravel()]


def noisy(chain: Chain, rows: Tensor) -> bool:
    """Whether log-determinants are estimated, given some rows in data units."""
    if not len(rows):
        return False
    standard = chain.standardise(rows[:1].detach())
    return any(block.draw_probes(standard) is not None for block in chain)


def row_seeds(rows: Tensor, seed: int) -> RowSeeds:
    """A seed for each of some rows, which is a function of its numbers and of one seed for all."""
    return RowSeeds(tuple(_key(row, seed) for row in rows.detach().double().cpu().numpy()))


def _key(row: Array, seed: int) -> int:
    return counter_seed(seed, "score", row.astype("<f8").tobytes().hex())


def _score(
    chain: Chain, law: Density | None, rows: Array, facts: DataFacts, *, draws: int, seed: int
) -> Array:
    """Mean and standard error over draws for distinct rows, shape (rows, 2)."""
    keys = [_key(row, seed) for row in rows]
    many = np.repeat(rows, draws, axis=0)
    if any(facts.grid):
        noise = [np.random.default_rng(key).random((draws, facts.dim)) - 0.5 for key in keys]
        many[:, : facts.dim] += np.concatenate(noise) * np.array(facts.grid)
    seeds = RowSeeds(tuple(counter_seed(key, "probes", i) for key in keys for i in range(draws)))
    x = torch.from_numpy(many)
    found = chain.log_prob(x, seed=seeds) if law is None else log_density(chain, law, x, seed=seeds)
    values = found[0].double().cpu().numpy().reshape(len(rows), draws)
    with np.errstate(invalid="ignore"):  # a row too far out has no score
        error = values.std(axis=1, ddof=1) / draws**0.5 if draws > 1 else np.zeros(len(rows))
        return np.stack([values.mean(axis=1), error], axis=1)
