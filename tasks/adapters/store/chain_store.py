"""A chain on disk under its settings: what tasks read of it, and where they commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from jko.config import Config
from jko.core.digest import digest_of
from jko.disk.commit import read_commit
from jko.disk.layout import Layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from jko.chain.chain import Chain
    from jko.maps.invertible import InvertibleBlock
    from jko.preparation.facts import DataFacts
    from tasks.adapters.store.rows import StoredRows


@dataclass(frozen=True)
class ChainStore:
    """A chain's folder. What is read of it is verified as it is read; heavy libraries are loaded then.

    Args:
        config: the settings.
        layout: the paths.
        fingerprints: of blocks 0..N, or of the first of them.
    """

    config: Config
    layout: Layout
    fingerprints: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of blocks, without the data."""
        return len(self.fingerprints) - 1

    @property
    def digest(self) -> str | None:
        """Digest of the content of all blocks; ``None`` until every one is committed."""
        return chain_digest(self.layout, self.fingerprints)

    @cached_property
    def facts(self) -> DataFacts:
        """What is known of the data.

        Raises:
            InputError: they are not committed, or damaged.
        """
        from jko.disk.facts import read_facts

        return read_facts(self.layout, self.fingerprints[0])

    def folder(self, k: int) -> Path:
        """Where block k is committed; 0 is the data."""
        return self.layout.block(k, self.fingerprints[k])

    def staged(self, k: int) -> Path:
        """Where the trained weights of block k wait for their rows to be pushed."""
        return self.layout.staged(k, self.fingerprints[k])

    def block(self, k: int) -> InvertibleBlock:
        """Block k, ready to push; on the CPU where the run's device is not there.

        Raises:
            InputError: it is not committed, or its weights are not those that were.
        """
        from jko.disk.weights import load_block

        facts = self.facts
        return load_block(self.layout, self.config, k, self.fingerprints[k], facts.dim, context=facts.context)

    def load(self) -> Chain:
        """The whole chain with its standardisation, corrections and defence."""
        from tasks.adapters.store.chains import load_chain

        return load_chain(self.layout, self.config, self.fingerprints)

    def samples(self, k: int, name: str, most: int | None = None) -> NDArray[np.generic]:
        """An array of block k's samples, or its first ``most`` rows; row i is particle i.

        Raises:
            InputError: it is missing or damaged.
        """
        from tasks.adapters.store.arrays import read_samples

        return read_samples(self.layout, k, self.fingerprints[k], name, most)

    def particles(self, k: int, part: str) -> Tensor:
        """Samples of block k in the run's dtype, on its device if that is there, else on the CPU."""
        from tasks.adapters.store.arrays import read_particles

        return read_particles(self.layout, self.config, k, self.fingerprints[k], part)

    def rows(self, k: int, part: str) -> Tensor | StoredRows:
        """Samples of block k to be drawn or gone through, read whole only where they are not too many."""
        from tasks.adapters.store.arrays import read_rows

        return read_rows(self.layout, self.config, k, self.fingerprints[k], part)


def chain_digest(layout: Layout, chain: Sequence[str]) -> str | None:
    """Digest of the content of all blocks; ``None`` until every one is committed."""
    digests = []
    for k, fingerprint in enumerate(chain):
        commit = read_commit(layout.block(k, fingerprint))
        if commit is None or commit.fingerprint != fingerprint:
            return None
        digests.append(commit.digest)
    return digest_of(digests)
