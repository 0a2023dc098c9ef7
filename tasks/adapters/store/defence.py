"""The broad law of a chain's model, made from the rows of block 0 where it is not kept."""

from __future__ import annotations

from jko.chain.defence import Defence, broad_law
from jko.config import Config
from jko.disk.defence import stored_law
from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.laws.student_t import StudentT
from tasks.adapters.store.arrays import read_samples


def defence_of(config: Config, layout: Layout, data: str) -> Defence | None:
    """The defence of a chain's model; ``None`` where its share is 0.

    It is a function of block 0 alone, and stored there where a model with one was asked for at first.

    Args:
        config: the settings.
        layout: the chain.
        data: fingerprint of block 0.
    """
    share = config.defence_share
    if not share:
        return None
    return Defence(share, stored_law(layout, data) or fitted_law(layout, data))


def fitted_law(layout: Layout, data: str) -> StudentT:
    """The broad law of the state from the training rows without copies."""
    facts = read_facts(layout, data)
    train = read_samples(layout, 0, data, "train", facts.rows["source"])[:, : facts.dim]
    validation = read_samples(layout, 0, data, "validation")[:, : facts.dim]
    return broad_law(train, validation, facts.start)
