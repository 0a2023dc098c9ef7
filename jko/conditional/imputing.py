"""Holes of rows, filled by draws from the law given the cells that each row has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from jko.columns.cells import Cells
from jko.columns.levels import Levels
from jko.columns.missing import Missing, Presence
from jko.columns.told import Known, OneOf, Told, can_be
from jko.conditional.checks import weight_size
from jko.conditional.held import Held, HeldColumn
from jko.conditional.kinds import Kinds
from jko.conditional.law import Law
from jko.conditional.markov import Conditional
from jko.conditional.proposal import Proposal
from jko.conditional.sampling import POOL
from jko.core.errors import InputError
from jko.core.records import Record
from jko.core.seeds import counter_seed
from jko.preparation.table import Array

#: rows at a time
PIECE = 256
#: proposals for each row at least, and for each of its draws
FEWEST, PER_DRAW = 100, 16
#: weights are good that are worth so many rows, and so many for each draw
GOOD, GOOD_PER_DRAW = 40, 5
#: steps of the Markov chains if nothing else is said
STEPS = 50


class Filled(Record):
    """How holes were filled, and what the draws are worth.

    Args:
        rows: of the table.
        with_holes: rows that have an empty cell.
        holes: empty cells.
        draws: of each.
        weights: share of the proposals that a row's weights are worth, the median of rows with holes.
        moved: draws that Markov chains moved, where the weights of the proposals are no good.
        accepted: share of their steps that were accepted.
        still: how many of them never left where they began.
    """

    rows: int
    with_holes: int
    holes: int
    draws: int
    weights: float | None = None
    moved: int = 0
    accepted: float | None = None
    still: int = 0

    def __str__(self) -> str:
        """One line."""
        draws = "1 draw" if self.draws == 1 else f"{self.draws} draws"
        parts = [f"{self.holes} holes in {self.with_holes} of {self.rows} rows filled by {draws}"]
        if self.weights is not None:
            parts.append(f"proposals worth {100 * self.weights:.0f} % of their number")
        if self.accepted is not None:
            parts.append(
                f"{self.moved} draws moved by markov chains ({100 * self.accepted:.0f} % of steps accepted, "
                f"{self.still} never moved)"
            )
        return ", ".join(parts)


@dataclass(frozen=True)
class Draws:
    """Draws for rows with holes.

    Args:
        y: encoded rows, shape (draws, rows, d).
        log_density: of the cells that each row has, nats, shape (rows,), an estimate of the encoded
            numbers' density with the noise of cells averaged.
        log_density_se: its standard error, shape (rows,).
        size: effective number of proposals of each row, shape (rows,).
        proposals: how many there were.
        chains: how many draws were moved by Markov chains, where the weights of their row are no good.
        accepted: steps of them that were accepted.
        still: how many of them never moved.
    """

    y: Array
    log_density: Array
    log_density_se: Array
    size: Array
    proposals: int
    chains: int
    accepted: int
    still: int


def draw_missing(
    law: Law, kinds: Kinds, cells: Mapping[str, Cells], draws: int, *, seed: int, steps: int = STEPS
) -> Draws:
    """Draws of whole encoded rows given the cells that they have, each row by itself.

    A mixture proposes, and weights choose among the proposals. Where the weights of a row are no good,
    Metropolis steps move what was chosen (:mod:`jko.conditional.markov`).

    Args:
        law: of the encoded columns.
        kinds: of the columns.
        cells: of the rows, by column.
        draws: of each row.
        seed: of the draws.
        steps: of the Markov chains.

    Raises:
        InputError: a cell does not fit its column's kind.
    """
    count = len(next(iter(cells.values())).present)
    pool = law.sample(POOL, counter_seed(seed, "impute", "pool"))
    mixture = Proposal(pool[np.isfinite(pool).all(1)], seed)
    parts = [
        _piece(law, kinds, mixture, _some(cells, slice(first, first + PIECE)), draws, seed=seed, steps=steps)
        for first in range(0, count, PIECE)
    ]
    return Draws(
        np.concatenate([part.y for part in parts], axis=1),
        np.concatenate([part.log_density for part in parts]),
        np.concatenate([part.log_density_se for part in parts]),
        np.concatenate([part.size for part in parts]),
        parts[0].proposals,
        *(sum(getattr(part, name) for part in parts) for name in ("chains", "accepted", "still")),
    )


def _some(cells: Mapping[str, Cells], part: slice) -> dict[str, Cells]:
    return {name: Cells(own.values[part], own.present[part]) for name, own in cells.items()}


def _piece(
    law: Law,
    kinds: Kinds,
    mixture: Proposal,
    cells: Mapping[str, Cells],
    draws: int,
    *,
    seed: int,
    steps: int,
) -> Draws:
    """Draws for some rows; their noise goes by the cells of the first, not by where it stands."""
    held = held_cells(kinds, cells, law.dim)
    rng = np.random.default_rng(counter_seed(seed, "impute", _key(cells)))
    patterns, which = np.unique(held.mask, axis=0, return_inverse=True)
    conditional = Conditional(
        law, held, lambda y: np.ones(len(y), dtype=bool), mixture.given(patterns), which.ravel()
    )
    rows, each = len(held.mask), max(FEWEST, PER_DRAW * draws)
    states, log_h = conditional.proposed(np.repeat(np.arange(rows), each), rng)
    log_weights = (states.score - log_h).reshape(rows, each)
    if not np.isfinite(log_weights).any(1).all():
        bad = int((~np.isfinite(log_weights).any(1)).sum())
        raise InputError(f"{bad} rows have cells so far out that the model has no density beside them")
    noise = rng.gumbel(size=(rows, draws, each))
    chosen = (log_weights[:, None, :] + noise).argmax(2) + each * np.arange(rows)[:, None]
    now = states.of(chosen.ravel())
    sizes = np.array([weight_size(own) for own in log_weights])
    poor = np.flatnonzero(np.repeat(sizes < max(GOOD, GOOD_PER_DRAW * draws), draws))
    y, moved, still = now.y.copy(), 0, 0
    if len(poor):
        begun = ended = now.of(poor)
        for _ in range(steps):
            ended, accepted = conditional.step(ended, rng)
            moved += int(accepted.sum())
        y[poor], still = ended.y, int((begun.y == ended.y).all(1).sum())
    log_mean = logsumexp(log_weights, axis=1) - np.log(each)
    relative = np.exp(log_weights - log_mean[:, None]).std(axis=1, ddof=1) / each**0.5
    return Draws(
        y.reshape(rows, draws, -1).transpose(1, 0, 2), log_mean, relative, sizes, each,
        chains=len(poor), accepted=moved, still=still,
    )  # fmt: skip


def _key(cells: Mapping[str, Cells]) -> str:
    first = [str(own.values[0]) if own.present[0] else "" for own in cells.values()]
    return f"{len(next(iter(cells.values())).present)}/{'/'.join(first)}"


def held_cells(kinds: Kinds, cells: Mapping[str, Cells], dim: int) -> Held:
    """The cells that there are, held; and that there is a cell, where holes are part of the law.

    Args:
        kinds: of the columns.
        cells: of the rows, by column.
        dim: number of encoded columns.
    """
    columns = []
    for column in kinds.columns:
        own, place = cells[column.name], kinds.places[column.name]
        if isinstance(column, Missing) and not own.present.all():
            first = slice(place.start, place.start + 1)
            columns.append(HeldColumn(column.name, Presence(column.share), first, own.values, ~own.present))
        if column.width and own.present.any():
            columns.append(HeldColumn(column.name, column, place, own.values, own.present))
        if isinstance(column, Levels) and (told := _told_by(column, kinds, cells)):
            some = ~own.present & np.any([one.present for one in told], axis=0)
            levels = can_be(column, told, len(some))
            columns.append(HeldColumn(column.name, OneOf(column), place, levels, some))
    rows = len(next(iter(cells.values())).present)
    return Held(columns, rows, dim)


def _told_by(column: Levels, kinds: Kinds, cells: Mapping[str, Cells]) -> list[Known]:
    """The columns that levels tell, with their cells."""
    told = [one for one in kinds.columns if isinstance(one, Told) and one.by == column.name]
    return [Known(one, cells[one.name].values, cells[one.name].present) for one in told]
