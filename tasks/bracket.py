"""How far data and model are apart at every resolution, from test rows and samples of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jko.build import start_law
from jko.certify.bracket import bracket
from jko.certify.projections import columns_of, pairs_of
from jko.certify.resolution import Bracket, Projection, certified
from jko.core.rows import at_most
from jko.core.seeds import counter_seed
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import load_chain
from tasks.evaluate import drawn_contexts

#: why a chain has no bracket
TO_A_TARGET = "the chain leads from a known law to a target, and no rows of the target are held out"
FEW = "there are fewer than two test rows"
#: principal components of pictures that are looked at
COMPONENTS = 10


@dataclass(frozen=True)
class Apart:
    """How far data and model are apart.

    Args:
        bracket: of whole rows.
        columns: of every column; of pictures of every principal component.
        pairs: of pairs of them.
        why: why there is none of it.
    """

    bracket: tuple[Bracket, ...] = ()
    columns: tuple[Projection, ...] = ()
    pairs: tuple[Projection, ...] = ()
    why: str = ""

    @property
    def resolution(self) -> float | None:
        """The finest resolution at which the bracket is narrow."""
        found = certified(self.bracket)
        return None if found is None else found.resolution


def how_far_apart(store: ChainStore) -> Apart:
    """Brackets of the model that a chain is, on test rows, which chose nothing.

    Rows and samples are measured in standard deviations of the training rows, column by column. Samples of a
    conditional chain stand beside contexts of training rows, and the brackets are of the joint laws.
    """
    config, facts = store.config, store.facts
    if start_law(config) is not None:
        return Apart(why=TO_A_TARGET)

    train, test = _part(store, "train"), at_most(_part(store, "test"), config.measure.rows)
    if len(test) < 2:
        return Apart(why=FEW)
    centre, spread = _unit(train)
    rows, samples = ((own - centre) / spread for own in (test, _drawn(store, train)))
    found = bracket(rows, samples, resolutions=config.measure.resolutions, seed=config.seed)
    names = (*facts.columns, *facts.context_columns)
    if facts.image_shape is not None:
        axes = principal_axes((train - centre) / spread)
        names = tuple(f"component {i}" for i in range(1, axes.shape[1] + 1))
        rows, samples = rows @ axes, samples @ axes
    return Apart(
        tuple(found),
        tuple(columns_of(rows, samples, names, seed=config.seed)),
        tuple(pairs_of(rows, samples, names, seed=config.seed)),
    )


def unit_of_rows(store: ChainStore) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where a bracket's rows have their zero and their one: means and standard deviations, shape (d,)."""
    centre, spread = _unit(_part(store, "train"))
    return centre.numpy(), spread.numpy()


def _part(store: ChainStore, name: str) -> Tensor:
    """Rows of a part in data units; of the training rows those that are no copies."""
    most = store.facts.rows["source"] if name == "train" else None
    stored = read_samples(store.layout, 0, store.fingerprints[0], name, most)
    return torch.from_numpy(store.facts.in_data_units(stored))


def _unit(train: Tensor) -> tuple[Tensor, Tensor]:
    spread = train.std(0)
    return train.mean(0), torch.where(spread > 0, spread, 1)


def _drawn(store: ChainStore, train: Tensor) -> Tensor:
    """Samples of the model beside contexts of training rows, shape (M, d + c), data units."""
    config, count = store.config, store.config.measure.samples
    chain = load_chain(store.layout, config, store.fingerprints)
    contexts = drawn_contexts(config, train[:, store.facts.dim :].numpy(), count)
    given = None if contexts is None else torch.from_numpy(contexts)
    # other draws than the bracket's noise: what is judged must not know it
    seed = counter_seed(config.seed, "bracket", "samples")
    drawn = chain.sample(count, context=given, seed=seed).double().cpu()
    return drawn if given is None else torch.cat([drawn, given], 1)


def principal_axes(rows: Tensor, most: int = COMPONENTS) -> Tensor:
    """Directions of largest variance, each over its standard deviation, shape (d, components)."""
    values, axes = torch.linalg.eigh(torch.cov(rows.T))
    kept = min(most, int((values > 1e-9 * values[-1]).sum()))
    return (axes / values.clamp(min=1e-300).sqrt()).flip(1)[:, :kept]
