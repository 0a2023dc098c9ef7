"""Held-out rows in the units in which data and models are held against each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jko.chain.chain import Chain
from jko.core.rows import at_most
from jko.preparation.facts import DataFacts
from jko.preparation.prepare import without_noise
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chain_store import ChainStore


@dataclass(frozen=True)
class BracketRows:
    """Held-out rows in standardised units.

    These are standard deviations of the training rows, column by column; those of the start map where rows
    are smoothed, since the noise has them.

    Args:
        rows: shape (m, d + c); without the noise of smoothing.
        stored: the same with it, as the chain is tested on them.
        blurred: s of that noise; 0 where rows are not smoothed.
        train: the training rows, shape (n, d + c), data units.
        centre: origin of the units, shape (d + c,), data units; ``None`` behind a start map.
        spread: their lengths.
        facts: of the data.
    """

    rows: Tensor
    stored: Tensor
    blurred: float
    train: Tensor
    centre: Tensor | None
    spread: Tensor | None
    facts: DataFacts

    def of(self, rows: Tensor) -> Tensor:
        """Rows in data units, shape (n, d + c), in these units."""
        return _in_units(rows, self.centre, self.spread, self.facts)

    def resolutions(self, wanted: tuple[float, ...]) -> tuple[float, ...]:
        """Those at which a model can be judged: where rows are smoothed, theirs and coarser ones."""
        return (self.blurred, *(s for s in wanted if s > self.blurred)) if self.blurred else wanted

    @property
    def units(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Origin and lengths of the units in data units, where no start map comes before them."""
        if self.centre is None or self.spread is None:
            return self.facts.row_shift, self.facts.row_scale
        return self.centre.numpy(), self.spread.numpy()

    def density(self, chain: Chain, seed: int) -> Callable[[Tensor], Tensor]:
        """Log-density of a model of smoothed rows, of rows in these units, shape (n, d) to (n,)."""

        def log_q(rows: Tensor) -> Tensor:
            stored = rows.double().numpy()
            data = torch.from_numpy(self.facts.in_data_units(stored))
            values = chain.log_prob(data, seed=seed)[0].double().cpu()
            return values - torch.from_numpy(self.facts.log_det(stored))

        return log_q


def _in_units(rows: Tensor, centre: Tensor | None, spread: Tensor | None, facts: DataFacts) -> Tensor:
    if centre is None or spread is None:
        return torch.from_numpy(facts.in_start_coordinates(rows.double().numpy()))
    return (rows.double() - centre) / spread


def bracket_rows(store: ChainStore, part: str = "test") -> BracketRows | None:
    """The test rows of a chain, or its validation rows; ``None`` where there are fewer than two."""
    config, facts, data = store.config, store.facts, store.fingerprints[0]

    def stored(name: str, most: int | None = None) -> NDArray[np.float64]:
        return read_samples(store.layout, 0, data, name, most).astype(np.float64)

    train = torch.from_numpy(facts.in_data_units(stored("train", facts.rows["source"])))
    tested = stored(part)
    if len(tested) < 2:
        return None
    if facts.smoothing:
        clean = torch.from_numpy(without_noise(tested, part, config))
        shown, blurred = torch.from_numpy(tested), math.sqrt(-math.expm1(-2 * facts.smoothing))
        centre = spread = None
    else:
        centre, spread, blurred = train.mean(0), train.std(0), 0.0
        spread = torch.where(spread > 0, spread, 1)
        clean = shown = _in_units(torch.from_numpy(facts.in_data_units(tested)), centre, spread, facts)
    most = config.measure.rows
    return BracketRows(at_most(clean, most), at_most(shown, most), blurred, train, centre, spread, facts)
