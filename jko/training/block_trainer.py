"""Training of one block: warm start, flow-matching start, then the JKO objective."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.config.sections import Training
from jko.core.context import with_context
from jko.core.errors import InputError, NumericalError
from jko.core.rows import Rows
from jko.core.seeds import generator
from jko.energies.objective import JkoTerms
from jko.energies.scheme import Step
from jko.maps.invertible import InvertibleBlock
from jko.training.fit_state import (
    Checkpoints,
    FitRecord,
    FitState,
    NoCheckpoints,
    Phase,
    best_of,
    copied,
    moments_of,
    restore_moments,
)

MAX_ROLLBACKS = 3
#: the JKO step of KL to N(0, I)
STANDARD = Step()


@dataclass(frozen=True)
class FitResult:
    """Outcome of training one block.

    Args:
        curve: one record per validation.
        best: the record whose weights the block holds.
        rollbacks: how often a non-finite value forced a return to the best weights.
    """

    curve: tuple[FitRecord, ...]
    best: FitRecord
    rollbacks: int


def flow_matching_loss(
    block: InvertibleBlock, x: Tensor, draw: torch.Generator, *, step: Step = STANDARD
) -> Tensor:
    r"""Mean squared error of the velocity between x and its noised copy.

    .. math:: E\,|v((1-s) x + s y,\, s) - (y - x)|^2 / d, \quad s \sim U(0, 1)

    Args:
        block: its field is regressed, its step size sets the time of the noising.
        x: samples, shape (batch, d + c); a context is that of the copy, too, and no part of the error.
        draw: source of s and the noise.
        step: what noises; the Ornstein–Uhlenbeck process by default.

    Raises:
        InputError: the block has no velocity field.

    Source: flow matching with a small OU step, as in Local Flow Matching (arXiv:2410.02548);
    here with one stratified time per row and an average over dimensions.
    """
    if block.velocity is None:
        raise InputError("flow matching regresses a velocity field, and this kind of block has none")
    y = with_context(step.pair(block.state_of(x), block.step_size, draw), x)
    offset = torch.rand((), generator=draw, dtype=x.dtype)
    s = ((torch.arange(len(x), dtype=x.dtype) / len(x) + offset) % 1).to(x.device)
    position = x + s[:, None] * (y - x)
    return (block.state_of(block.velocity(position, s) - (y - x)) ** 2).mean()


def fit_block(
    block: InvertibleBlock,
    train: Rows,
    validation: Tensor,
    settings: Training,
    *,
    seed: int,
    index: int,
    on_record: Callable[[FitRecord], None] | None = None,
    on_iteration: Callable[[int], None] | None = None,
    checkpoints: Checkpoints | None = None,
    step: Step = STANDARD,
) -> FitResult:
    r"""Train a block in place and leave it with its best validated weights.

    The weights kept are those with the smallest JKO objective on the validation rows, among the
    start, the identity and every ``validate_every`` iterations. Since :math:`L(Id) = E V(x)`,
    the kept map satisfies

    .. math:: E[V(Tx) - \log|\det \nabla T(x)|] \le E V(x) - E|Tx - x|^2 / (2\gamma)

    there: the validation NLL never rises from one block to the next.

    A block without velocity field is trained by the JKO objective alone; its flow-matching iterations are
    set aside and count nowhere.

    A fit that goes on from a kept state ends with the bits of one that was never interrupted.

    Args:
        block: the block, holding its starting weights (any, where it goes on from a kept state).
        train: samples of p_{k-1}, shape (rows, d).
        validation: held-out samples of p_{k-1}, shape (rows, d).
        settings: iterations, rates, batch size.
        seed: the run's seed.
        index: block index k, for seeds and errors.
        on_record: called with every record of the curve that is made here, not with kept ones.
        on_iteration: called with the number of iterations done, after each.
        checkpoints: where states are kept, and the one to go on from; nowhere by default.
        step: the functional and the scheme; the JKO step of KL to N(0, I) by default. The bound above is that
            step's; of another the kept map has the smallest of its own objective.

    Raises:
        NumericalError: values stay non-finite after repeated roll-backs.
    """
    if block.velocity is None:
        settings = settings.model_copy(update={"flow_matching_iterations": 0})
    run = _Run(block, train, validation, settings, seed=seed, index=index)
    run.on_record, run.on_iteration = on_record or run.on_record, on_iteration or run.on_iteration
    run.checkpoints, run.step = checkpoints or run.checkpoints, step
    run.begin()
    run.phase("flow_matching", settings.flow_matching_iterations, settings.flow_matching_learning_rate)
    run.phase("jko", settings.iterations, settings.learning_rate)
    return run.finish()


class _Run:
    """State of one fit: the best weights so far, the curve, the roll-backs."""

    def __init__(
        self,
        block: InvertibleBlock,
        train: Rows,
        validation: Tensor,
        settings: Training,
        *,
        seed: int,
        index: int,
    ) -> None:
        self.block, self.train, self.validation = block, train, validation
        #: the same weights, solved as the iterations of the JKO objective solve them
        self.trained = block.with_steps(settings.solver_steps)
        self.settings, self.seed, self.index = settings, seed, index
        self.on_record: Callable[[FitRecord], None] = lambda record: None
        self.on_iteration: Callable[[int], None] = lambda iteration: None
        self.checkpoints: Checkpoints = NoCheckpoints()
        self.step = STANDARD
        self.kept: FitState | None = None
        self.curve: list[FitRecord] = []
        self.best: FitRecord | None = None
        self.best_state: Mapping[str, Tensor] = copy.deepcopy(block.state_dict())
        self.rollbacks = 0
        self.done = 0

    def begin(self) -> None:
        """Go on from the state that was kept, or validate the start and the identity."""
        self.kept = self.checkpoints.load()
        if self.kept is not None:
            self.curve, self.best = list(self.kept.curve), best_of(self.kept.curve)
            self.best_state, self.rollbacks = self.kept.best_weights, self.kept.rollbacks
            return
        self.validate("flow_matching", 0, loss=math.nan, rate=0.0)
        self.block.reset_output()  # the identity, hidden layers kept
        self.validate("flow_matching", 0, loss=math.nan, rate=0.0)

    def phase(self, name: Phase, iterations: int, rate: float) -> None:
        """Run one phase, from the best weights so far or from the state that was kept in it."""
        if iterations and (self.kept is None or self.kept.phase == name):
            first, optimiser = self._enter(rate)
            for step in range(first, iterations):
                self._set_rate(optimiser, rate * _decay(step, iterations) * 0.5**self.rollbacks)
                loss = self._iterate(name, optimiser, step)
                self.on_iteration(self.done + step + 1)
                if not math.isfinite(loss):
                    optimiser = self._roll_back(rate, step, loss)
                elif step + 1 == iterations or (step + 1) % self.settings.validate_every == 0:
                    self.validate(name, self.done + step + 1, loss, optimiser.param_groups[0]["lr"])
                if self.checkpoints.due():
                    self.checkpoints.save(self._state(name, step + 1, optimiser))
        self.done += iterations

    def _enter(self, rate: float) -> tuple[int, torch.optim.Optimizer]:
        """The first step to do in a phase and its optimiser; the block's weights are set."""
        state, self.kept = self.kept, None
        optimiser = self._optimiser(rate)
        if state is None:
            self.block.load_state_dict(self.best_state)
            return 0, optimiser
        self.block.load_state_dict(state.weights)
        restore_moments(self.block, optimiser, state.moments)
        return state.step, optimiser

    def _state(self, phase: Phase, step: int, optimiser: torch.optim.Optimizer) -> FitState:
        return FitState(
            phase, step, self.done + step, self.rollbacks, tuple(self.curve),
            weights=copied(self.block.state_dict()), best_weights=copied(self.best_state),
            moments=moments_of(self.block, optimiser),
        )  # fmt: skip

    def _iterate(self, name: Phase, optimiser: torch.optim.Optimizer, step: int) -> float:
        draw = generator(self.seed, self.index, name, step)
        rows = torch.randint(len(self.train), (self.settings.batch_size,), generator=draw)
        batch = self.train[rows.to(self.train.device)]
        if self.settings.jitter:
            state = self.block.state_of(batch)
            noise = torch.randn(state.shape, generator=draw, dtype=batch.dtype).to(batch.device)
            batch = with_context(state + self.settings.jitter * noise, batch)
        if name == "flow_matching":
            loss = flow_matching_loss(self.block, batch, draw, step=self.step)
        else:
            loss = self.step.objective(self.trained, batch, draw).total
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.block.parameters(), self.settings.clip)
        if not torch.isfinite(norm):
            return math.nan
        optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def validate(self, phase: Phase, iteration: int, loss: float, rate: float) -> None:
        """Measure the objective on validation rows; remember the weights if they are the best."""
        terms = _mean_terms(
            (
                len(rows),
                self.step.objective(self.block, rows, generator(self.seed, self.index, "validation", i)),
            )
            for i, rows in enumerate(self.validation.split(8192))
        )
        record = FitRecord(phase, iteration, loss, *terms, learning_rate=rate)
        if not math.isfinite(record.objective):
            return
        self.curve.append(record)
        self.on_record(record)
        if self.best is None or record.objective < self.best.objective:
            self.best, self.best_state = record, copy.deepcopy(self.block.state_dict())

    def finish(self) -> FitResult:
        """Load the best weights."""
        if self.best is None:
            raise self._error("the objective was never finite", None, math.nan)
        self.block.load_state_dict(self.best_state)
        return FitResult(tuple(self.curve), self.best, self.rollbacks)

    def _roll_back(self, rate: float, step: int, value: float) -> torch.optim.Optimizer:
        self.rollbacks += 1
        if self.rollbacks > MAX_ROLLBACKS:
            raise self._error(f"the loss was not finite {self.rollbacks} times", step, value)
        self.block.load_state_dict(self.best_state)
        return self._optimiser(rate)

    def _error(self, what: str, step: int | None, value: float) -> NumericalError:
        return NumericalError(
            what,
            block=self.index,
            step=step,
            value=value,
            remedy="lower training.learning_rate or the step size, or look for outliers in the data",
        )

    def _optimiser(self, rate: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.block.parameters(),
            lr=rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )

    @staticmethod
    def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
        for group in optimiser.param_groups:
            group["lr"] = rate


def _decay(step: int, iterations: int) -> float:
    """Cosine from 1 to 0.02 over a phase."""
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / iterations))


def _mean_terms(batches: Iterable[tuple[int, JkoTerms]]) -> tuple[float, float, float, float]:
    """Means over all rows of potential, log_det, transport, total, from batches with their sizes."""
    sums, count = [0.0] * 4, 0
    for rows, terms in batches:
        values = (terms.potential, terms.log_det, terms.transport, terms.total)
        sums = [total + rows * float(value) for total, value in zip(sums, values, strict=True)]
        count += rows
    potential, log_det, transport, objective = (total / count for total in sums)
    return potential, log_det, transport, objective
