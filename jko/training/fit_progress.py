"""One line on standard error that shows how far a training is."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from jko.config import Config
from jko.training.chain_trainer import TrainedBlock
from jko.training.listener import Advanced, BlockBegun, Event

#: least time between two changes of the line
SECONDS = 0.2
#: what an iteration of the JKO objective costs, in iterations of flow matching
COST = 10


class Line:
    """The progress of a chain: a line that changes in a terminal, one line a block elsewhere.

    Args:
        config: the settings.
        shown: whether anything is shown.
    """

    def __init__(self, config: Config, *, shown: bool = True) -> None:
        self.shown, self.live = shown, shown and sys.stderr.isatty()
        self.config, self.count = config, len(config.step_sizes)
        self.index, self.begun, self.changed = 0, time.monotonic(), 0.0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave a clean line."""
        if self.live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def say(self, sentence: str) -> None:
        """A sentence of its own line."""
        if self.shown:
            print(("\r\x1b[K" if self.live else "") + sentence, file=sys.stderr)

    def tell(self, event: Event) -> None:
        """Show an event."""
        match event:
            case BlockBegun(k):
                self.index = k
            case Advanced(_, iteration):
                self._iterate(iteration)
            case TrainedBlock() if self.shown and not self.live:
                print(f"{event}, {time.monotonic() - self.begun:.0f} s", file=sys.stderr)

    def _iterate(self, iteration: int) -> None:
        """So many iterations of the block are done."""
        now = time.monotonic()
        if not self.live or now - self.changed < SECONDS:
            return
        self.changed = now
        plan = self.config.training_of(self.index)
        matching = plan.flow_matching_iterations
        whole = matching + COST * plan.iterations
        done = min(iteration, matching) + COST * max(0, iteration - matching)
        part = 100 * done / whole if whole else 100
        seconds = now - self.begun
        sys.stderr.write(f"\rblock {self.index}/{self.count}  {part:3.0f} %  {seconds:.0f} s\x1b[K")
        sys.stderr.flush()
