"""When each step of a run happened and what it cost; never hashed, never needed for a result."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.adapters.layout import Layout


@contextmanager
def timed(layout: Layout, what: str, k: int = 0) -> Iterator[None]:
    """Append a line to the run's events when the body ends well.

    Args:
        layout: the chain.
        what: name of the step.
        k: block index, 0 for the whole chain.
    """
    begun, wall, cpu = time.time(), time.perf_counter(), time.process_time()
    yield
    event = {
        "what": what,
        "block": k,
        "started": round(begun, 3),
        "wall_s": round(time.perf_counter() - wall, 3),
        "cpu_s": round(time.process_time() - cpu, 3),
    }
    layout.run.mkdir(parents=True, exist_ok=True)
    with (layout.run / "events.jsonl").open("a") as stream:
        stream.write(json.dumps(event) + "\n")
