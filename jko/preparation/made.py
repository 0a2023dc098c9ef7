"""Rows ready for training, with all that is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jko.chain.defence import broad_law
from jko.config import Config
from jko.laws.densities import Estimate
from jko.laws.student_t import StudentT
from jko.preparation.auto_choices import choose
from jko.preparation.facts import DataFacts, data_digest, facts_of
from jko.preparation.prepare import Prepared, prepare
from jko.preparation.table import Table

#: the entropy of the law of prepared rows, nats, data units; ``None`` where it is not known
Entropy = Callable[[Prepared], Estimate | None]


@dataclass(frozen=True)
class MadeRows:
    """What block 0 holds.

    Args:
        facts: of the data.
        arrays: rows in start coordinates by part, float32, shape (rows, d + c), and the numbers of the rows.
        law: the broad law of the model; ``None`` without one.
        digest: identity of them all.
    """

    facts: DataFacts
    arrays: Mapping[str, NDArray[np.generic]]
    law: StudentT | None
    digest: str


def made_rows(table: Table, config: Config, entropy: Entropy = lambda prepared: None) -> MadeRows:
    """Rows prepared as the settings say; what they leave open is chosen by short trials.

    Args:
        table: rows.
        config: the settings.
        entropy: of the law of the prepared rows; not known by default.

    Raises:
        InputError: rows that cannot be modelled.
    """
    choice = choose(table, config)
    prepared = prepare(table, choice.config)
    facts = facts_of(table, prepared, choices=choice.notes, entropy=entropy(prepared))
    digest = data_digest(prepared.arrays, prepared.shift, prepared.scale, prepared.start, facts.kinds)
    return MadeRows(facts, prepared.arrays, law_of(config, facts, prepared), digest)


def law_of(config: Config, facts: DataFacts, prepared: Prepared) -> StudentT | None:
    """The broad law of the rows of a table, or of whatever rows the settings ask it of."""
    if not (config.data.is_table and config.target.standard) and not config.defence_share:
        return None
    train = prepared.arrays["train"][: facts.rows["source"], : facts.dim]
    return broad_law(train, prepared.arrays["validation"][:, : facts.dim], prepared.start)
