"""What ``auto`` stands for in the preparation of data: the start map and the copies of few rows.

Both are chosen on validation rows, by chains that are trained for a small part of the iterations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from jko.config import Config, parse_config
from jko.config.data_section import AUTO_COPIES, FEW_ROWS, STARTS
from jko.core.display import with_error
from jko.core.errors import NumericalError
from jko.preparation.kinds import KindTable
from jko.preparation.prepare import prepare
from jko.preparation.table import Array, Table
from jko.statistics.robust import robust
from jko.training.trial import trial_log_density

#: share of the iterations that a trial has
SHARE = 0.1
#: training rows of a trial: as many as its iterations can see
MOST_ROWS = 100_000
Key = TypeVar("Key", str, int)


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Args:
        config: the settings with nothing left open.
        notes: what was tried, and the validation NLL of each, in sentences.
    """

    config: Config
    notes: tuple[str, ...] = ()


def choose(table: Table, config: Config) -> Choice:
    """Settings with a start and a number of copies in the place of ``auto``.

    Args:
        table: all rows; test rows are not looked at.
        config: the settings.
    """
    starts = STARTS if config.data.standardise == "auto" else (config.data.standardise,)
    counts = _counts(len(table.rows), config)
    if len(starts) == len(counts) == 1:
        return Choice(_settled(config, starts[0], counts[0]))
    first = {name: _trial(table, _settled(config, name, counts[0])) for name in starts}
    best = _best(first)
    more = {count: _trial(table, _settled(config, best, count)) for count in counts[1:]}
    counted = _best({counts[0]: first[best], **more})
    notes = []
    if len(starts) > 1:
        notes.append(f"start {best}, chosen by short trials on validation rows: {_listed(first, best)}")
    if more:
        tried = {_words(count): value for count, value in {counts[0]: first[best], **more}.items()}
        said = _listed(tried, _words(counted))
        notes.append(f"training rows {_words(counted)}, chosen in the same way: {said}")
    return Choice(_settled(config, best, counted), tuple(notes))


def _words(copies: int) -> str:
    return f"with {copies} copies each" if copies > 1 else "without copies"


def _counts(rows: int, config: Config) -> tuple[int, ...]:
    copies = config.data.augment.copies
    if copies != "auto":
        return (copies,)
    return (1, AUTO_COPIES) if rows < FEW_ROWS else (1,)


def _settled(config: Config, start: str, copies: int) -> Config:
    values = config.model_dump(mode="json")
    values["data"]["standardise"] = start
    values["data"]["augment"]["copies"] = copies
    return parse_config(values)


def _trial(table: Table, config: Config) -> Array:
    """Log-densities of the validation rows, nats, data units; −∞ where the trial came to no end."""
    prepared = prepare(table, config)
    rows = {name: torch.from_numpy(prepared.arrays[name][:MOST_ROWS]) for name in ("train", "validation")}
    dim = len(table.columns)
    try:
        found = trial_log_density(config, rows, dim, share=SHARE).numpy()
    except NumericalError:
        return np.full(len(rows["validation"]), -np.inf)
    found = found + prepared.log_det(prepared.arrays["validation"][:MOST_ROWS])
    if not isinstance(table, KindTable):
        return found
    return found + table.schema.log_det(table.rows[prepared.arrays["validation_rows"][:MOST_ROWS]])


def _best(found: Mapping[Key, Array]) -> Key:
    """The entry with the largest trimmed mean, which no single row decides; the first of equal ones."""
    return max(found, key=lambda name: _middle(found[name]))


def _middle(values: Array) -> float:
    return robust(values).trimmed if np.isfinite(values).all() else -math.inf


def _listed(found: Mapping[Key, Array], best: Key) -> str:
    """NLL of the best, and how much worse the others are on the same rows, each with its standard error."""
    own = found[best]
    said = [f"NLL {with_error(-own.mean(), _error(own), '.4g', '.2g')} nats"]
    for name, values in found.items():
        if name != best and np.isfinite(values).all():
            apart = own - values
            said.append(f"{name} {with_error(apart.mean(), _error(apart), '+.2g', '.2g')}")
        elif name != best:
            said.append(f"{name} came to no finite density")
    return ", ".join(said)


def _error(values: Array) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))
