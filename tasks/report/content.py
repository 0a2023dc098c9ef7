"""What a report shows, read from the chain's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jko.certify.records import Certificate, Measured
from jko.columns.schema import Schema
from jko.config import Config
from jko.core.errors import InputError
from jko.core.rows import at_most
from jko.disk.commit import stored_commit
from jko.disk.damage import checked_block
from jko.disk.identity import certificate_fingerprint, evaluation_fingerprint
from jko.disk.layout import Layout
from jko.disk.sealed import read_sealed
from jko.disk.weights import BLOCK
from jko.preparation.facts import DataFacts
from tasks.adapters.store.arrays import read_array, read_samples
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import read_curve
from tasks.adapters.store.evaluated import EvaluationFigures, evaluation_figures
from tasks.adapters.store.plan import stored_figures
from tasks.evaluate import CONTEXT
from tasks.held_out import part_of

Array = NDArray[np.float64]

#: rows of each part that a report keeps: far more than a picture can show
MOST_ROWS = 100_000


@dataclass(frozen=True)
class Content:
    """Everything a report shows.

    Args:
        config: settings of the chain.
        facts: what is known of the data.
        digest: the chain's digest.
        steps: figures of blocks 1..N on the rows that they are measured on.
        certificate: what the chain guarantees, see :mod:`tasks.certify`.
        figures: figures of the evaluation on test rows.
        data: the first test rows, then validation and training rows, data units; draws of another target than
            N(0, I).
        generated: samples of the model, data units.
        forward_path: (N + 1, rows, d), standardised units.
        reverse_path: (N + 1, rows, d), data units.
        curves: training curve by block, where kept.
        contexts: those of ``data`` and of ``generated``, (rows, c) each, data units; ``None`` without.
    """

    config: Config
    facts: DataFacts
    digest: str
    steps: tuple[Measured, ...]
    certificate: Certificate
    figures: EvaluationFigures
    data: Array
    generated: Array
    forward_path: Array
    reverse_path: Array
    curves: Mapping[int, pd.DataFrame]
    contexts: tuple[Array, Array] | None = None

    @property
    def shown_as(self) -> str:
        """What ``data`` is called in pictures."""
        target = self.config.target
        found = self.figures.target
        known = not target.standard and found is not None and found.energy_distance is not None
        return f"target: {target.potential.replace('_', ' ')}" if known else "data"

    @property
    def kinds(self) -> Schema | None:
        """The kinds of the table's columns, where rows are what these were encoded as."""
        found: Schema | None = getattr(self.facts, "kinds", None)
        return found

    @property
    def measured_on(self) -> str:
        """The part of the rows that blocks are measured on, ``test`` or ``validation``."""
        return part_of(self.config, self.facts)

    @property
    def plane(self) -> bool:
        """Whether rows are points of a plane, and drawn as such."""
        return self.facts.dim == 2 and self.facts.image_shape is None and self.kinds is None

    @property
    def step_indices(self) -> range:
        """1..N."""
        return range(1, len(self.steps) + 1)


def read_content(store: ChainStore) -> Content:
    """Read what a report shows of a complete, evaluated chain.

    Raises:
        InputError: something of it is missing or damaged.
    """
    facts = store.facts
    digest = store.digest or ""
    figures = evaluation_figures(store.layout, evaluation_fingerprint(store.config, digest))
    certificate = read_sealed(
        store.layout.certificate, Certificate, certificate_fingerprint(store.config, digest)
    )
    steps = [stored_figures(store, k) for k in range(1, len(store.fingerprints))]
    places = (*(store.layout.measures(k, own) for k, own in enumerate(store.fingerprints[1:], start=1)),
              store.layout.certificate, store.layout.evaluation)  # fmt: skip
    for place, found in zip(places, (*steps, certificate, figures), strict=True):
        if found is None:
            raise InputError(f"{place}: missing or damaged; run jko resume {store.layout.chain}")
    assert certificate is not None  # looked at just now
    assert figures is not None
    drawn = store.layout.evaluation / "samples.zarr"

    def shown(name: str) -> Array:
        return read_array(drawn, name).astype(np.float64)

    indices = range(1, len(store.fingerprints))
    curves = {k: curve_of(store.layout, k, store.fingerprints[k]) for k in indices}
    rows = some_rows(store.layout, store.fingerprints[0], facts)
    contexts = (rows[:, facts.dim :], shown(CONTEXT)) if facts.context else None
    # a chain that leads to another target is shown beside draws of that
    exact = shown("target") if (drawn / "target").is_dir() else None
    return Content(
        config=store.config,
        facts=facts,
        digest=digest,
        steps=tuple(own for own in steps if own is not None),
        certificate=certificate,
        figures=figures,
        data=rows[:, : facts.dim] if exact is None else exact,
        generated=shown("generated"),
        forward_path=shown("forward_path"),
        reverse_path=shown("reverse_path"),
        curves={k: curve for k, curve in curves.items() if curve is not None},
        contexts=contexts,
    )


def curve_of(layout: Layout, k: int, fingerprint: str) -> pd.DataFrame | None:
    """The training curve of a block; ``None`` where it was committed without one.

    Raises:
        InputError: it is damaged.
    """
    commit = stored_commit(layout.block(k, fingerprint))
    if commit is not None and BLOCK not in commit.files:
        return None
    return read_curve(checked_block(layout, k, fingerprint, BLOCK))


def some_rows(layout: Layout, fingerprint: str, facts: DataFacts) -> Array:
    """Test, validation and training rows without copies, data units, some where there are very many."""
    most = {"train": facts.rows["source"]}
    parts = ("test", "validation", "train")
    stored = [
        at_most(read_samples(layout, 0, fingerprint, part, most.get(part)), MOST_ROWS) for part in parts
    ]
    return facts.in_data_units(np.concatenate(stored))
