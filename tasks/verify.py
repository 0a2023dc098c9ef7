"""Check a chain on disk against itself: bytes, identities, particles, round trips."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from jko.certify.records import Certificate
from jko.config import Config
from jko.core.seeds import generator
from jko.core.threads import all_threads
from jko.disk.commit import SAMPLES, read_commit
from jko.disk.damage import is_whole
from jko.disk.defence import same_law, stored_law
from jko.disk.facts import read_facts
from jko.disk.identity import certificate_fingerprint, evaluation_fingerprint
from jko.disk.layout import Layout, name_of
from jko.disk.manifest import Manifest
from jko.disk.sealed import read_json, read_sealed
from jko.preparation.facts import array_digest, data_digest
from tasks.adapters.store.arrays import read_arrays
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.defence import fitted_law
from tasks.adapters.store.plan import planned, stored_figures
from tasks.headline import stored_headline
from tasks.report.identity import report_fingerprint

#: rows pushed again per block
ROWS = 256
#: how far a row pushed in another batch may be from the stored one, relative to its size: rounding only
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Args:
        name: what.
        holds: whether it is as it must be.
        how: what was found, with figures.
    """

    name: str
    holds: bool
    how: str


def checks(config: Config, layout: Layout, manifest: Manifest) -> Iterator[Check]:
    """All checks of a chain, complete or partial, in order.

    Args:
        config: its stored settings.
        layout: the chain.
        manifest: its ``chain.json``.
    """
    chain = manifest.fingerprints
    yield settings_check(config, layout, manifest)
    whole = []
    for k in range(len(chain)):
        check = bytes_check(layout, k, chain[k])
        whole.append(check.holds)
        yield check
    if whole[0]:
        yield data_check(layout, chain, manifest.data_digest)
        if config.defence_share:
            yield defence_check(config, layout, chain[0])
    store = ChainStore(config, layout, chain)
    with all_threads(config.runtime.threads):
        for k in range(1, len(chain)):
            if whole[k - 1] and whole[k]:
                yield from particle_checks(store, k)
    yield from after_checks(store)


def settings_check(config: Config, layout: Layout, manifest: Manifest) -> Check:
    """The fingerprints in chain.json are those of its settings and data."""
    expected, _ = planned(config, layout, manifest.data_digest)
    same = expected == manifest.fingerprints
    how = "follow from the settings and the data" if same else "are not those of the settings and the data"
    return Check("fingerprints", same, f"{len(expected) - 1} blocks; {how}")


def bytes_check(layout: Layout, k: int, fingerprint: str) -> Check:
    """Every file of a block has the digest its commit names."""
    folder, name = layout.block(k, fingerprint), f"bytes of {'the data' if k == 0 else f'block {k}'}"
    if not folder.exists():
        return Check(name, True, "not trained yet")
    commit = read_commit(folder, verify=True)
    if commit is None:
        return Check(name, False, f"{folder} does not match its commit file")
    if commit.fingerprint != fingerprint:
        return Check(name, False, f"{folder} was committed under another fingerprint")
    kept = [folder / file for file in commit.files if (folder / file).exists()]
    size = sum(path.stat().st_size for path in kept)
    dropped = "" if (folder / SAMPLES).exists() else "; samples dropped"
    return Check(name, True, f"{len(kept)} files, {size / 1e6:.3g} MB hashed{dropped}")


def data_check(layout: Layout, chain: tuple[str, ...], wanted: str) -> Check:
    """The prepared arrays and their units have the digest that names the chain's data."""
    facts = read_facts(layout, chain[0])
    arrays = read_arrays(layout.block(0, chain[0]) / SAMPLES)
    found = data_digest(arrays, facts.row_shift, facts.row_scale, facts.start, facts.kinds)
    # chains begun before the units counted have the digest of the arrays alone
    same = found == wanted or array_digest(arrays) == wanted
    return Check("data digest", same, f"arrays and units hash to {found[:12]}")


def defence_check(config: Config, layout: Layout, data: str) -> Check:
    """The broad law that is stored of the model is the one that the data give."""
    law, stored = fitted_law(layout, data), stored_law(layout, data)
    how = f"share {config.defence_share:g}, Student t of {law.degrees:g} degrees of freedom"
    if stored is not None and not same_law(stored, law):
        return Check("broad law of the model", False, "what is stored is not the one that the data give")
    return Check("broad law of the model", True, f"{how}, from the training rows")


def particle_checks(store: ChainStore, k: int) -> Iterator[Check]:
    """Row i of block k is the image of row i of block k−1, and goes back there, if it was not drawn again."""
    if any(not (store.folder(j) / SAMPLES).exists() for j in (k - 1, k)):
        yield Check(f"rows of block {k}", True, "not checked: samples were dropped")
        return
    block = store.block(k)
    for part in ("train", "validation"):
        before = store.particles(k - 1, part)
        after = store.particles(k, part)
        if before.shape != after.shape:
            yield Check(f"rows of block {k}, {part}", False, f"{len(after)} rows follow {len(before)}")
            continue
        draw = torch.randperm(len(before), generator=generator(store.config.seed, k, "verify"))
        if store.config.target.correction:
            draw = draw[~torch.from_numpy(store.samples(k, f"{part}_redrawn"))[draw]]
        rows = draw[:ROWS].to(before.device)
        with torch.no_grad():
            image = block.push_forward(before[rows])
            back = block.pull_back(after[rows])
        size = float(after[rows].abs().max()) + 1.0
        error = float((image - after[rows]).abs().max()) / size
        yield Check(
            f"rows of block {k}, {part}", error <= TOLERANCE,
            f"{len(rows)} of {len(draw)} rows pushed again: largest relative difference {error:.1e}",
        )  # fmt: skip
        trip = float((back - before[rows]).square().sum(1).mean().sqrt())
        limit = store.config.measure.inversion_limit
        yield Check(
            f"round trip of block {k}, {part}", math.isfinite(trip) and trip <= limit,
            f"√E|T⁻¹y − x|² = {trip:.1e}, at most {limit:g} (standardised units)",
        )  # fmt: skip


def after_checks(store: ChainStore) -> Iterator[Check]:
    """What was made from the blocks is undamaged and belongs to them; what is not there is no failure."""
    for k in range(1, len(store.fingerprints)):
        path = store.layout.measures(k, store.fingerprints[k])
        if path.exists():
            current = stored_figures(store, k) is not None
            how = "of these settings" if current else "damaged, or of other settings or an older version"
            yield Check(f"measures {name_of(k, store.fingerprints[k])}", current, how)
    digest = store.digest
    if digest is None:
        return
    if store.layout.certificate.exists():
        same = (
            read_sealed(store.layout.certificate, Certificate, certificate_fingerprint(store.config, digest))
            is not None
        )
        how = "of these blocks" if same else f"{store.layout.certificate}: damaged or of other blocks"
        yield Check("certificate", same, how)
    if store.layout.evaluation.exists():
        same = is_whole(store.layout.evaluation, evaluation_fingerprint(store.config, digest))
        how = "undamaged" if same else f"{store.layout.evaluation}: damaged or of other blocks"
        yield Check("evaluation", same, how)
    if store.layout.metrics.exists():
        same = read_json(store.layout.metrics) == stored_headline(store)
        how = "those of the evaluation" if same else f"{store.layout.metrics}: not those of the evaluation"
        yield Check("metrics", same, how)
    if store.layout.report.exists():
        same = is_whole(store.layout.report, report_fingerprint(store))
        how = "undamaged" if same else f"{store.layout.report}: damaged, or of other figures or settings"
        yield Check("report", same, how)
