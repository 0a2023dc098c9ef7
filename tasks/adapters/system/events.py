"""When each step of a run happened and what it cost; never hashed, never needed for a result."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from jko.disk.durable import append_lines
from jko.disk.layout import Layout
from jko.disk.sealed import read_lines, sealed_line
from jko.training.listener import Event, Listener


@dataclass(frozen=True)
class StepDone(Event):
    """A step of a run ended, however it did.

    Args:
        what: name of the step.
        block: index, 0 for the whole chain.
        of: first digits of the fingerprint of the block worked on; for the whole chain that of its last.
        done: whether it ended well.
        skipped: whether the block was known to be done, so that nothing was.
        wall_s: seconds.
        cpu_s: seconds of this process.
        started: seconds since 1970.
    """

    what: str
    block: int
    of: str
    done: bool
    skipped: bool
    started: float = field(default=0.0, kw_only=True)
    wall_s: float
    cpu_s: float


class EventLog:
    """A listener that appends the steps of a run to the chain's events."""

    def __init__(self, layout: Layout) -> None:
        self.path = layout.run / "events.jsonl"

    def tell(self, event: Event) -> None:
        """Append a line for a step."""
        if isinstance(event, StepDone):
            append_lines(self.path, [sealed_line(asdict(event))])


@contextmanager
def timed(
    listener: Listener, what: str, k: int = 0, of: str = "", *, skipped: bool = False
) -> Iterator[None]:
    """Tell of a :class:`StepDone` when the body ends, however it ends.

    Args:
        listener: is told.
        what: name of the step.
        k: block index, 0 for the whole chain.
        of: fingerprint of the block worked on; for the whole chain that of its last block.
        skipped: whether the block is known to be done, so that nothing is.
    """
    begun, wall, cpu = time.time(), time.perf_counter(), time.process_time()
    done = False
    try:
        yield
        done = True
    finally:
        spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        seconds = {name: round(value, 3) for name, value in {"started": begun, **spent}.items()}
        listener.tell(StepDone(what, k, of[:12], done, skipped, **seconds))


def events_of(layout: Layout, chain: Collection[str]) -> list[StepDone]:
    """The events of a chain's present blocks; those of replaced ones are left out.

    Args:
        layout: the chain.
        chain: fingerprints of its blocks.
    """
    known = {fingerprint[:12] for fingerprint in chain}
    return [event for event in read_events(layout.run / "events.jsonl") if event.of in known]


def read_events(path: Path) -> list[StepDone]:
    """The events of a file; lines that say anything else are left out."""
    shape, found = TypeAdapter(StepDone), []
    for line in read_lines(path):
        with suppress(ValidationError):
            found.append(shape.validate_json(json.dumps(line), strict=True))
    return found


def times_of(events: Sequence[StepDone], blocks: int) -> dict[str, float]:
    """What the events cost together, seconds: CPU time of training, and wall time of all steps.

    Attempts that were interrupted count; the time of one that was killed is not known.

    Args:
        events: of :func:`events_of`.
        blocks: number of blocks; without an event that trained each of them, as where blocks came
            from another chain, there are no times.
    """
    trained = [event for event in events if event.what == "train" and not event.skipped]
    if not blocks or {event.block for event in trained if event.done} != {*range(1, blocks + 1)}:
        return {}
    return {
        "time/train_cpu_s": round(sum(event.cpu_s for event in trained), 3),
        "time/wall_s": round(sum(event.wall_s for event in events), 3),
    }
