"""The broad law of a chain's model: made from the rows of block 0, and kept in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from jko.config import Config
from jko.defence import Defence
from jko.digest import digest_of
from jko.disk.facts import read_facts
from jko.disk.identity import DEFENCE
from jko.disk.layout import Layout
from jko.disk.sealed import read_sealed, write_sealed
from jko.rows import drawn
from jko.student_t import StudentT, fit_student_t
from tasks.adapters.store import read_samples

#: rows that the law is fitted to, and chosen by, at most
FITTED_ROWS, CHOOSING_ROWS = 20_000, 5000
#: numbers in all of the rows times a row: what more columns leave room for
MOST_PRODUCTS = 2e9
#: rows that are fitted to however many columns there are
FEWEST_ROWS = 1000


def defence_of(config: Config, layout: Layout, data: str) -> Defence | None:
    """The defence of a chain's model; ``None`` where its share is 0.

    It is a function of block 0 alone. What the run folder has of it is taken only if it is whole and of these
    data, and nothing depends on its being there.

    Args:
        config: the settings.
        layout: the chain.
        data: fingerprint of block 0.
    """
    share = config.defence_share
    if not share:
        return None
    known = kept_law(layout, data)
    return Defence(share, known or keep_law(layout, data, fitted_law(layout, data)))


def fitted_law(layout: Layout, data: str) -> StudentT:
    """The broad law of the state from the training rows without copies (see :class:`jko.defence.Defence`)."""
    facts = read_facts(layout, data)
    train = read_samples(layout, 0, data, "train", facts.rows["source"])[:, : facts.dim]
    validation = read_samples(layout, 0, data, "validation")[:, : facts.dim]
    most = int(min(FITTED_ROWS, max(FEWEST_ROWS, MOST_PRODUCTS / facts.dim**2)))
    chosen = [
        drawn(rows, count).astype(float) for rows, count in ((train, most), (validation, CHOOSING_ROWS))
    ]
    with threadpool_limits(1):  # equal bits whatever the number of threads
        if facts.start is not None and not facts.start.affine_tails:
            chosen = [facts.start.inverse(torch.from_numpy(rows)).numpy() for rows in chosen]
        return fit_student_t(*chosen)


def kept_law(layout: Layout, data: str) -> StudentT | None:
    """The law that the run folder has of these data; ``None`` where it has none, or a damaged one."""
    try:
        found = read_sealed(place_of(layout, data), _identity(data))
    except OSError:  # it is there and cannot be read: it is made again
        return None
    if found is None:
        return None
    location, factor = (torch.tensor(found[name], dtype=torch.float64) for name in ("location", "factor"))
    return StudentT(location, factor, found["degrees"])


def keep_law(layout: Layout, data: str, law: StudentT) -> StudentT:
    """Keep a law where the chain has a run folder; returns it."""
    if layout.run.is_dir():
        value: dict[str, Any] = {
            "location": law.location.tolist(), "factor": law.factor.tolist(), "degrees": law.degrees,
        }  # fmt: skip
        try:
            write_sealed(place_of(layout, data), value, _identity(data))
        except OSError:  # a chain that may only be read is none the worse
            return law
    return law


def same_law(one: StudentT, other: StudentT) -> bool:
    """Whether two laws are equal but for rounding."""
    pairs = ((one.location, other.location), (one.factor, other.factor))
    near = all(a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=1e-8) for a, b in pairs)
    return near and one.degrees == other.degrees


def place_of(layout: Layout, data: str) -> Path:
    """Where the law of these data is kept."""
    return layout.run / "defence" / f"{_identity(data)[:12]}.json"


def _identity(data: str) -> str:
    return digest_of({"data": data, "version": DEFENCE})
