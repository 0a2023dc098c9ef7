"""The training of a chain: new block, its first weights, the fit, and the rows that it pushes to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from jko.build import new_block, torch_dtype
from jko.chain.chain import push_in_batches
from jko.chain.pushing import BATCH, as_stored, push_rows
from jko.config import Config
from jko.core.rows import Rows, at_most
from jko.core.seeds import generator
from jko.energies.scheme import Step
from jko.maps.invertible import InvertibleBlock
from jko.training.block_trainer import STANDARD, FitResult, fit_block
from jko.training.fit_state import Checkpoints, NoCheckpoints
from jko.training.listener import Advanced, BlockBegun, Event, Listener, Listeners, Validated

#: nobody follows the training
SILENCE = Listeners()


@dataclass(frozen=True)
class TrainedBlock(Event):
    """A block as it leaves the loop.

    Args:
        index: k, from 1.
        count: N, blocks that are planned.
        block: the block with its best weights.
        validation: held-out rows behind it, start coordinates, shape (rows, d + c).
        log_det: its log-determinant at the held-out rows before it, nats, shape (rows,).
        result: how the training went; ``None`` where the block was kept from before.
    """

    index: int
    count: int
    block: InvertibleBlock
    validation: Tensor
    log_det: Tensor
    result: FitResult | None = None

    def __str__(self) -> str:
        """One line for a log."""
        what = f"block {self.index}/{self.count}"
        if self.result is None:
            return f"{what}: kept from before"
        return f"{what}: objective {self.result.best.objective:.4f} nats on validation rows"


class Keeper(Protocol):
    """Where blocks are kept, so that a killed training goes on."""

    def kept(self, k: int, block: InvertibleBlock) -> bool:
        """Read the weights of block k into it, if they are there."""

    def checkpoints(self, k: int, block: InvertibleBlock) -> Checkpoints:
        """Where the states of block k in training are kept."""

    def keep(self, k: int, block: InvertibleBlock, result: FitResult) -> None:
        """Keep a trained block."""


class KeepsNothing:
    """A training that starts from nothing and leaves nothing but what it returns."""

    def kept(self, k: int, block: InvertibleBlock) -> bool:
        """None is there."""
        return False

    def checkpoints(self, k: int, block: InvertibleBlock) -> Checkpoints:
        """Nowhere."""
        return NoCheckpoints()

    def keep(self, k: int, block: InvertibleBlock, result: FitResult) -> None:
        """The caller has it."""


def first_block(
    config: Config, k: int, dim: int, *, context: int = 0, previous: InvertibleBlock | None = None
) -> InvertibleBlock:
    """Block k with the weights that its training starts from: those of the one before it, or the identity.

    Args:
        config: the settings.
        k: index of the block, 1..N.
        dim: dimension d of the state.
        context: columns c of the context.
        previous: block k − 1, taken where the settings say so.
    """
    block = new_block(config, k, dim, context=context)
    if previous is not None and config.starts_warm(k):
        block.load_state_dict(previous.state_dict())
    return block


def fit_next(
    config: Config,
    k: int,
    block: InvertibleBlock,
    train: Rows,
    validation: Tensor,
    *,
    step: Step = STANDARD,
    checkpoints: Checkpoints | None = None,
    listener: Listener = SILENCE,
) -> FitResult:
    """Train block k in place as the settings say (see :func:`jko.training.block_trainer.fit_block`)."""
    plan = config.training_of(k)
    return fit_block(
        block, train, at_most(validation, plan.validation_rows), plan, seed=config.seed, index=k,
        on_record=lambda record: listener.tell(Validated(k, record)),
        on_iteration=lambda iteration: listener.tell(Advanced(k, iteration)),
        checkpoints=checkpoints, step=step,
    )  # fmt: skip


def fit_chain(
    config: Config,
    train: Tensor,
    validation: Tensor,
    dim: int,
    *,
    keeper: Keeper | None = None,
    listener: Listener = SILENCE,
) -> Iterator[TrainedBlock]:
    """Train blocks 1..N of a chain to N(0, I), each on the rows that the one before it pushed.

    Rows between two blocks are rounded to float32, as the pipeline stores them, so both give equal bits.

    Args:
        config: the settings.
        train: rows in start coordinates, shape (rows, d + c).
        validation: held-out rows, on which the weights are chosen.
        dim: d.
        keeper: where blocks are kept; nowhere by default.
        listener: told how far the training is, and of every :class:`TrainedBlock` before it is given out.

    Raises:
        NumericalError: values stay non-finite in a block.
    """
    keeper, count = keeper or KeepsNothing(), len(config.step_sizes)
    device, dtype = config.runtime.device, torch_dtype(config)
    train, validation = train.to(device=device, dtype=dtype), validation.to(device=device, dtype=dtype)
    previous: InvertibleBlock | None = None
    for k in range(1, count + 1):
        block = first_block(config, k, dim, context=train.shape[1] - dim, previous=previous)
        result = None
        if not keeper.kept(k, block):
            listener.tell(BlockBegun(k, config))
            result = fit_next(
                config, k, block, train, validation, checkpoints=keeper.checkpoints(k, block),
                listener=listener,
            )  # fmt: skip
            keeper.keep(k, block, result)
        block = block.eval()
        pushed = push_in_batches(block, validation, BATCH, generator(config.seed, k, "push"))
        validation, previous = as_stored(pushed.x, k).to(dtype), block
        if k < count:
            parts = [push_rows(block, rows, k) for rows in train.split(BATCH)]
            train = torch.cat(parts).to(dtype)
        done = TrainedBlock(k, count, block, validation, pushed.log_det, result)
        listener.tell(done)
        yield done
