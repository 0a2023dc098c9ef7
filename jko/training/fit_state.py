"""What a fit keeps to go on after any of its iterations, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Protocol

import torch
from torch import Tensor

from jko.config.sections import Training
from jko.maps.invertible import InvertibleBlock
from jko.training.fit_numbers import PHASES, FitNumbers, Phase

#: what AdamW keeps of every parameter
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class FitRecord:
    """One line of a training curve.

    Args:
        phase: ``flow_matching`` or ``jko``.
        iteration: 1-based, counted over both phases.
        loss: the phase's own loss on the batch (mean squared velocity error, or the objective).
        potential, log_det, transport, objective: the JKO objective on validation rows, nats.
        learning_rate: of this iteration.
    """

    phase: Phase
    iteration: int
    loss: float
    potential: float
    log_det: float
    transport: float
    objective: float
    learning_rate: float


def best_of(curve: Iterable[FitRecord]) -> FitRecord | None:
    """The record of the smallest objective, the first of equal ones."""
    return min(curve, key=lambda record: record.objective, default=None)


@dataclass(frozen=True)
class FitState:
    """A fit after one of its iterations: all that the iterations to come depend on.

    Random numbers need no state, since every draw is named by (seed, block, phase, step). The best
    record needs none either: it is the best of the curve (:func:`best_of`).

    Args:
        phase: the phase of that iteration.
        step: iterations done in that phase, at least 1.
        iteration: iterations done over both phases.
        rollbacks: how often a non-finite value forced a return to the best weights.
        curve: the records so far.
        weights: the block's weights and buffers by name.
        best_weights: those of the best record.
        moments: what the optimiser keeps, by ``<parameter>/<name>``, name in :data:`MOMENTS`; none
            right after a return to the best weights.
    """

    phase: Phase
    step: int
    iteration: int
    rollbacks: int
    curve: tuple[FitRecord, ...]
    weights: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]

    def record(self) -> FitNumbers:
        """The numbers; see :meth:`tensors` for the rest."""
        return FitNumbers(
            phase=self.phase, step=self.step, iteration=self.iteration, rollbacks=self.rollbacks
        )

    def tensors(self) -> dict[str, Tensor]:
        """Weights, moments and curve as tensors by name, for a store without pickle."""
        lines = [(PHASES.index(line.phase), *astuple(line)[1:]) for line in self.curve]
        groups = {"weights": self.weights, "best": self.best_weights, "moments": self.moments}
        named = {
            f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()
        }
        return {**named, "curve": torch.tensor(lines, dtype=torch.float64).reshape(len(lines), -1)}

    @classmethod
    def of(cls, record: FitNumbers, tensors: Mapping[str, Tensor]) -> FitState:
        """The state that :meth:`record` and :meth:`tensors` came from.

        Raises:
            ValueError: they are of something else.
        """
        groups: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "moments": {}}
        try:
            for name, value in tensors.items():
                if name != "curve":
                    group, own = name.split("/", 1)
                    groups[group][own] = value
            curve = tuple(
                FitRecord(PHASES[int(phase)], int(iteration), *values)
                for phase, iteration, *values in tensors["curve"].tolist()
            )
            return cls(
                phase=record.phase, step=record.step, iteration=record.iteration, rollbacks=record.rollbacks,
                curve=curve,
                weights=groups["weights"], best_weights=groups["best"], moments=groups["moments"],
            )  # fmt: skip
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"no state of a fit: {error!r}") from None

    def fits(self, block: InvertibleBlock, settings: Training) -> bool:
        """Whether this can be a state of training this block under these settings."""
        before = 0 if self.phase == "flow_matching" else settings.flow_matching_iterations
        counts = {"flow_matching": settings.flow_matching_iterations, "jko": settings.iterations}
        if not (0 < self.step <= counts.get(self.phase, 0) and self.iteration == before + self.step):
            return False
        expected = _kinds(block.state_dict())
        if _kinds(self.weights) != expected or _kinds(self.best_weights) != expected:
            return False
        left = _kinds(self.moments)
        for name, parameter in block.named_parameters():
            own = {key: kind for key in MOMENTS if (kind := left.pop(f"{name}/{key}", None))}
            kind = (parameter.shape, parameter.dtype)
            if own and own != {"step": (torch.Size(()), torch.float32), "exp_avg": kind, "exp_avg_sq": kind}:
                return False
        return not left


class Checkpoints(Protocol):
    """Where the states of one fit are kept; when and how is its own business."""

    def load(self) -> FitState | None:
        """The state to go on from, or ``None`` to begin; asked once, before the first iteration."""

    def due(self) -> bool:
        """Whether to keep a state now; asked after every iteration."""

    def save(self, state: FitState) -> None:
        """Keep a state in place of the one before it."""


class NoCheckpoints:
    """Keeps nothing."""

    def load(self) -> FitState | None:
        """Nothing."""
        return None

    def due(self) -> bool:
        """Never."""
        return False

    def save(self, state: FitState) -> None:
        """Nothing is kept."""


def copied(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the host, which further training does not change."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in values.items()}


def moments_of(block: InvertibleBlock, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Copies of what an AdamW keeps of the block's parameters."""
    return copied(
        {
            f"{name}/{key}": value
            for name, parameter in block.named_parameters()
            for key, value in optimiser.state.get(parameter, {}).items()
        }
    )


def restore_moments(
    block: InvertibleBlock, optimiser: torch.optim.Optimizer, moments: Mapping[str, Tensor]
) -> None:
    """Give an AdamW of the block's parameters, made anew, what :func:`moments_of` copied."""
    own = {
        index: {key: moments[f"{name}/{key}"].clone() for key in MOMENTS}
        for index, (name, _) in enumerate(block.named_parameters())
        if f"{name}/step" in moments
    }
    optimiser.load_state_dict({"state": own, "param_groups": optimiser.state_dict()["param_groups"]})


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in tensors.items()}
