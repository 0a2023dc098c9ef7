"""Rows of a set as a method gets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.presets import group_of
from jko.laws.densities import Array
from jko.laws.score import Score
from jko.maps.start_map import StartMap


@dataclass(frozen=True)
class Problem:
    """Rows to fit a density to, and to judge it by.

    Args:
        name: of the set.
        kind: ``plane``, ``picture`` or ``table``.
        train: shape (rows, d), float32, in the coordinates in which a method works (standardised, or after a
            start map), as the next two; rows of the set first, then smoothed copies of them, where the
            project's own preset wants copies, each with dequantisation noise of its own.
        validation: rows for choosing weights and settings.
        test: rows for the figures; no method may look at them.
        shift: subtracted from the data, data units, shape (d,).
        scale: divided by, data units, shape (d,).
        log_density: log p of the test rows, nats, data units, where the law is known.
        score: ∇log p in standardised units, where it is known and smooth.
        notes: how the rows were prepared, as sentences.
        grid: step of the columns that were dequantised by uniform noise of one step, 0 where none, data
            units, shape (d,); ``None`` where no column was.
        own: how many of the training rows are rows of the set; all by default.
        start: the map from standardised units to a method's coordinates; ``None`` for the identity.
        log_dets: log|det| of the whole map from data units at the rows of ``validation`` and ``test``, nats,
            where there is one.
        fresh: new rows of the same law as they would stand in a file, data units, where they can be drawn.
        choice_s: CPU seconds that choosing start and copies took; our chain pays for them.
    """

    name: str
    kind: str
    train: Tensor
    validation: Tensor
    test: Tensor
    shift: Array
    scale: Array
    log_density: Array | None = None
    score: Score | None = None
    notes: tuple[str, ...] = ()
    grid: Array | None = None
    own: int | None = None
    start: StartMap | None = None
    log_dets: Mapping[str, Tensor] | None = None
    fresh: Array | None = None
    choice_s: float = 0.0

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.train.shape[1]

    @property
    def own_rows(self) -> Tensor:
        """The training rows without copies."""
        return self.train[: self.own]

    @property
    def group(self) -> str:
        """The group of sets whose settings it gets."""
        return group_of(self.kind, len(self.own_rows))

    @property
    def constant(self) -> float:
        """Nats to add to an NLL in standardised units to get it in data units."""
        return float(np.log(self.scale).sum())

    @property
    def measure(self) -> str:
        """The figure: ``gap`` to the known density, or NLL in data units, on test or on ``fresh`` rows."""
        if self.fresh is not None:
            return "fresh"
        return "nll" if self.log_density is None else "gap"

    def log_det(self, part: str) -> Tensor:
        """Log|det| of the map from data units, nats, at the rows of ``validation`` or ``test``."""
        if self.log_dets is not None:
            return self.log_dets[part]
        rows = len(self.validation if part == "validation" else self.test)
        return torch.full((rows,), -self.constant, dtype=torch.float64)

    def mapped(self, rows: Array) -> tuple[Tensor, Tensor]:
        """Rows in data units as a method sees them, float32, and log|det| of the map, nats."""
        standard = torch.from_numpy((rows - self.shift) / self.scale)
        log_det = torch.full((len(rows),), -self.constant, dtype=torch.float64)
        if self.start is None:
            return standard.float(), log_det
        moved, more = self.start(standard)
        return moved.float(), log_det + more
