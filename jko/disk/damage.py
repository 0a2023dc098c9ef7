"""Damage to a chain's files: refused where they are read, listed for the status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jko.core.errors import InputError, JkoError
from jko.disk.commit import COMMIT, FACTS, ROWS, SAMPLES, damaged_files, read_commit, stored_commit
from jko.disk.layout import Layout
from jko.disk.sealed import is_damaged


def checked_block(layout: Layout, k: int, fingerprint: str, *starts: str) -> Path:
    """The folder of a committed block, after the files that are about to be read were hashed.

    Args:
        layout: the chain.
        k: the block; 0 is the data.
        fingerprint: its identity.
        starts: what the relative paths of these files begin with.

    Raises:
        InputError: the block is not committed, is another one, or one of these files is missing or changed.
    """
    folder = layout.block(k, fingerprint)
    name = f"block {k}" if k else "the data"
    commit = stored_commit(folder)
    if commit is None or commit.fingerprint != fingerprint:
        why = "not committed" if not folder.exists() else f"damaged ({COMMIT})"
        raise InputError(f"{folder}: {name} is {why}; {way_back(layout)}")
    for start in starts:
        if not any(file.startswith(start) for file in commit.files):
            raise InputError(f"{folder / start}: {name} was committed without it")
        for path in damaged_files(folder, commit, start):
            what = "changed" if path.exists() else "missing"
            raise InputError(f"{path}: this file of {name} is {what}; {way_back(layout)}")
    return folder


def way_back(layout: Layout) -> str:
    """What makes damaged files of a folder again; who made the folder is known by what block 0 holds."""
    held: set[str] = set()
    for folder in layout.chain.glob("blocks/0-*"):
        commit = stored_commit(folder)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        held |= {name.partition("/")[0] for name in (*names, *(commit.files if commit else ()))}
    if ROWS in held:
        return f"call jko.fit again with the same rows, settings and folder={str(layout.chain)!r}"
    if FACTS in held and SAMPLES not in held:  # of Flow.save
        return "save the flow again in a new folder"
    return f"run jko resume {layout.chain}"


def damaged_places(layout: Layout, fingerprints: Sequence[str]) -> Iterator[Path]:
    """Files and folders of a chain that are there and are not what was committed.

    Those of other settings, or of an older version, are whole.

    Args:
        layout: the chain.
        fingerprints: of blocks 0..N.
    """
    for k, fingerprint in enumerate(fingerprints):
        yield from damaged_in(layout.block(k, fingerprint), fingerprint)
        if k and is_damaged(layout.measures(k, fingerprint)):
            yield layout.measures(k, fingerprint)
    for folder in (layout.evaluation, layout.report):
        yield from damaged_in(folder)
    if is_damaged(layout.certificate):
        yield layout.certificate


def damaged_in(folder: Path, fingerprint: str | None = None) -> Iterator[Path]:
    """Damaged files of a committed folder, the commit file among them; none where there is no folder."""
    if not folder.exists() and not folder.is_symlink():
        return
    commit = stored_commit(folder)
    if commit is None or (fingerprint is not None and commit.fingerprint != fingerprint):
        yield folder / COMMIT
        return
    yield from damaged_files(folder, commit)


@contextmanager
def well_formed(layout: Layout) -> Iterator[None]:
    """Name a chain whose files are committed and sealed, and do not hold what this version writes.

    Raises:
        InputError: the body met a missing name or a value of another type.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        if isinstance(error, JkoError):
            raise
        what = str(error).partition("\n")[0][:100]
        raise InputError(
            f"{layout.chain}: its files are whole, but one of them does not hold what this version writes "
            f"({type(error).__name__}: {what}); {way_back(layout)}, which makes again what it can"
        ) from None


def is_whole(folder: Path, identity: str) -> bool:
    """Whether a folder was committed under this identity and no byte of it changed."""
    commit = read_commit(folder, verify=True)
    return commit is not None and commit.fingerprint == identity
