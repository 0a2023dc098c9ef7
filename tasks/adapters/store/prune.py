"""What of a chain's files can go: replaced blocks, leftovers, samples that can be recomputed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jko.core.errors import InputError
from jko.disk.commit import SAMPLES, read_commit
from jko.disk.durable import move
from jko.disk.layout import Layout, name_of
from jko.disk.manifest import known_fingerprints

#: folders of the run folder with one entry a block, named after it
LEFTOVERS = ("staging", "checkpoints", "scores")


@dataclass(frozen=True)
class Removal:
    """One thing that can go.

    Args:
        kind: what it is, in words.
        path: file or folder.
        size: bytes that its removal frees; files with another hard link count as nothing.
    """

    kind: str
    path: Path
    size: int


def removals(layout: Layout, *, samples: bool) -> list[Removal]:
    """What can be removed without losing a result.

    Args:
        layout: the chain.
        samples: also the samples of all blocks but the last committed one, which ``jko resume`` pushes
            again, bit for bit, when they are needed.

    Raises:
        InputError: samples of the chain that DVC versions are wanted.
    """
    if samples and layout.owned_by_dvc:
        raise InputError(
            f"{layout.chain}: DVC versions this chain with its samples; prune it without --samples"
        )
    found = [("replaced block", path) for path in sorted(layout.superseded.glob("*"))]
    found += [("leftover of a block that is not in the chain", path) for path in leftovers(layout)]
    if samples:
        found += [("samples that can be recomputed", path) for path in sample_folders(layout)]
    return [Removal(kind, path, freed(path)) for kind, path in found]


def leftovers(layout: Layout) -> Iterator[Path]:
    """Entries of the run folder that belong to blocks the chain does not have."""
    chain = known_fingerprints(layout)
    wanted = tuple(name_of(k, fingerprint) for k, fingerprint in enumerate(chain))
    for folder in LEFTOVERS:
        for path in sorted((layout.run / folder).glob("*")):
            if not path.name.startswith(wanted):
                yield path


def sample_folders(layout: Layout) -> Iterator[Path]:
    """Samples of blocks 1.. but the last committed one: the next block starts from that."""
    chain = known_fingerprints(layout)
    committed = []
    for k, fingerprint in enumerate(chain):
        if read_commit(layout.block(k, fingerprint)) is None:
            break
        committed.append(layout.block(k, fingerprint))
    for folder in committed[1:-1]:
        if (folder / SAMPLES).exists():
            yield folder / SAMPLES


def freed(path: Path) -> int:
    """Bytes that go with a file or folder."""
    files = [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]
    return sum(inner.stat().st_size for inner in files if inner.stat().st_nlink == 1)


def remove(layout: Layout, found: list[Removal]) -> None:
    """Remove them; only for the holder of the chain's lock.

    A folder is renamed first, durably: a kill or a power cut leaves a temporary name, never half of a
    block's samples.
    """
    place = layout.run / ".tmp-pruned"
    shutil.rmtree(place, ignore_errors=True)  # what an earlier one was killed in
    for number, removal in enumerate(found):
        if removal.path.is_file():
            removal.path.unlink()
            continue
        gone = place / str(number)
        move(removal.path, gone)
        shutil.rmtree(gone)
    shutil.rmtree(place, ignore_errors=True)
