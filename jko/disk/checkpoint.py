"""The state of a block in training: one file, whole or absent; loads nothing heavy until it is used.

A safetensors file whose metadata hold the numbers as JSON (``record``) and a SHA-256 over these numbers, the
tensors' names, types and shapes, and their bytes (``sha256``).
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from jko.config import Config
from jko.core.digest import digest_of
from jko.core.records import Count, Record
from jko.disk.durable import write_bytes
from jko.disk.layout import Layout
from jko.training.fit_numbers import FitNumbers

if TYPE_CHECKING:
    from jko.maps.invertible import InvertibleBlock
    from jko.training.fit_state import FitState

#: raised when a change alters what a checkpoint holds; one of another format is not used
FORMAT = 1
METADATA = "__metadata__"
log = logging.getLogger(__name__)


class Metadata(Record):
    """The metadata of the file.

    Args:
        record: the numbers, with a :class:`Stamp`, as JSON.
        sha256: over these and all tensors.
    """

    record: str
    sha256: str


class Stamp(Record):
    """What a checkpoint is of.

    Args:
        format: of the file.
        fingerprint: of the block.
    """

    format: Count | None = None
    fingerprint: str = ""


def read_checkpoint(path: Path, fingerprint: str) -> tuple[FitNumbers, bytes]:
    """Read a checkpoint and check every byte of it.

    Args:
        path: the file.
        fingerprint: of the block it must belong to.

    Returns:
        The numbers and the whole content.

    Raises:
        OSError: it is not there or cannot be read.
        ValueError: it is damaged, of another block or of another format.
    """
    content = path.read_bytes()
    try:
        metadata = Metadata.model_validate(_header(content)[METADATA])
        stamp = Stamp.model_validate(json.loads(metadata.record))
        whole = _seal(metadata.record, content) == metadata.sha256
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise ValueError("it is damaged")
    if stamp.format != FORMAT:
        raise ValueError(f"it is of format {stamp.format}, not {FORMAT}")
    if stamp.fingerprint != fingerprint:
        raise ValueError("it is of another block")
    return FitNumbers.model_validate(stamp.model_extra), content


def write_checkpoint(path: Path, fingerprint: str, state: FitState) -> None:
    """Replace a checkpoint: at any moment there is the whole old one or the whole new one."""
    from jko.disk.tensors import pack_tensors

    record = json.dumps(
        {**state.record().plain(), "fingerprint": fingerprint, "format": FORMAT}, sort_keys=True
    )
    tensors = state.tensors()
    metadata = {"record": record, "sha256": _seal(record, pack_tensors(tensors, {}))}
    write_bytes(path, pack_tensors(tensors, metadata))


def _header(content: bytes) -> dict[str, JsonValue]:
    """The table of tensors with the metadata: eight bytes of length, then JSON."""
    found: dict[str, JsonValue] = json.loads(content[8 : _start(content)])
    return found


def _start(content: bytes) -> int:
    """Where the tensors' bytes begin."""
    return 8 + int.from_bytes(content[:8], "little")


def _seal(record: str, content: bytes) -> str:
    """SHA-256 over a record and the tensors of a safetensors file, whatever its metadata."""
    table = {name: value for name, value in _header(content).items() if name != METADATA}
    data = hashlib.sha256(memoryview(content)[_start(content) :]).hexdigest()
    return digest_of({"record": record, "tensors": table, "data": data})


class BlockCheckpoints:
    """Keeps the state of one block's training every ``runtime.checkpoint_seconds``.

    What fails costs a warning: a checkpoint that cannot be used is as good as none, and one that cannot be
    written leaves the one before it.

    Args:
        config: the settings.
        layout: the chain.
        k: the block.
        fingerprint: its identity.
        block: what is trained; a state that is none of this block's is not used.
        on_resume: told the number of iterations done, where there is a state to go on from.
    """

    def __init__(
        self,
        config: Config,
        layout: Layout,
        k: int,
        fingerprint: str,
        *,
        block: InvertibleBlock,
        on_resume: Callable[[int], None],
    ) -> None:
        self.path, self.fingerprint = layout.checkpoint(k, fingerprint), fingerprint
        self.k, self.block, self.settings = k, block, config.training_of(k)
        self.seconds, self.on_resume = config.runtime.checkpoint_seconds, on_resume
        self.next = time.monotonic() + self.seconds
        self.warned = False

    def load(self) -> FitState | None:
        """The state on disk, if it is whole and of this block."""
        try:
            state = self._read()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning(
                "block %s starts anew, its checkpoint cannot be used: %s (%s)", self.k, error, self.path
            )
            return None
        self.on_resume(state.iteration)
        return state

    def _read(self) -> FitState:
        from jko.disk.tensors import unpack_tensors
        from jko.training.fit_state import FitState

        record, content = read_checkpoint(self.path, self.fingerprint)
        state = FitState.of(record, unpack_tensors(content))
        if not state.fits(self.block, self.settings):
            raise ValueError("it is not of this network and training")
        return state

    def due(self) -> bool:
        """Whether the time since the start, or since the last one, is over."""
        return time.monotonic() >= self.next

    def save(self, state: FitState) -> None:
        """Write the state; the first of failures in a row is told."""
        try:
            write_checkpoint(self.path, self.fingerprint, state)
            self.warned = False
        except OSError as error:
            if not self.warned:
                log.warning("block %s: no checkpoint was written, training goes on: %s", self.k, error)
            self.warned = True
        self.next = time.monotonic() + self.seconds


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint that is of no use any more; one that stays does no harm."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("a checkpoint could not be removed: %s", error)
