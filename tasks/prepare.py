"""Prepare the data: load, dequantise, split, standardise, smooth, commit as block 0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task

from jko.config import Config
from jko.defence import broad_law
from jko.disk.commit import SAMPLES, committing, read_commit
from jko.disk.defence import write_law
from jko.disk.durable import link_tree
from jko.disk.facts import write_facts
from jko.disk.identity import data_fingerprint, source_key
from jko.disk.layout import Layout
from jko.preparation.choose import choose
from jko.preparation.facts import DataFacts, data_digest
from jko.preparation.prepare import PARTS, Prepared, prepare
from jko.preparation.table import Table
from jko.student_t import StudentT
from tasks.adapters.plan import find_data, stored_source_key
from tasks.adapters.store import write_arrays
from tasks.datasets.laws import smoothed_entropy
from tasks.datasets.sources import SOURCES
from tasks.options import DURABLE, skipped


@task(name="prepare", **DURABLE)
def prepare_data(config: Config, layout: Layout) -> Any:
    """Commit the prepared data of a chain; returns their digest."""
    key = stored_source_key(config, layout) or source_key(config)
    digest = find_data(layout, key)
    if digest is not None:
        adopt_prepared(layout, digest)
        return skipped(f"the data are prepared already ({digest[:12]})", digest)
    table = SOURCES[config.data.source](config.data, config.seed)
    choice = choose(table, config)
    prepared = prepare(table, choice.config)
    facts = replace(facts_of(table, prepared, config.data.source), choices=choice.notes)
    digest = commit_data(layout, facts, prepared, key, law=law_of(config, facts, prepared))
    adopt_prepared(layout, digest)
    return digest


def law_of(config: Config, facts: DataFacts, prepared: Prepared) -> StudentT | None:
    """The broad law of the rows of a table, or of whatever rows the settings ask it of."""
    if not (config.data.is_table and config.target.standard) and not config.defence_share:
        return None
    train = prepared.arrays["train"][: facts.rows["source"], : facts.dim]
    return broad_law(train, prepared.arrays["validation"][:, : facts.dim], prepared.start)


def commit_data(
    layout: Layout, facts: DataFacts, prepared: Prepared, key: str, *, law: StudentT | None = None
) -> str:
    """Write the prepared arrays, the facts and the broad law; returns the data digest."""
    digest = data_digest(prepared.arrays, prepared.shift, prepared.scale, prepared.start)
    fingerprint = data_fingerprint(digest)
    final = layout.prepared or layout.block(0, fingerprint)
    record = {"data_digest": digest, "source_key": key}
    with committing(final, fingerprint, record) as folder:
        write_arrays(folder / SAMPLES, prepared.arrays, {"units": "standardised"})
        write_facts(folder, facts)
        if law is not None:
            write_law(folder, law)
    return digest


def adopt_prepared(layout: Layout, digest: str) -> None:
    """Have data that were prepared outside the chain, or taken from another, at both places.

    Only the chain that DVC owns has two: its own copy, and the stage's output.
    """
    if layout.prepared is None:
        return
    fingerprint = data_fingerprint(digest)
    places = (layout.prepared, layout.block(0, fingerprint))
    commits = [read_commit(place, verify=True) for place in places]
    have = [commit is not None and commit.fingerprint == fingerprint for commit in commits]
    same = all(have) and len({commit.digest for commit in commits if commit}) == 1
    for source, commit, target in ((places[0], commits[0], places[1]), (places[1], commits[1], places[0])):
        if commit is None or same or commit.fingerprint != fingerprint:
            continue
        with committing(target, fingerprint, commit.record) as folder:
            link_tree(source, folder)
            (folder / "COMMIT.json").unlink()
        return  # where both are there and differ, what was just prepared is the truth


def facts_of(table: Table, prepared: Prepared, source: str) -> DataFacts:
    """The facts stored with the arrays."""
    entropy, dim = table.entropy, len(table.columns)
    if prepared.smoothing:  # the entropy wanted is that of the smoothed law
        affine = prepared.start is None
        entropy = (
            smoothed_entropy(source, prepared.smoothing, prepared.shift, prepared.scale) if affine else None
        )
    return DataFacts(
        name=Path(table.name).name,
        columns=table.columns,
        shift=tuple(map(float, prepared.shift[:dim])),
        scale=tuple(map(float, prepared.scale[:dim])),
        grid=tuple(map(float, prepared.grid)),
        notes=prepared.notes,
        rows={
            **{part: len(prepared.arrays[part]) for part in PARTS},
            "source": len(np.unique(prepared.arrays["train_rows"])),
        },
        entropy=None if entropy is None else {"value": entropy.value, "se": entropy.se},
        image_shape=table.image_shape,
        smoothing=prepared.smoothing,
        smoothing_w2=prepared.smoothing_w2,
        context_columns=table.context_columns,
        context_shift=tuple(map(float, prepared.shift[dim:])),
        context_scale=tuple(map(float, prepared.scale[dim:])),
        atoms=prepared.atoms,
        start_kind="" if prepared.start is None else prepared.start.kind,
        start=prepared.start,
        marks=() if table.marks is None else (table.marks.decimal, table.marks.thousands),
    )
