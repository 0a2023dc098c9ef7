"""Chains that start from another chain's weights: the files they need, and where they come from."""

from __future__ import annotations

import tempfile
from pathlib import Path

from jko.config import Config
from jko.config.sections import Start
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.core.records import Number, Record
from jko.disk.commit import Commit, file_digest, read_commit
from jko.disk.durable import TEMPORARY, link_file, make_folder, move, sync
from jko.disk.identity import fingerprints
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from jko.disk.sealed import read_model, read_sealed, write_sealed

#: what weights depend on beside the dimension, which the weights themselves tell
ARCHITECTURE = ("kind", "hidden", "activation", "fourier")
WEIGHTS = "weights.safetensors"
#: tags of a tracked run: the run and the folder of the chain it descends from
PARENT, PARENT_CHAIN = "jko.parent", "jko.parent_chain"


def started_from(config: Config, layout: Layout, parent: Layout) -> Config:
    """The settings with ``start`` filled in: block k starts from the parent's block k.

    Raises:
        InputError: no chain there, none of its blocks is committed, its network is another, or it is
            the chain itself.
    """
    if parent.chain.resolve() == layout.chain.resolve():
        raise InputError(f"{layout.chain} cannot start from itself; give another --chain")
    other = stored_config(parent)
    if not same_network(config, other):
        raise InputError(
            f"the blocks of {parent.chain} have the network {_words(other)}, and {_words(config)} is wanted; "
            "start from a chain of equal network, or from none"
        )
    weights = [commit.files[WEIGHTS] for commit, _ in _committed(parent)]
    if not weights:
        raise InputError(f"{parent.chain}: no block is committed, so there is nothing to start from")
    return config.model_copy(update={"start": Start(weights=tuple(weights[: len(config.step_sizes)]))})


def same_network(one: Config, other: Config) -> bool:
    """Whether blocks of one can have weights of the other's, if their dimension is equal too."""
    return _network(one) == _network(other)


def adopt_start(config: Config, layout: Layout, parent: Layout, root: Path) -> None:
    """Keep the parent's weights in the chain's own folder, so that it needs the parent no more.

    Only for the holder of the chain's lock.

    Raises:
        InputError: the parent's weights are not those that the settings name.
    """
    found = {commit.files[WEIGHTS]: folder / WEIGHTS for commit, folder in _committed(parent)}
    for k, digest in enumerate(config.start.weights or (), start=1):
        final = layout.start(k, digest)
        if final.is_file() and file_digest(final) == digest:
            continue
        if digest not in found:
            raise InputError(f"{parent.chain}: it no longer has the weights that block {k} starts from")
        _link(found[digest], final)
    tags = parent_tags(parent, root)
    if read_origin(config, layout).tags.get(PARENT_CHAIN) != tags[PARENT_CHAIN]:
        write_origin(config, layout, Origin(tags=tags, figures={}))


class Origin(Record):
    """What a chain descends from.

    Args:
        tags: of its tracked run: ``jko.parent``, the parent's run, and ``jko.parent_chain``, its folder.
        figures: measured of its data under the parent.
    """

    tags: dict[str, str]
    figures: dict[str, Number]


def parent_tags(parent: Layout, root: Path) -> dict[str, str]:
    """Tags that name a parent: its folder, relative to the project if it is inside, and its run."""
    chain, top = parent.chain.resolve(), root.resolve()
    tags = {PARENT_CHAIN: str(chain.relative_to(top) if chain.is_relative_to(top) else chain)}
    run = tracked_run(parent)
    return {**tags, PARENT: run} if run else tags


def write_origin(config: Config, layout: Layout, origin: Origin) -> None:
    """Remember what a chain descends from; the run that trains it is told."""
    write_sealed(_origin(layout), origin, identity=_start_identity(config))


def read_origin(config: Config, layout: Layout) -> Origin:
    """What :func:`write_origin` wrote for these settings; empty for a chain without parent."""
    found = read_sealed(_origin(layout), Origin, _start_identity(config))
    return Origin(tags={}, figures={}) if found is None else found


class Tracked(Record):
    """What is read of the record that MLflow's adapter keeps of a run.

    Args:
        run_id: of the run.
    """

    run_id: str | None = None


def tracked_run(layout: Layout) -> str | None:
    """Id of the MLflow run of a chain, if it was tracked."""
    manifest = required_manifest(layout)
    identity = fingerprints(stored_config(layout), manifest.data_digest)[-1]
    record = read_model(layout.run / "tracking" / f"{identity[:12]}.json", Tracked)
    return None if record is None else record.run_id


def _start_identity(config: Config) -> str:
    return digest_of({"start": list(config.start.weights or ())})


def _origin(layout: Layout) -> Path:
    return layout.run / "origin.json"


def _committed(layout: Layout) -> list[tuple[Commit, Path]]:
    """The leading committed and undamaged blocks 1, 2, … of a chain."""
    found = []
    for k, fingerprint in list(enumerate(required_manifest(layout).fingerprints))[1:]:
        folder = layout.block(k, fingerprint)
        commit = read_commit(folder, verify=True)
        if commit is None:
            break
        found.append((commit, folder))
    return found


def _link(source: Path, final: Path) -> None:
    """A hard link where the file system allows, a copy where not; all of it or nothing."""
    make_folder(final.parent)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=final.parent) as folder:
        temporary = Path(folder) / final.name
        link_file(source, temporary)
        sync(temporary)
        move(temporary, final)


def _network(config: Config) -> dict[str, object]:
    return {name: getattr(config.network, name) for name in ARCHITECTURE}


def _words(config: Config) -> str:
    return ", ".join(f"{name} {value}" for name, value in _network(config).items())
