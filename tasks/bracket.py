"""How far data and model are apart at every resolution, from test rows and samples of the model."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from jko.build import start_law
from jko.certify.bracket import bracket, rows_needed
from jko.certify.projections import columns_of, pairs_of
from jko.certify.resolution import COMPONENT, Bracket, Projection, certified
from jko.chain.chain import Chain
from jko.config.sections import Stop
from jko.core.seeds import counter_seed
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import load_chain
from tasks.bracket_rows import bracket_rows
from tasks.evaluate import drawn_contexts

#: why a chain has no bracket
TO_A_TARGET = "the chain leads from a known law to a target, and no rows of the target are held out"
FEW = "there are fewer than two test rows"
#: error of a level
MISSED = 0.05
#: principal components of pictures that are looked at
COMPONENTS = 10


@dataclass(frozen=True)
class Apart:
    """How far data and model are apart.

    Args:
        bracket: of whole rows.
        columns: of every column; of pictures of every principal component.
        pairs: of pairs of them.
        rows_needed: test rows that would do at the coarsest resolution, where they are too few at every one.
        why: why there is none of it.
    """

    bracket: tuple[Bracket, ...] = ()
    columns: tuple[Projection, ...] = ()
    pairs: tuple[Projection, ...] = ()
    rows_needed: int | None = None
    why: str = ""

    @property
    def resolution(self) -> float | None:
        """The finest resolution at which the bracket is narrow."""
        found = certified(self.bracket)
        return None if found is None else found.resolution


def how_far_apart(store: ChainStore) -> Apart:
    """Brackets of the model that a chain is, on test rows, which chose nothing.

    Samples of a conditional chain stand beside contexts of training rows, and the brackets are of the joint
    laws. A chain of smoothed rows is judged at that smoothing by its own density, at coarser ones by its
    samples, and never at finer ones; its columns and pairs are those of the smoothed rows.
    """
    config, facts = store.config, store.facts
    if start_law(config) is not None:
        return Apart(why=TO_A_TARGET)
    own = bracket_rows(store)
    if own is None:
        return Apart(why=FEW)
    chain = load_chain(store.layout, config, store.fingerprints)
    asked = () if config.stop.bracket is None else (config.stop.resolution,)
    resolutions = own.resolutions(tuple(sorted({*config.measure.resolutions, *asked})))
    samples = own.of(_drawn(store, chain, own.train))
    densities = {own.blurred: own.density(chain, config.seed)} if own.blurred else {}
    found = bracket(
        own.rows, samples,
        resolutions=resolutions, densities=densities, blurred=own.blurred, seed=config.seed,
    )  # fmt: skip
    needed = None
    if certified(found) is None:
        needed = rows_needed(own.rows, max(resolutions), seed=config.seed)
    names, rows = (*facts.columns, *facts.context_columns), own.stored
    if facts.image_shape is not None:
        axes = principal_axes(own.of(own.train))
        names = tuple(f"{COMPONENT}{i}" for i in range(1, axes.shape[1] + 1))
        rows, samples = rows @ axes, samples @ axes
    return Apart(
        tuple(found),
        tuple(columns_of(rows, samples, names, seed=config.seed)),
        tuple(pairs_of(rows, samples, names, seed=config.seed)),
        needed,
    )


def upper_level(store: ChainStore, k: int, looks: int) -> float | None:
    """KL of data and the chain cut after block k at most, nats, on validation rows.

    At the resolution of the stop rule, or at that of the smoothing where it is coarser. The rule looks after
    every block and takes the first that is good enough, so each look has 5 % over their number (Bonferroni):
    all levels hold together at 95 %.

    Args:
        store: the chain.
        k: number of the block.
        looks: blocks of the plan.
    """
    config, own = store.config, bracket_rows(store, "validation")
    if own is None:
        return None
    chain = load_chain(store.layout, config, store.fingerprints[: k + 1])
    s = max(config.stop.resolution, own.blurred)
    densities = {s: own.density(chain, config.seed)} if s == own.blurred else {}
    samples = own.of(_drawn(store, chain, own.train))
    (found,) = bracket(
        own.rows, samples, resolutions=(s,), densities=densities, blurred=own.blurred, seed=config.seed
    )
    if found.upper is None or found.upper_se is None:
        return None
    return found.upper + NormalDist().inv_cdf(1 - MISSED / looks) * found.upper_se


def confirmed(stop: Stop, apart: Apart) -> str:
    """What the test rows say of a chain that its bracket on validation rows ended; empty without that."""
    at = min((one for one in apart.bracket if one.resolution >= stop.resolution), default=None,
             key=lambda one: one.resolution)  # fmt: skip
    if stop.bracket is None or at is None or at.upper_95 is None:
        return ""
    word = "confirm it" if at.upper_95 <= stop.bracket else "do not confirm it"
    return f"the test rows {word}: at most {at.upper_95:.3g} nats at {at.resolution:g}"


def _drawn(store: ChainStore, chain: Chain, train: Tensor) -> Tensor:
    """Samples of the model beside contexts of training rows, shape (M, d + c), data units."""
    config, count = store.config, store.config.measure.samples
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
