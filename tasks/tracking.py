"""MLflow's run of a chain, kept up to date by what the pipeline tells."""

from __future__ import annotations

import math
import time
from pathlib import Path

from jko.config import flattened
from jko.core.errors import was_interrupted
from jko.disk.chains import CORRECTION
from jko.disk.identity import fingerprints
from jko.disk.layout import name_of
from jko.training.listener import Event
from tasks.adapters.dvc.versions import data_version
from tasks.adapters.mlflow.tracking import Tracker, git_commit
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import read_curve
from tasks.adapters.store.lock import one_at_a_time
from tasks.adapters.store.parent_chain import read_origin
from tasks.compare.record import track_record
from tasks.headline import chain_headline, step_headline
from tasks.listening import (
    BlockDone,
    Certified,
    ChainBegun,
    ChainDone,
    Evaluated,
    Failed,
    Finished,
    Reported,
)

#: how often the record of a chain in training is sent to MLflow at most; its end is sent in any case
SECONDS_BETWEEN_RECORDS = 2.0


class Tracking:
    """A listener that tells MLflow.

    Args:
        root: the project's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tracker: Tracker | None = None
        self.recorded = -math.inf

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, where there is one."""
        return None if self.tracker is None else self.tracker.run_id

    def tell(self, event: Event) -> None:
        """Track what is tracked of an event."""
        if isinstance(event, ChainBegun):
            self._begin(event)
        elif self.tracker is not None:
            self._track(self.tracker, event)

    def _track(self, tracker: Tracker, event: Event) -> None:
        match event:
            case BlockDone():
                self._block(tracker, event)
            case ChainDone(store):
                tracker.tag("jko.state", "complete")
                tracker.tag("jko.digest", store.digest or "")
            case Certified(certificate):
                tracker.final(chain_headline(certificate))
            case Evaluated(metrics, test_digest):
                tracker.final(metrics)
                tracker.tag("jko.test_digest", test_digest)
            case Reported(store):
                _files(tracker, store)
            case Finished():
                track_record(tracker, tracker.layout)
                tracker.close("FINISHED")
                self.tracker = None  # what fails later, as showing it, is no failure of the run
            case Failed(error):
                tracker.close("KILLED" if was_interrupted(error) else "FAILED")
                track_record(tracker, tracker.layout)

    def _begin(self, event: ChainBegun) -> None:
        """Open the run with the settings, the data version and where it came from."""
        store, facts = event.store, event.store.facts
        # one tracked run for the settings, wherever a stop rule ends the chain
        identity = fingerprints(store.config, event.data_digest)[-1]
        self.tracker = Tracker(store.layout, identity, self.root)
        origin = read_origin(store.config, store.layout)
        own = {"jko.git_commit": git_commit(self.root), "jko.data": facts.name, "jko.state": "partial"}
        settings = flattened(store.config.model_dump(mode="json"))
        # a store that two runs open for the first time at once would be made twice
        with one_at_a_time(self.root / ".jko" / "tracking.lock"):
            self.tracker.open(event.name, settings, {**own, **event.tags, **origin.tags})
        self.tracker.final(origin.figures)
        folder = store.folder(0)
        self.tracker.data(facts.name, data_version(folder), str(folder))

    def _block(self, tracker: Tracker, event: BlockDone) -> None:
        store, k = event.store, event.block
        entropy = store.facts.entropy if store.config.target.normalised else None
        tracker.step(k, step_headline(event.figures, entropy))
        curve = read_curve(store.folder(k))
        if curve is not None:
            tracker.curve(k, name_of(k, store.fingerprints[k]), curve)
        if time.monotonic() - self.recorded >= SECONDS_BETWEEN_RECORDS:
            track_record(tracker, store.layout)
            self.recorded = time.monotonic()


def _files(tracker: Tracker, store: ChainStore) -> None:
    """Send the page, the weights and what corrects the blocks."""
    tracker.artefacts(store.layout.report, "report")
    for k in range(1, len(store.fingerprints)):
        tracker.artefacts(store.folder(k) / "weights.safetensors", f"blocks/{k}")
        if store.config.target.correction:
            tracker.artefacts(store.folder(k) / CORRECTION, f"blocks/{k}")
