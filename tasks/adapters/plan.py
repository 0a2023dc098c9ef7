"""What is done and what will be trained, from files and settings alone; loads nothing heavy."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jko.config import NUMERICS, Config, flattened, parse_config
from jko.errors import InputError
from jko.schedule import stored
from jko.sections import Section
from jko.stop import stop_reason
from tasks.adapters.checkpoint import read_checkpoint
from tasks.adapters.commit import digest_of, file_digest, read_commit, read_json, write_json
from tasks.adapters.layout import Layout, name_of

FORMAT = 1
#: raised when a change alters what the evaluation computes
EVALUATION = 5
#: raised when a change alters what is measured of a block
MEASURES = 6
#: raised when a change alters what a certificate says
CERTIFICATE = 3
#: keys of the network that came after chains were trained (see :func:`without_defaults`)
LATER_NETWORK = ("kind", "lipschitz")
#: and those of the data
LATER_DATA = ("context",)
#: and those of the target
LATER_TARGET = ("correction", "power")
BlockState = Literal["done", "missing"]


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


def source_key(config: Config, content: str | None = None) -> str:
    """Identity of the data before they are loaded: settings, seed, and the file's bytes.

    Args:
        config: the settings.
        content: SHA-256 of the file, where it is known already.
    """
    data = without_defaults(config.data, LATER_DATA)
    if config.data.file is not None:
        path = Path(config.data.file)
        if not path.is_file():
            raise InputError(f"data.file = {str(path)!r}: no such file")
        data["file"] = content or file_digest(path)
    if config.data.source in ("digits", "breast_cancer"):
        data["version"] = importlib.metadata.version("scikit-learn")
    return digest_of({"data": data, "seed": config.seed, "numerics": NUMERICS})


def stored_source_key(config: Config, layout: Layout) -> str | None:
    """The source key of a chain's own data, where the file they came from is gone.

    Data that were prepared under these very settings need their file no more.
    """
    file = config.data.file
    if file is None or Path(file).is_file():
        return None
    manifest = read_json(layout.manifest) or {}
    known = {**dict.fromkeys(LATER_DATA), **manifest.get("config", {}).get("data", {})}
    if known != config.data.model_dump(mode="json"):
        return None
    commit = read_commit(layout.block(0, data_fingerprint(manifest.get("data_digest", ""))))
    return commit.record.get("source_key") if commit else None


def data_fingerprint(data_digest: str) -> str:
    """Fingerprint of block 0."""
    return digest_of({"data": data_digest})


def without_defaults(section: Section, later: Collection[str]) -> dict[str, Any]:
    """A section as JSON, without those of some optional keys that have their defaults.

    A key that a section gets after chains were trained belongs there: chains that never heard of it keep
    their identity, and one that sets it gets its own.

    Args:
        section: the settings.
        later: names of the keys.
    """
    fields = type(section).model_fields
    same = {name for name in later if getattr(section, name) == fields[name].get_default()}
    return section.model_dump(mode="json", exclude=same)


def block_settings(config: Config, k: int) -> dict[str, Any]:
    """The settings that affect block k, and so belong to its identity."""
    start = config.start_of(k)
    return {
        "step_size": stored(config.step_sizes[k - 1]),
        "network": without_defaults(config.network_of(k), LATER_NETWORK),
        "solver": config.solver.model_dump(mode="json"),
        "training": config.training_of(k).model_dump(mode="json"),
        "seed": config.seed,
        "dtype": config.runtime.dtype,
        "device": config.runtime.device.partition(":")[0],  # not which of several equal ones
        **({} if start is None else {"start": start}),
        **({} if config.target.standard else {"target": without_defaults(config.target, LATER_TARGET)}),
        **({} if config.scheme == "backward_euler" else {"scheme": config.scheme}),
    }


def fingerprints(config: Config, data_digest: str) -> tuple[str, ...]:
    """Fingerprints of blocks 0..N, each hashing the one before it."""
    chain = [data_fingerprint(data_digest)]
    for k in range(1, len(config.step_sizes) + 1):
        own = {"parent": chain[-1], "block": k, "settings": block_settings(config, k)}
        chain.append(digest_of({**own, "numerics": NUMERICS}))
    return tuple(chain)


def measured_with(config: Config) -> dict[str, Any]:
    """The settings that change what is measured."""
    return {
        **config.measure.model_dump(mode="json", exclude={"inversion_limit"}),
        "mixture_components": list(config.evaluation.mixture_components),
        "version": MEASURES,
        "certificate": CERTIFICATE,
    }


def stored_figures(config: Config, layout: Layout, chain: tuple[str, ...], k: int) -> dict[str, Any] | None:
    """The figures of block k, if they were measured under these settings."""
    figures = read_json(layout.measures(k, chain[k]))
    return figures if figures is not None and figures.get("settings") == measured_with(config) else None


def planned(config: Config, layout: Layout, data_digest: str) -> tuple[tuple[str, ...], str]:
    """Fingerprints of blocks 0..N, where a stop rule that is met already ends the chain.

    Returns:
        The fingerprints, and why the chain ends early (empty if it does not).
    """
    chain = fingerprints(config, data_digest)
    figures: list[dict[str, Any]] = []
    for k in range(1, len(chain)):
        own = stored_figures(config, layout, chain, k)
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
        if commit is not None and commit.record.get("source_key") == key:
            return commit.record["data_digest"]
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
    before = None if read_json(layout.manifest) is None else read_manifest(layout)
    if digest is None:
        why = "the data are not prepared yet" if before is None else "the data or their settings changed"
        return Plan(key, None, tuple(BlockPlan(k, None, g, "missing", why) for k, g in enumerate(sizes)))
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


def _reason(
    config: Config,
    layout: Layout,
    before: dict[str, Any] | None,
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
    known = (before or {}).get("fingerprints", [])
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
    return record["iteration"]


def changed_settings(before: dict[str, Any] | None, config: Config, k: int) -> str:
    """Which settings of block k differ from the manifest's, as ``key old → new``."""
    try:
        old = _all_settings(parse_config((before or {})["config"]), k)
    except (InputError, KeyError, IndexError):
        return ""
    was, now = flattened(old), flattened(_all_settings(config, k))
    changed = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    return ", ".join(f"{key} {was.get(key)} → {now.get(key)}" for key in changed)


