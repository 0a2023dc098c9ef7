"""CPU seconds that a method may spend, and the memory it took."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Budget:
    """CPU seconds of this process, over all its threads, from now on.

    CPU seconds and not time of day: cells run two at a time and must not pay for each other.

    Args:
        seconds: how many may be spent.
        clock: CPU seconds since any time.
        charged: CPU seconds that were spent before.
    """

    def __init__(
        self, seconds: float, *, clock: Callable[[], float] = time.process_time, charged: float = 0.0
    ) -> None:
        self.seconds, self.charged = float(seconds), charged
        #: CPU seconds that were not charged
        self.free = 0.0
        self.clock = clock
        self._start = clock()

    @property
    def spent(self) -> float:
        """CPU seconds charged so far."""
        return self.clock() - self._start - self.free + self.charged

    @property
    def left(self) -> float:
        """CPU seconds that may still be spent; negative once too many were."""
        return self.seconds - self.spent

    def share(self, reserve: float = 0.0) -> float:
        """Part that is spent of the budget, but for seconds that are kept for its end, between 0 and 1."""
        usable = self.seconds - reserve
        return min(1.0, self.spent / usable) if usable > 0 else 1.0

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """What runs inside is not charged: looking at the test rows is no part of training."""
        start = self.clock()
        try:
            yield
        finally:
            self.free += self.clock() - start


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, MiB, libraries and evaluations included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
