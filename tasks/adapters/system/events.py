"""When each step of a run happened and what it cost; never hashed, never needed for a result."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from jko.core.digest import Json
from jko.disk.durable import append_lines
from jko.disk.layout import Layout
from jko.disk.sealed import read_lines, sealed_line

NUMBER = (int, float)


@contextmanager
def timed(layout: Layout, what: str, k: int = 0, of: str = "", *, skipped: bool = False) -> Iterator[None]:
    """Append a line to the run's events when the body ends, however it ends.

    Args:
        layout: the chain.
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
        event: dict[str, Json] = {
            "what": what,
            "block": k,
            "of": of[:12],
            "done": done,
            "skipped": skipped,
            "started": round(begun, 3),
            "wall_s": round(time.perf_counter() - wall, 3),
            "cpu_s": round(time.process_time() - cpu, 3),
        }
        append_lines(layout.run / "events.jsonl", [sealed_line(event)])


def events_of(layout: Layout, chain: Collection[str]) -> list[dict[str, Any]]:
    """The events of a chain's present blocks; those of replaced ones are left out.

    Args:
        layout: the chain.
        chain: fingerprints of its blocks.
    """
    known = {fingerprint[:12] for fingerprint in chain}
    events = read_lines(layout.run / "events.jsonl")
    return [event for event in events if _is_whole(event) and event["of"] in known]


def _is_whole(event: Mapping[str, Any]) -> bool:
    """Whether an event says what :func:`timed` writes."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "what": str,
        "of": str,
        "block": int,
        "done": bool,
        "skipped": bool,
        "wall_s": NUMBER,
        "cpu_s": NUMBER,
    }
    return all(isinstance(event.get(name), kind) for name, kind in kinds.items())


def times_of(events: Sequence[dict[str, Any]], blocks: int) -> dict[str, float]:
    """What the events cost together, seconds: CPU time of training, and wall time of all steps.

    Attempts that were interrupted count; the time of one that was killed is not known.

    Args:
        events: of :func:`events_of`.
        blocks: number of blocks; without an event that trained each of them, as where blocks came
            from another chain, there are no times.
    """
    trained = [event for event in events if event["what"] == "train" and not event["skipped"]]
    if not blocks or {event["block"] for event in trained if event["done"]} != {*range(1, blocks + 1)}:
        return {}
    return {
        "time/train_cpu_s": round(sum(event["cpu_s"] for event in trained), 3),
        "time/wall_s": round(sum(event["wall_s"] for event in events), 3),
    }
