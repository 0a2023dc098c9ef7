"""Prepare the data: load, dequantise, split, standardise, smooth, commit as block 0."""

from __future__ import annotations

from prefect import State, task

from jko.config import Config
from jko.disk.commit import committing, read_commit
from jko.disk.durable import link_tree
from jko.disk.identity import data_fingerprint, source_key
from jko.disk.layout import Layout
from jko.laws.densities import Estimate
from jko.preparation.made import MadeRows, made_rows
from jko.preparation.prepare import Prepared
from jko.preparation.table import Table
from tasks.adapters.store.bare import write_block_0
from tasks.adapters.store.plan import find_data, stored_source_key
from tasks.datasets.laws import smoothed_entropy
from tasks.datasets.sources import SOURCES
from tasks.options import DURABLE, skipped


@task(name="prepare", **DURABLE)
def prepare_data(config: Config, layout: Layout) -> str | State[str]:
    """Commit the prepared data of a chain; returns their digest."""
    key = stored_source_key(config, layout) or source_key(config)
    digest = find_data(layout, key)
    if digest is not None:
        adopt_prepared(layout, digest)
        return skipped(f"the data are prepared already ({digest[:12]})", digest)
    table = SOURCES[config.data.source](config.data, config.seed)
    made = made_rows(table, config, lambda prepared: entropy_of(table, prepared, config))
    digest = commit_data(layout, made, key)
    adopt_prepared(layout, digest)
    return digest


def entropy_of(table: Table, prepared: Prepared, config: Config) -> Estimate | None:
    """Entropy of the law of the rows, where it is known: of the smoothed law where they are smoothed."""
    if not prepared.smoothing:
        return table.entropy
    if prepared.start is not None:
        return None
    return smoothed_entropy(config.data.source, prepared.smoothing, prepared.shift, prepared.scale)


def commit_data(layout: Layout, made: MadeRows, key: str) -> str:
    """Write the prepared arrays, the facts and the broad law; returns the data digest."""
    digest = made.digest
    fingerprint = data_fingerprint(digest)
    final = layout.prepared or layout.block(0, fingerprint)
    record = {"data_digest": digest, "source_key": key}
    with committing(final, fingerprint, record) as folder:
        write_block_0(folder, made.arrays, made.facts, made.law)
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
