"""Flows in folders: what ``jko.fit`` keeps and ``jko.load`` reads, the command line's chains among them."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from jko.chain.chain import Chain
from jko.config import Config
from jko.core.errors import InputError
from jko.disk.chains import write_correction
from jko.disk.checkpoint import BlockCheckpoints, remove_checkpoint
from jko.disk.commit import ROWS, committing, stored_commit
from jko.disk.damage import checked_block, is_whole
from jko.disk.defence import stored_law, write_law
from jko.disk.durable import TEMPORARY
from jko.disk.facts import read_facts, write_facts
from jko.disk.identity import data_fingerprint, fingerprints, source_key
from jko.disk.layout import Layout
from jko.disk.manifest import keep_manifest, read_manifest, restore_manifest, stored_config
from jko.disk.tensors import read_tensors, write_tensors
from jko.disk.weights import load_weights, save_block, save_weights
from jko.maps.invertible import InvertibleBlock
from jko.preparation.facts import DataFacts
from jko.preparation.made import MadeRows
from jko.training.block_trainer import FitResult
from jko.training.fit_state import Checkpoints


class FlowFolder:
    """A folder in which a flow is trained: blocks are kept as they are done, and a killed training goes on.

    Args:
        folder: an empty or new one, or one of the same rows and settings.
        config: the settings.

    Raises:
        InputError: the folder holds something else.
    """

    def __init__(self, folder: Path, config: Config) -> None:
        self.layout, self.config = Layout(folder), config
        self.chain: tuple[str, ...] = ()
        require_folder(folder)
        restore_manifest(self.layout)
        if not self.begun and folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder}: this folder holds something else; give a new or empty one")

    @property
    def begun(self) -> bool:
        """Whether a training was begun here."""
        return read_manifest(self.layout) is not None

    def rows(self) -> MadeRows | None:
        """The prepared rows, if they are here and of these settings; ``None`` where they must be prepared.

        Raises:
            InputError: the folder holds a flow of other rows or settings, or the rows are damaged.
        """
        manifest = read_manifest(self.layout)
        if manifest is None:
            return None
        before = stored_config(self.layout)
        if before != self.config:
            same = before.data.content == self.config.data.content
            what = "other settings" if same else "other rows"
            raise InputError(f"{self.layout.chain}: this folder holds a flow of {what}; give another one")
        digest = manifest.data_digest
        data = data_fingerprint(digest)
        if not is_whole(self.layout.block(0, data), data):
            return None
        arrays = stored_rows(self.layout, data)
        if arrays is None:
            raise InputError(f"{self.layout.chain}: this is a chain of the jko command, which trains it")
        return MadeRows(read_facts(self.layout, data), arrays, stored_law(self.layout, data), digest)

    def begin(self, made: MadeRows) -> None:
        """Commit the prepared rows, unless they are there, and write down what is to be trained."""
        self.chain = fingerprints(self.config, made.digest)
        final = self.layout.block(0, self.chain[0])
        if not is_whole(final, self.chain[0]):
            record = {"data_digest": made.digest, "source_key": source_key(self.config)}
            with committing(final, self.chain[0], record) as folder:
                write_facts(folder, made.facts)
                write_tensors(
                    folder / ROWS, {name: torch.from_numpy(rows) for name, rows in made.arrays.items()}
                )
                if made.law is not None:
                    write_law(folder, made.law)
        keep_manifest(self.layout, self.config, made.digest, self.chain)

    def kept(self, k: int, block: InvertibleBlock) -> bool:
        """Read the weights of block k into it, if they are there and whole."""
        folder = self.layout.block(k, self.chain[k])
        if not is_whole(folder, self.chain[k]):
            return False
        load_weights(folder, block)
        remove_checkpoint(self.layout.checkpoint(k, self.chain[k]))
        return True

    def checkpoints(self, k: int, block: InvertibleBlock) -> Checkpoints:
        """States of block k in training, beside the folder."""
        return BlockCheckpoints(
            self.config, self.layout, k, self.chain[k], block=block, on_resume=lambda iteration: None
        )

    def keep(self, k: int, block: InvertibleBlock, result: FitResult) -> None:
        """Commit block k."""
        with committing(self.layout.block(k, self.chain[k]), self.chain[k], {"index": k}) as folder:
            save_block(folder, self.config, k, block, result)
        remove_checkpoint(self.layout.checkpoint(k, self.chain[k]))


def require_folder(folder: Path) -> None:
    """Refuse a path at which no folder can be made or written into; nothing is left there.

    Raises:
        InputError: with the reason of the operating system.
    """
    try:
        with suppress(FileNotFoundError):
            folder.lstat()  # a name that no folder can have, or one below a file
        there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        probe = (there.absolute().parent if there == folder else there) / f"{TEMPORARY}{secrets.token_hex(8)}"
        probe.mkdir()
        probe.rmdir()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{str(folder)!r}: no folder can be made or used there ({reason})") from None


def stored_rows(layout: Layout, data: str) -> dict[str, NDArray[np.float32]] | None:
    """The prepared rows in a folder of :func:`jko.fit`; ``None`` where block 0 has none in that form.

    Args:
        layout: the folder.
        data: fingerprint of block 0.
    """
    commit = stored_commit(layout.block(0, data))
    if commit is None or ROWS not in commit.files:
        return None
    tensors = read_tensors(checked_block(layout, 0, data, ROWS) / ROWS)
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def save_flow(folder: Path, config: Config, data_digest: str, facts: DataFacts, made: Chain) -> None:
    """Write a flow into a new folder, without the rows that it was trained on.

    Args:
        folder: a new or empty one.
        config: the settings of the training.
        data_digest: identity of the prepared rows.
        facts: what is known of the data.
        made: the blocks with block 0.

    Raises:
        InputError: the folder holds something already.
    """
    layout = Layout(folder)
    require_folder(folder)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: this is not empty; give a new folder")
    chain = fingerprints(config, data_digest)[: len(made.blocks) + 1]
    record = {"data_digest": data_digest}
    if config.data.source == "rows":
        record["source_key"] = source_key(config)
    with committing(layout.block(0, chain[0]), chain[0], record) as place:
        write_facts(place, facts)
        if made.defence is not None:
            write_law(place, made.defence.law)
    for k, (block, correction) in enumerate(zip(made, made.corrections, strict=True), start=1):
        with committing(layout.block(k, chain[k]), chain[k], {"index": k}) as place:
            save_weights(place, block)
            if correction is not None:
                write_correction(place, correction)
    keep_manifest(layout, config, data_digest, chain)