def _all_settings(config: Config, k: int) -> dict[str, Any]:
    """The settings of block k for people: those at their defaults, too."""
    settings = {**block_settings(config, k), "network": config.network_of(k).model_dump(mode="json")}
    return settings | ({} if config.target.standard else {"target": config.target.model_dump(mode="json")})


def read_manifest(layout: Layout) -> dict[str, Any] | None:
    """``chain.json``, or ``None`` if there is no chain.

    Raises:
        InputError: it is a chain of another format.
    """
    manifest = read_json(layout.manifest)
    if not layout.manifest.exists():
        return None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else "no JSON object"
        raise InputError(
            f"{layout.manifest}: this is a chain of format {found}; this version reads format {FORMAT}"
        )
    return manifest


def stored_config(layout: Layout) -> Config:
    """The settings of an existing chain.

    Raises:
        InputError: there is no chain there.
    """
    manifest = read_manifest(layout)
    if manifest is None:
        raise InputError(f"{layout.chain}: no chain there (a chain folder holds a chain.json)")
    return parse_config(manifest["config"], where=str(layout.manifest))


def write_manifest(config: Config, layout: Layout, data_digest: str) -> tuple[str, ...]:
    """Write ``chain.json`` for a plan; returns the fingerprints of blocks 0..N."""
    chain, _ = planned(config, layout, data_digest)
    write_json(
        layout.manifest,
        {
            "format": FORMAT,
            "config": config.model_dump(mode="json"),
            "data_digest": data_digest,
            "fingerprints": list(chain),
        },
    )
    return chain


def arrange(layout: Layout, chain: tuple[str, ...]) -> None:
    """Leave exactly the plan's blocks in the chain folder.

    Blocks the plan does not name move to the run folder; one that was superseded earlier and
    is wanted again moves back. Only for the holder of the chain's lock.
    """
    wanted = {name_of(k, fingerprint) for k, fingerprint in enumerate(chain)}
    for folder in sorted((layout.chain / "blocks").glob("*")):
        if folder.name not in wanted or read_commit(folder, verify=True) is None:
            _move(folder, layout.superseded / folder.name)
    for name in sorted(wanted):
        stored, place = layout.superseded / name, layout.chain / "blocks" / name
        if not place.exists() and read_commit(stored, verify=True) is not None:
            _move(stored, place)
    for path in sorted((layout.chain / "measures").glob("*.json")):
        if path.stem not in wanted:
            path.unlink()
    start = (read_json(layout.manifest) or {}).get("config", {}).get("start", {}).get("weights") or ()
    starts = {layout.start(k, digest).name for k, digest in enumerate(start, start=1)}
    for path in sorted((layout.chain / "start").glob("*")):
        if path.name not in starts:
            path.unlink()


def evaluation_fingerprint(config: Config, digest: str) -> str:
    """Identity of an evaluation: the chain's content and what is drawn."""
    settings = config.evaluation.model_dump(mode="json")
    return digest_of({"chain": digest, "evaluation": settings, "version": EVALUATION})


def certificate_fingerprint(config: Config, digest: str) -> str:
    """Identity of a certificate: the chain's content and how it is measured."""
    stop = config.stop.model_dump(mode="json")  # a chain that its rule ended says so
    return digest_of({"chain": digest, "measure": measured_with(config), "stop": stop})


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    source.rename(target)


def chain_digest(layout: Layout, chain: tuple[str, ...] | list[str]) -> str | None:
    """Digest of the content of all blocks; ``None`` until every one is committed."""
    digests = []
    for k, fingerprint in enumerate(chain):
        commit = read_commit(layout.block(k, fingerprint))
        if commit is None or commit.fingerprint != fingerprint:
            return None
        digests.append(commit.digest)
    return digest_of(digests)
