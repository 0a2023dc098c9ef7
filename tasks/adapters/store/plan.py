"""What is done and what will be trained, from files and settings alone; loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from jko.certify.records import Measured
from jko.config import Config, flattened, parse_config
from jko.config.data_section import KINDS, Data
from jko.config.stop import stop_reason
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.disk.checkpoint import read_checkpoint
from jko.disk.commit import read_commit, stored_commit
from jko.disk.content import is_there
from jko.disk.damage import damaged_in
from jko.disk.durable import move
from jko.disk.identity import (
    LATER_DATA,
    block_settings,
    data_fingerprint,
    fingerprints,
    measured_with,
    source_key,
)
from jko.disk.layout import Layout, name_of
from jko.disk.manifest import Manifest, keep_manifest, known_manifest
from jko.disk.sealed import read_sealed, write_sealed
from tasks.adapters.store.chain_store import ChainStore

BlockState = Literal["done", "missing"]

#: what is kept with figures beside the settings of their measurement
VERSIONED = ("version", "certificate", "chosen_by_figures", "bracket_looks")


@dataclass(frozen=True)
class BlockPlan:
    """One block of a plan; index 0 is the prepared data.

    Args:
        index: k.
        fingerprint: identity of the block; ``None`` while the data are not prepared.
        step_size: γ_k; 0 for the data, infinite for a free block.
        state: ``done`` if committed under this fingerprint.
        reason: why it will be trained, in words; empty when done.
    """

    index: int
    fingerprint: str | None
    step_size: float
    state: BlockState
    reason: str


@dataclass(frozen=True)
class Plan:
    """The plan of a chain.

    Args:
        source_key: identity of the data's source and preparation.
        data_digest: digest of the prepared arrays, once they are committed.
        blocks: blocks 0..N.
        stopped: why the chain ends before ``steps.count``; empty if it does not.
    """

    source_key: str
    data_digest: str | None
    blocks: tuple[BlockPlan, ...]
    stopped: str = ""

    @property
    def missing(self) -> tuple[BlockPlan, ...]:
        """Blocks that are not committed."""
        return tuple(block for block in self.blocks if block.state == "missing")

    @property
    def complete(self) -> bool:
        """Whether every block is committed."""
        return not self.missing


def stored_source_key(config: Config, layout: Layout) -> str | None:
    """The source key of a chain's own data, where the file they came from is gone, or that of their kinds.

    Data that were prepared under these very settings need their files no more.
    """
    file, kinds = config.data.file, config.data.kinds_used
    gone = file is not None and not is_there(Path(file))
    if not gone and (kinds in KINDS or Path(kinds).is_file()):
        return None
    manifest = known_manifest(layout)
    if manifest is None:
        return None
    later = Data().model_dump(mode="json", include=set(LATER_DATA))
    own = manifest.config.get("data")
    known = {**later, **(own if isinstance(own, dict) else {})}
    if known != config.data.model_dump(mode="json"):
        return None
    fingerprint = data_fingerprint(manifest.data_digest)
    commit = read_commit(layout.block(0, fingerprint))
    if gone or commit is None:
        return commit.record.source_key if commit else None
    from jko.disk.facts import read_facts  # here, since few chains need it

    return source_key(config, kinds=read_facts(layout, fingerprint).kinds)


def same_source(config: Config, layout: Layout, fingerprint: str) -> bool:
    """Whether the file that a chain's data came from still is what it was; true for data of no file.

    Args:
        config: the chain's settings.
        layout: the chain.
        fingerprint: of its block 0.
    """
    if config.data.file is None:
        return True
    commit = stored_commit(layout.block(0, fingerprint))
    known = None if commit is None else commit.record.source_key
    if not is_there(Path(config.data.file)):
        return False
    return known == (stored_source_key(config, layout) or source_key(config))


def stored_figures(store: ChainStore, k: int) -> Measured | None:
    """The figures of block k, if they were measured under these settings."""
    figures = block_figures(store.layout, k, store.fingerprints[k])
    return figures if figures is not None and figures.settings == measured_with(store.config) else None


def figures_of_any_version(store: ChainStore, k: int) -> Measured | None:
    """The figures of block k under these settings, also by an earlier version: a chain that ended stays so.

    It is measured anew all the same, and goes on if the new figures ask for that.
    """
    figures = block_figures(store.layout, k, store.fingerprints[k])
    if figures is None:
        return None
    wanted = measured_with(store.config)
    known = {name: value for name, value in figures.settings.items() if name not in VERSIONED}
    return figures if known == {name: wanted[name] for name in wanted if name not in VERSIONED} else None


def block_figures(layout: Layout, k: int, fingerprint: str) -> Measured | None:
    """The figures of block k under any settings, if they were measured of the bytes that are there."""
    identity = measured_content(layout, k, fingerprint)
    return None if identity is None else read_sealed(layout.measures(k, fingerprint), Measured, identity)


def keep_figures(layout: Layout, k: int, fingerprint: str, figures: Measured) -> None:
    """Write the figures of a committed block k."""
    identity = measured_content(layout, k, fingerprint)
    if identity is None:
        raise InputError(f"{layout.block(k, fingerprint)}: not committed, so nothing can be measured of it")
    write_sealed(layout.measures(k, fingerprint), figures, identity)


def measured_content(layout: Layout, k: int, fingerprint: str) -> str | None:
    """What figures of block k belong to: its settings and its content; ``None`` if it is not committed."""
    commit = stored_commit(layout.block(k, fingerprint))
    if commit is None or commit.fingerprint != fingerprint:
        return None
    return digest_of({"fingerprint": fingerprint, "content": commit.digest})


def planned(config: Config, layout: Layout, data_digest: str) -> tuple[tuple[str, ...], str]:
    """Fingerprints of blocks 0..N, where a stop rule that is met already ends the chain.

    Returns:
        The fingerprints, and why the chain ends early (empty if it does not).
    """
    chain = fingerprints(config, data_digest)
    figures: list[Measured] = []
    for k in range(1, len(chain)):
        own = figures_of_any_version(ChainStore(config, layout, chain), k)
        if own is None or read_commit(layout.block(k, chain[k])) is None:
            break
        figures.append(own)
        if why := stop_reason(config.stop, figures):
            return chain[: k + 1], why
    return chain, ""


def find_data(layout: Layout, key: str) -> str | None:
    """Digest of the committed data of this source, in the chain or in DVC's prepared folder."""
    places = [layout.prepared] if layout.prepared else []
    for folder in [*places, *sorted((layout.chain / "blocks").glob("0-*"))]:
        commit = read_commit(folder, verify=True)
        if commit is not None and commit.record.source_key == key:
            return commit.record.data_digest
    return None


