"""Committed blocks that move between chains and places: taken from another chain, set aside, compared.

Only for the holder of the chain's lock.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from jko.config import Config
from jko.core.errors import InputError
from jko.core.records import Record
from jko.disk.commit import SAMPLES, read_commit
from jko.disk.durable import TEMPORARY, link_tree, make_folder, move, put_in_place, sync_tree
from jko.disk.identity import fingerprints, source_key
from jko.disk.layout import Layout, name_of
from jko.disk.sealed import read_model, write_json
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.plan import find_data, keep_figures, stored_figures, stored_source_key

#: a block that is trained again although it was committed waits under its name and this
ASIDE = ".aside"


def take_blocks(config: Config, layout: Layout, source: Layout) -> list[int]:
    """Take the data and the leading blocks of another chain that this plan wants, too.

    Files are hard links where the file system allows: committed bytes never change.

    Args:
        config: the settings wanted.
        layout: the chain to fill.
        source: the chain to take from; its superseded blocks count.

    Returns:
        Indices of the blocks taken; 0 is the data.

    Raises:
        InputError: the other chain has other data, so that no block can be equal.
    """
    chain, found = blocks_to_take(config, layout, source)
    for k, folder in found.items():
        if is_bare(folder):
            from tasks.adapters.store.bare import take_bare  # loads Zarr, which plans do without

            take_bare(layout, k, chain[k], source)
        else:
            link_folder(folder, layout.block(k, chain[k]))
        take_measures(ChainStore(config, layout, chain), source, k)
    if found:
        known = taken_from(layout)
        new = {name_of(k, chain[k]): str(source.chain) for k in found}
        write_json(taken_record(layout), known | new)
    return list(found)


def is_bare(folder: Path) -> bool:
    """Whether a committed block never had rows beside it."""
    commit = read_commit(folder)
    return commit is not None and not any(name.startswith(f"{SAMPLES}/") for name in commit.files)


def blocks_to_take(config: Config, layout: Layout, source: Layout) -> tuple[tuple[str, ...], dict[int, Path]]:
    """What :func:`take_blocks` would take; nothing is written.

    Returns:
        Fingerprints of blocks 0..N of this plan, and the folders of the blocks to take by index.

    Raises:
        InputError: the other chain has other data, so that no block can be equal.
    """
    key = stored_source_key(config, layout) or source_key(config)
    digest = find_data(source, key)
    if digest is None:
        raise InputError(
            f"--from {source.chain}: its data are not those of this chain (source, preparation and seed must "
            "be equal), so none of its blocks can be taken"
        )
    chain, found = fingerprints(config, digest), {}
    for k, fingerprint in enumerate(chain):
        folder = committed_copy(source, k, fingerprint)
        own = read_commit(layout.block(k, fingerprint))
        if own is not None:
            theirs = None if folder is None else read_commit(folder)
            if theirs is not None and theirs.digest != own.digest:
                break  # equal settings, other bits (threads, hardware): what follows descends from those
            continue
        if folder is None:
            break
        found[k] = folder
    return chain, found


def taken_record(layout: Layout) -> Path:
    """Says which blocks were not trained here and where they came from: ``{name: chain}``."""
    return layout.run / "taken.json"


def taken_from(layout: Layout) -> dict[str, str]:
    """Which blocks were taken and from where; empty where that is not known."""
    known = read_model(taken_record(layout), Record)
    return {} if known is None else {name: str(chain) for name, chain in known.plain().items()}


def committed_copy(source: Layout, k: int, fingerprint: str) -> Path | None:
    """Where a chain holds a committed block, in use or superseded."""
    places = [source.block(k, fingerprint), source.superseded / name_of(k, fingerprint)]
    if k == 0 and source.prepared is not None:
        places.append(source.prepared)
    for place in places:
        commit = read_commit(place, verify=True)
        if commit is not None and commit.fingerprint == fingerprint:
            return place
    return None


def link_folder(folder: Path, target: Path) -> None:
    """A committed folder at a second place, whole or not at all."""
    make_folder(target.parent)
    temporary = target.with_name(f"{TEMPORARY}{target.name}-taken")
    shutil.rmtree(temporary, ignore_errors=True)
    link_tree(folder, temporary)
    sync_tree(temporary)
    put_in_place(temporary, target)
    shutil.rmtree(temporary, ignore_errors=True)


def take_measures(store: ChainStore, source: Layout, k: int) -> None:
    """Take what was measured of a block of another chain under the settings of this one."""
    theirs = replace(store, layout=source)
    figures = stored_figures(theirs, k) if k else None
    if figures is not None:
        keep_figures(store.layout, k, store.fingerprints[k], figures)


def set_aside(layout: Layout, first: int) -> list[str]:
    """Put blocks ``first``.. out of the chain, with all that was begun of them, to be trained again.

    The last goes first: a kill leaves the blocks before it, never later ones without them.

    Returns:
        Names of the committed blocks set aside.
    """
    names: list[str] = []
    for folder in sorted(_from(layout.chain / "blocks", first), key=index_of, reverse=True):
        target = layout.superseded / f"{folder.name}{ASIDE}"
        if target.exists():  # the bits to compare with are the first ones
            target = layout.superseded / folder.name
        move(folder, target)
        names.insert(0, folder.name)
    for name in names:  # an equal one that waits there would come back
        shutil.rmtree(layout.superseded / name, ignore_errors=True)
    for place in ("staging", "checkpoints", "scores"):
        for path in _from(layout.run / place, first):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in _from(layout.chain / "measures", first):
        path.unlink()
    return names


def index_of(path: Path) -> int:
    """The block that an entry ``<k>-…`` belongs to; -1 for what is none."""
    index = path.name.partition("-")[0]
    return int(index) if index.isdecimal() else -1


def _from(place: Path, first: int) -> list[Path]:
    return [path for path in place.glob("*") if index_of(path) >= first]


def compare_aside(layout: Layout) -> dict[int, bool]:
    """Whether blocks that were trained again have the bytes they had, by index; empties what is equal."""
    same = {}
    for folder in sorted(layout.superseded.glob(f"*{ASIDE}")):
        name = folder.name.removesuffix(ASIDE)
        new, old = read_commit(layout.chain / "blocks" / name), read_commit(folder)
        if new is None or old is None:
            continue
        same[int(name.partition("-")[0])] = new.digest == old.digest
        if new.digest == old.digest:
            shutil.rmtree(folder, ignore_errors=True)
    return same
