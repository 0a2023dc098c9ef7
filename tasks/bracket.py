"""KL of data and model between two figures at every resolution, from test rows and samples of the model."""

from __future__ import annotations

import torch

from jko.build import start_law
from jko.certify.bracket import bracket
from jko.certify.resolution import Bracket
from jko.core.rows import at_most
from jko.core.seeds import counter_seed
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import load_chain
from tasks.evaluate import drawn_contexts

#: why a chain has no bracket
TO_A_TARGET = "the chain leads from a known law to a target, and no rows of the target are held out"
FEW = "there are fewer than two test rows"


def chain_bracket(store: ChainStore) -> tuple[tuple[Bracket, ...], str]:
    """The bracket of the model that a chain is, on test rows, which chose nothing.

    Rows and samples are measured in standard deviations of the training rows, column by column. Samples of a
    conditional chain stand beside contexts of training rows, and the bracket is of the joint laws.

    Returns:
        The brackets, and why there are none.
    """
    config, facts = store.config, store.facts
    if start_law(config) is not None:
        return (), TO_A_TARGET

    def part(name: str, most: int | None = None) -> torch.Tensor:
        stored = read_samples(store.layout, 0, store.fingerprints[0], name, most)
        return torch.from_numpy(facts.in_data_units(stored))

    train, test = part("train", facts.rows["source"]), at_most(part("test"), config.measure.rows)
    if len(test) < 2:
        return (), FEW
    chain, count = load_chain(store.layout, config, store.fingerprints), config.measure.samples
    seed = counter_seed(config.seed, "bracket samples")
    contexts = drawn_contexts(config, train[:, facts.dim :].numpy(), count)
    given = None if contexts is None else torch.from_numpy(contexts)
    drawn = chain.sample(count, context=given, seed=seed).double().cpu()
    samples = drawn if given is None else torch.cat([drawn, given], 1)
    centre, spread = train.mean(0), train.std(0)
    spread = torch.where(spread > 0, spread, 1)
    found = bracket(
        (test - centre) / spread, (samples - centre) / spread,
        resolutions=config.measure.resolutions, seed=config.seed,
    )  # fmt: skip
    return tuple(found), ""