def make_plan(config: Config, layout: Layout, *, verify: bool = False, key: str | None = None) -> Plan:
    """Compare the settings with what is committed.

    Args:
        config: the settings wanted.
        layout: the chain.
        verify: hash the committed files again; a damaged block counts as missing.
        key: the data's source key, where it is known already.
    """
    key = key or stored_source_key(config, layout) or source_key(config)
    digest = find_data(layout, key)
    sizes = (0.0, *config.step_sizes)
    before = known_manifest(layout)
    if digest is None:
        whys = _data_reasons(layout, before)
        parts = enumerate(sizes)
        return Plan(key, None, tuple(BlockPlan(k, None, g, "missing", whys[min(k, 1)]) for k, g in parts))
    blocks: list[BlockPlan] = []
    chain, stopped = planned(config, layout, digest)
    for k, fingerprint in enumerate(chain):
        commit = read_commit(layout.block(k, fingerprint), verify=verify)
        done = commit is not None and commit.fingerprint == fingerprint
        parent_missing = bool(blocks) and blocks[-1].state == "missing"
        reason = (
            ""
            if done and not parent_missing
            else _reason(config, layout, before, blocks, fingerprint=fingerprint)
        )
        blocks.append(BlockPlan(k, fingerprint, sizes[k], "missing" if reason else "done", reason))
    return Plan(key, digest, tuple(blocks), stopped)


