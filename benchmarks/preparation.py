"""How the rows of a table are prepared: as the project's own preset says, the same for every method."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.presets import group_of, identity, settings_of
from jko.config import NUMERICS, Config, parse_config
from jko.core.digest import digest_of
from jko.disk.sealed import read_json, write_json
from jko.preparation.auto_choices import choose
from jko.preparation.table import Table

#: how a peer's rows are standardised as it comes; and with the start of ours, or the monotone maps of the
#: columns where ours has none
AFFINE, SAME, MARGINALS = "on", "same", "marginals"


@dataclass(frozen=True)
class Chosen:
    """What the preset leaves open, settled on validation rows.

    Args:
        standardise: the start of our chain.
        copies: how often each training row is there, itself included.
        seconds: CPU seconds that the trials took: our chain pays for them.
        notes: what was tried, as sentences.
    """

    standardise: str
    copies: int
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def chosen_for(table: Table, seed: int) -> Chosen:
    """Settle what the preset of a table leaves open; test rows are not looked at.

    Args:
        table: all rows.
        seed: of the split, the noise and the trials.
    """
    begun = time.process_time()
    choice = choose(table, settings_of(group_of("table", own_rows(table)), {}, seed))
    data = choice.config.data
    copies = data.augment.copies_of(own_rows(table))
    return Chosen(data.standardise, copies, time.process_time() - begun, choice.notes)


def kept_choice(table: Table, seed: int, mark: Mapping[str, Any], path: Path) -> Chosen:
    """The same, made once for all cells of a set and a seed.

    Args:
        table: all rows.
        seed: as of :func:`chosen_for`.
        mark: what the rows come from.
        path: where it is kept.
    """
    own = identity(group_of("table", own_rows(table)))
    fingerprint = digest_of({"mark": dict(mark), "preset": own, "numerics": NUMERICS, "seed": seed})
    known = read_json(path)
    if known and known["fingerprint"] == fingerprint:
        found = known["choice"]
        return Chosen(**{**found, "notes": tuple(found["notes"])})
    made = chosen_for(table, seed)
    write_json(path, {"fingerprint": fingerprint, "choice": asdict(made)})
    return made


def own_rows(table: Table) -> int:
    """About how many rows of a table are for training."""
    split = parse_config({}).data.split
    return round(len(table.rows) * (1 - split.validation - split.test))


def preparation(group: str, chosen: Chosen, seed: int, start: str | None) -> Config:
    """The settings by which a table is prepared for a method.

    Args:
        group: of the set.
        chosen: what the preset left open.
        seed: of noise, split and copies.
        start: ``data.standardise`` for a method; :data:`SAME` for the start of ours, the monotone maps where
            ours has none; ``None`` for ours.
    """
    augment = settings_of(group, {}, seed).data.augment.model_dump() | {"copies": chosen.copies}
    word = chosen.standardise if start in (None, SAME) else start
    if start == SAME and word == AFFINE:
        word = MARGINALS
    return parse_config({"seed": seed, "data": {"source": "digits", "augment": augment, "standardise": word}})
