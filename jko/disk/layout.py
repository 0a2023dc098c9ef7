"""Where the files of a chain lie. Knows names only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The paths of one chain; everything beside the chain folder is named after it.

    Args:
        chain: the chain folder: content only, equal for equal runs.
        prepared: where the prepared data are committed first, for the chain that DVC owns
            (its own stage); other chains keep them as their block 0 only.
    """

    chain: Path
    prepared: Path | None = None

    @classmethod
    def of(cls, chain: Path | str, root: Path) -> Layout:
        """The layout of a chain folder; DVC's own chain is ``data/chain`` under ``root``."""
        chain = Path(chain)
        owned = chain.resolve() == (root / "data" / "chain").resolve()
        return cls(chain, root / "data" / "prepared" if owned else None)

    @property
    def owned_by_dvc(self) -> bool:
        """Whether this is the chain whose stages are in dvc.yaml."""
        return self.prepared is not None

    def beside(self, suffix: str) -> Path:
        """A sibling of the chain folder."""
        return self.chain.with_name(f"{self.chain.name}.{suffix}")

    @property
    def manifest(self) -> Path:
        """``chain.json``: config, data digest, ordered fingerprints."""
        return self.chain / "chain.json"

    @property
    def run(self) -> Path:
        """What varies between equal runs: lock, events, ids, curves, checkpoints, superseded blocks."""
        return self.beside("run")

    @property
    def evaluation(self) -> Path:
        """Committed folder of the evaluation on test rows."""
        return self.beside("evaluation")

    @property
    def report(self) -> Path:
        """Committed folder of the page and pictures."""
        return self.beside("report")

    @property
    def metrics(self) -> Path:
        """The headline figures as one small JSON file, which DVC shows and compares."""
        return self.beside("metrics.json")

    @property
    def certificate(self) -> Path:
        """What the chain guarantees, as one JSON file."""
        return self.beside("certificate.json")

    @property
    def places(self) -> tuple[Path, ...]:
        """Everything that belongs to the chain."""
        own = (self.chain, self.run, self.evaluation, self.report, self.metrics, self.certificate)
        return (*own, self.prepared) if self.prepared else own

    @property
    def superseded(self) -> Path:
        """Blocks that a newer plan replaced."""
        return self.run / "superseded"

    def block(self, index: int, fingerprint: str) -> Path:
        """Folder of block ``index``; 0 holds the prepared data."""
        return self.chain / "blocks" / name_of(index, fingerprint)

    def staged(self, index: int, fingerprint: str) -> Path:
        """Trained weights that wait for their samples to be pushed."""
        return self.run / "staging" / name_of(index, fingerprint)

    def checkpoint(self, index: int, fingerprint: str) -> Path:
        """State of block ``index`` in the middle of its training."""
        return self.run / "checkpoints" / f"{name_of(index, fingerprint)}.safetensors"

    def start(self, index: int, digest: str) -> Path:
        """The weights that block ``index`` starts from, by their SHA-256."""
        return self.chain / "start" / f"{name_of(index, digest)}.safetensors"

    def measures(self, index: int, fingerprint: str) -> Path:
        """Figures of block ``index``."""
        return self.chain / "measures" / f"{name_of(index, fingerprint)}.json"


def name_of(index: int, fingerprint: str) -> str:
    """``<k>-<first twelve digits of the fingerprint>``."""
    return f"{index}-{fingerprint[:12]}"