def _data_reasons(layout: Layout, before: Manifest | None) -> tuple[str, str]:
    """Why the data will be prepared, and why no block can be said to be done before."""
    if before is None:
        return ("the data are not prepared yet",) * 2
    first = before.fingerprints[0]
    if any(damaged_in(layout.block(0, first), first)):
        return "their stored files do not match their commit", "kept if the data come out as they were"
    return ("the data or their settings changed",) * 2


def _reason(
    config: Config,
    layout: Layout,
    before: Manifest | None,
    blocks: list[BlockPlan],
    *,
    fingerprint: str,
) -> str:
    """Why the block after ``blocks`` will be trained."""
    k = len(blocks)
    if layout.block(k, fingerprint).exists():
        return "its stored files do not match their commit"
    if blocks and blocks[-1].state == "missing":
        return f"follows block {blocks[-1].index}"
    known = () if before is None else before.fingerprints
    if k == 0 or k >= len(known) or known[k] == fingerprint:
        return "not trained yet"
    return changed_settings(before, config, k) or "an earlier block or the numerics changed"


def checkpointed_iteration(layout: Layout, k: int, fingerprint: str) -> int | None:
    """Iterations of block k that are done and kept, where its training would go on from a checkpoint.

    Returns:
        ``None`` where it would begin (no checkpoint, or a damaged one) or is over (the weights are staged).
    """
    staged = read_commit(layout.staged(k, fingerprint), verify=True)
    if staged is not None and staged.fingerprint == fingerprint:
        return None
    try:
        record, _ = read_checkpoint(layout.checkpoint(k, fingerprint), fingerprint)
    except (OSError, ValueError):
        return None
    return record.iteration


def changed_settings(before: Manifest | None, config: Config, k: int) -> str:
    """Which settings of block k differ from the manifest's, as ``key old → new``."""
    if before is None:
        return ""
    try:
        old = _all_settings(parse_config(before.config), k)
    except (InputError, IndexError):
        return ""
    was, now = flattened(old), flattened(_all_settings(config, k))
    changed = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    return ", ".join(f"{key} {was.get(key)} → {now.get(key)}" for key in changed)


def _all_settings(config: Config, k: int) -> dict[str, JsonValue]:
    """The settings of block k for people: those at their defaults, too."""
    settings = {**block_settings(config, k), "network": config.network_of(k).model_dump(mode="json")}
    return settings | ({} if config.target.standard else {"target": config.target.model_dump(mode="json")})


def write_manifest(config: Config, layout: Layout, data_digest: str) -> tuple[str, ...]:
    """Write ``chain.json`` for a plan; returns the fingerprints of blocks 0..N."""
    chain, _ = planned(config, layout, data_digest)
    keep_manifest(layout, config, data_digest, chain)
    return chain


def arrange(layout: Layout, chain: tuple[str, ...]) -> None:
    """Leave exactly the plan's blocks in the chain folder.

    Blocks the plan does not name move to the run folder; one that was superseded earlier and
    is wanted again moves back. Only for the holder of the chain's lock.
    """
    wanted = {name_of(k, fingerprint) for k, fingerprint in enumerate(chain)}
    for folder in sorted((layout.chain / "blocks").glob("*")):
        if folder.name not in wanted or read_commit(folder, verify=True) is None:
            move(folder, layout.superseded / folder.name)
    for name in sorted(wanted):
        stored, place = layout.superseded / name, layout.chain / "blocks" / name
        if not place.exists() and read_commit(stored, verify=True) is not None:
            move(stored, place)
    for path in sorted((layout.chain / "measures").glob("*.json")):
        if path.stem not in wanted:
            path.unlink()
    manifest = known_manifest(layout)
    start = (None if manifest is None else parse_config(manifest.config).start.weights) or ()
    starts = {layout.start(k, digest).name for k, digest in enumerate(start, start=1)}
    for path in sorted((layout.chain / "start").glob("*")):
        if path.name not in starts:
            path.unlink()
