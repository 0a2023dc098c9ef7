r"""Particles of a chain from a known law p_0, block by block, with the corrections between the blocks.

.. math:: \log p_k^-(T_k x) = \log p_{k-1}(x) - \log|\det\nabla T_k(x)|, \qquad
          \log p_k = \log p_k^- + \log f_k, \quad f_k = \alpha_k + 1 - \bar\alpha_k

where :mod:`jko.chain.correction` defines α and f; f = 1 without a correction. A row that is drawn again
comes from p_0 through blocks 1..k and corrections 1..k − 1, where it may be drawn again in turn: for one row
about :math:`\prod_j (2 - \bar\alpha_j)` are pushed. All draws are functions of a seed, the block and the
purpose.

Units: standardised ones for positions, nats for log-densities there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jko.chain.chain import Chain, push_in_batches
from jko.chain.correction import Correction
from jko.core.seeds import counter_seed, generator
from jko.laws.densities import Density
from jko.maps.row_seeds import RowSeeds, probe_source


@dataclass(frozen=True)
class Particles:
    """Rows after some blocks, with the log-density of their law.

    Args:
        y: positions in the chain's dtype, shape (rows, d).
        log_density: of their law at them, float64, shape (rows,).
        log_density_se: its standard error where log-determinants are estimated, shape (rows,).
        redrawn: which rows the last correction drew again, shape (rows,).
    """

    y: Tensor
    log_density: Tensor
    log_density_se: Tensor
    redrawn: Tensor

    @classmethod
    def known(cls, y: Tensor, log_density: Tensor) -> Particles:
        """Rows whose log-density is known, none of them drawn again."""
        return cls(y, log_density, torch.zeros_like(log_density), torch.zeros(len(y), dtype=torch.bool))

    def log_weights(self, chain: Chain) -> Tensor:
        """The logarithms log q − log p of their weights, q the chain's reference, nats, shape (rows,)."""
        return chain.reference_log_prob(self.y.double()) - self.log_density


def started(chain: Chain, start: Density, x: Tensor) -> Particles:
    """Rows of p_0.

    Args:
        chain: the chain.
        start: p_0.
        x: draws of it, data units, shape (rows, d).
    """
    y = chain.standardise(x)
    before = torch.from_numpy(start.log_prob(x.double().cpu().numpy())).to(y.device)
    return Particles.known(y, before - chain.start_log_det(x).double())


def pushed(
    chain: Chain, k: int, rows: Particles, *, seed: int | RowSeeds = 0, batch: int = 4096
) -> Particles:
    """The images of rows under block k (1..N), with the log-density of p_k before its correction.

    Args:
        chain: the chain.
        k: the block.
        rows: of p_{k−1}.
        seed: of the probes, where the block uses some.
        batch: rows at a time.
    """
    block = list(chain)[k - 1]
    found = push_in_batches(block, rows.y, batch, probe_source(seed, k))
    error = (rows.log_density_se**2 + found.log_det_se.double() ** 2).sqrt()
    kept = torch.zeros_like(rows.redrawn)
    return Particles(found.x, rows.log_density - found.log_det.double(), error, kept)


def corrected(chain: Chain, k: int, rows: Particles, start: Density, *, seed: int = 0) -> Particles:
    """Rows of p_k from rows of p_k before its correction; themselves where it has none.

    Args:
        chain: the chain.
        k: the block.
        rows: its images.
        start: p_0.
        seed: of the decisions and of the new draws.
    """
    correction = chain.corrections[k - 1]
    if correction is None:
        return rows
    number = torch.rand(len(rows.y), generator=generator(seed, k, "accept"), dtype=torch.float64)
    again = number.log() > correction.log_acceptance(rows.log_weights(chain)).cpu()
    y, log_density, error = rows.y.clone(), rows.log_density.clone(), rows.log_density_se.clone()
    if again.any():
        own = counter_seed(seed, k, "redraw")
        fresh = drawn_before(chain, k, start, int(again.sum()), seed=own)
        y[again], log_density[again], error[again] = fresh.y, fresh.log_density, fresh.log_density_se
    moved = Particles(y, log_density, error, again)
    return reweighed(chain, correction, moved)


def reweighed(chain: Chain, correction: Correction, rows: Particles) -> Particles:
    """The same rows with the log-density of the corrected law in place of that of the law before it."""
    log_density = rows.log_density + correction.log_factor(rows.log_weights(chain))
    return Particles(rows.y, log_density, rows.log_density_se, rows.redrawn)


def followed(chain: Chain, start: Density, x: Tensor, *, seed: int | RowSeeds = 0) -> Particles:
    """The images of rows under all blocks, none drawn again, with log p_N at them.

    Args:
        chain: the chain.
        start: p_0.
        x: rows, data units, shape (rows, d); of any law.
        seed: of the probes, where blocks use some, or one for every row.
    """
    now = started(chain, start, x)
    for k, correction in enumerate(chain.corrections, start=1):
        now = pushed(chain, k, now, seed=seed)
        now = now if correction is None else reweighed(chain, correction, now)
    return now


def drawn_before(chain: Chain, k: int, start: Density, rows: int, *, seed: int = 0) -> Particles:
    """Independent draws of the law after block k and before its correction; of p_0 for k = 0.

    Args:
        chain: the chain.
        k: the block.
        start: p_0.
        rows: how many.
        seed: of the draws.
    """
    x = torch.from_numpy(start.sample(rows, np.random.default_rng(counter_seed(seed, "start"))))
    now = started(chain, start, x)
    for j in range(1, k + 1):
        now = pushed(chain, j, now, seed=seed)
        if j < k:
            now = corrected(chain, j, now, start, seed=seed)
    return now


def stages(chain: Chain, start: Density, x: Tensor, *, seed: int = 0) -> Iterator[Particles]:
    """Rows of p_0, p_1, …, p_N, each as far as they are kept the images of those before.

    Args:
        chain: the chain.
        start: p_0.
        x: draws of p_0, data units, shape (rows, d).
        seed: of all draws.
    """
    now = started(chain, start, x)
    yield now
    for k in range(1, len(chain.blocks) + 1):
        now = corrected(chain, k, pushed(chain, k, now, seed=seed), start, seed=seed)
        yield now
