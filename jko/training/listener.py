"""What a training tells those who follow it: one record for each thing that happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jko.config import Config
    from jko.training.fit_state import FitRecord


@dataclass(frozen=True)
class Event:
    """Something that happened; its class says what."""


@dataclass(frozen=True)
class BlockBegun(Event):
    """The training of a block begins.

    Args:
        block: index k, from 1.
        config: the settings.
        potential: E V of the rows that it starts from, nats; ``None`` where nobody computed it.
        constant: what the NLL of block 0 adds to that, (d/2) log 2π + Σ log scale; of the first block only.
    """

    block: int
    config: Config
    potential: float | None = None
    constant: float | None = None


@dataclass(frozen=True)
class BlockResumed(Event):
    """The training of block k goes on where a checkpoint ends, after so many iterations."""

    block: int
    iteration: int


@dataclass(frozen=True)
class Advanced(Event):
    """So many iterations of block k are done; told after every one."""

    block: int
    iteration: int


@dataclass(frozen=True)
class Validated(Event):
    """A record of the training curve of block k."""

    block: int
    record: FitRecord


class Listener(Protocol):
    """Who follows a training. It is told often, so it must be quick; what it does not know, it ignores."""

    def tell(self, event: Event) -> None:
        """Take note of an event."""


class Listeners:
    """Several listeners as one, told in their order; without any, silence."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def tell(self, event: Event) -> None:
        """Tell all of them."""
        for listener in self.listeners:
            listener.tell(event)
