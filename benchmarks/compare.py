"""Two computations timed in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """CPU time of a peer over ours, from interleaved repetitions.

    Args:
        value: median of the ratios of neighbours.
        low: the smallest of them.
        high: the largest of them.
        ours_s: median of ours, CPU seconds.
        peer_s: median of the peer's, CPU seconds.
    """

    value: float
    low: float
    high: float
    ours_s: float
    peer_s: float


def compare(ours: Callable[[], Any], peer: Callable[[], Any], repetitions: int) -> Ratio:
    """Time two computations in turn: what disturbs one disturbs the other."""
    ours()
    return compare_timed(lambda: cpu_seconds(ours), lambda: cpu_seconds(peer), repetitions)


def compare_timed(ours: Callable[[], float], peer: Callable[[], float], repetitions: int) -> Ratio:
    """The same for computations that give the CPU seconds they took, in processes of their own say."""
    times: list[tuple[float, float]] = []
    for turn in range(repetitions + 1):
        pair = ours(), peer()
        if turn:  # the first of each warms up
            times.append(pair)
    ratios = [b / a for a, b in times]
    mine, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), mine, theirs)


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process that a computation takes."""
    start = time.process_time()
    work()
    return time.process_time() - start
