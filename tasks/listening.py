"""What the pipeline tells its listeners beside what the training of a block does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jko.certify.records import Certificate, Measured
from jko.training.listener import Event
from tasks.adapters.store.chain_store import ChainStore


@dataclass(frozen=True)
class Result:
    """What a flow run leads to.

    Args:
        metrics: headline figures, where the chain was evaluated.
        warning: what to mistrust in them.
        report: path of the page, where there is one.
        run_id: MLflow's id of the run, where there is one.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    warning: str = ""
    report: str = ""
    run_id: str | None = None


@dataclass(frozen=True)
class Said(Event):
    """A sentence for the user."""

    text: str


@dataclass(frozen=True)
class ChainBegun(Event):
    """The data are prepared and the blocks begin.

    Args:
        store: the chain.
        data_digest: of the prepared data.
        name: shown in Prefect and MLflow.
        tags: of the tracked run, beside those that every run has.
    """

    store: ChainStore
    data_digest: str
    name: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class BlockDone(Event):
    """A block is committed and measured.

    Args:
        store: the chain as it was planned.
        block: index k.
        figures: of the block.
        trained: whether it was trained now, and not earlier.
    """

    store: ChainStore
    block: int
    figures: Measured
    trained: bool


@dataclass(frozen=True)
class ChainDone(Event):
    """All blocks are committed; a stop rule may have left fewer than were planned."""

    store: ChainStore


@dataclass(frozen=True)
class Certified(Event):
    """The chain's certificate is there."""

    certificate: Certificate


@dataclass(frozen=True)
class Evaluated(Event):
    """The chain was evaluated: its headline figures, and the identity of the test rows."""

    metrics: Mapping[str, float]
    test_digest: str


@dataclass(frozen=True)
class Reported(Event):
    """The page of the chain is written."""

    store: ChainStore


@dataclass(frozen=True)
class Finished(Event):
    """All that was asked is done.

    Args:
        result: what came of it.
        whole: whether all blocks were asked for.
    """

    result: Result
    whole: bool


@dataclass(frozen=True)
class Failed(Event):
    """The run ends with an error or an interruption."""

    error: BaseException
