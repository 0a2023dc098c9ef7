"""Holes of rows, filled by draws from the law given the cells that each row has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from jko.columns.cells import Cells
from jko.conditional.checks import weight_size
from jko.conditional.held import Held, HeldColumn
from jko.conditional.kinds import Kinds
from jko.conditional.law import Law
from jko.conditional.markov import Conditional, States
from jko.conditional.proposal import Proposal
from jko.conditional.sampling import POOL
from jko.core.errors import InputError
from jko.core.records import Record
from jko.core.seeds import counter_seed
from jko.preparation.table import Array

#: rows at a time
PIECE = 256
#: proposals for each row at least, and for each of its draws
FEWEST, PER_DRAW = 128, 16
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
        accepted: share of Metropolis steps that were accepted.
        still: share of the draws that never left where they began.
    """

    rows: int
    with_holes: int
    holes: int
    draws: int
    weights: float | None = None
    accepted: float | None = None
    still: float | None = None

    def __str__(self) -> str:
        """One line."""
        parts = [f"{self.holes} holes in {self.with_holes} of {self.rows} rows filled by {self.draws} draws"]
        if self.accepted is not None and self.weights is not None and self.still is not None:
            parts += [
                f"proposals worth {100 * self.weights:.0f} % of their number",
                f"{100 * self.accepted:.0f} % of steps accepted",
                f"{100 * self.still:.2g} % of draws never moved",
            ]
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
        accepted: share of steps.
        still: share of draws that never moved.
    """

    y: Array
    log_density: Array
    log_density_se: Array
    size: Array
    proposals: int
    accepted: float
    still: float


def draw_missing(
    law: Law, kinds: Kinds, cells: Mapping[str, Cells], draws: int, *, seed: int, steps: int = STEPS
) -> Draws:
    """Draws of whole encoded rows given the cells that they have, each row by itself.

    A mixture proposes, weights choose among the proposals, and Metropolis steps move what was chosen
    (:mod:`jko.conditional.markov`). It is exact in the limit of many steps.

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
    pool = pool[np.isfinite(pool).all(1)]
    parts = [
        _piece(law, kinds, pool, _some(cells, slice(first, first + PIECE)), draws, seed=seed, steps=steps)
        for first in range(0, count, PIECE)
    ]
    sizes = [part.y.shape[1] for part in parts]
    return Draws(
        np.concatenate([part.y for part in parts], axis=1),
        np.concatenate([part.log_density for part in parts]),
        np.concatenate([part.log_density_se for part in parts]),
        np.concatenate([part.size for part in parts]),
        parts[0].proposals,
        float(np.average([part.accepted for part in parts], weights=sizes)),
        float(np.average([part.still for part in parts], weights=sizes)),
    )


def _some(cells: Mapping[str, Cells], part: slice) -> dict[str, Cells]:
    return {name: Cells(own.values[part], own.present[part]) for name, own in cells.items()}


def _piece(
    law: Law, kinds: Kinds, pool: Array, cells: Mapping[str, Cells], draws: int, *, seed: int, steps: int
) -> Draws:
    """Draws for some rows; their noise goes by the cells of the first, not by where it stands."""
    held = held_cells(kinds, cells, law.dim)
    rng = np.random.default_rng(counter_seed(seed, "impute", _key(cells)))
    patterns, which = np.unique(held.mask, axis=0, return_inverse=True)
    proposal = Proposal(pool, patterns, seed)
    conditional = Conditional(law, held, lambda y: np.ones(len(y), dtype=bool), proposal, which.ravel())
    rows, each = len(held.mask), max(FEWEST, PER_DRAW * draws)
    states, log_h = conditional.proposed(np.repeat(np.arange(rows), each), rng)
    log_weights = (states.score - log_h).reshape(rows, each)
    if not np.isfinite(log_weights).any(1).all():
        bad = int((~np.isfinite(log_weights).any(1)).sum())
        raise InputError(f"{bad} rows have cells so far out that the model has no density beside them")
    noise = rng.gumbel(size=(rows, draws, each))
    chosen = (log_weights[:, None, :] + noise).argmax(2) + each * np.arange(rows)[:, None]
    now = begun = states.of(chosen.ravel())
    moved = 0
    for _ in range(steps):
        now, accepted = conditional.step(now, rng)
        moved += int(accepted.sum())
    log_mean = logsumexp(log_weights, axis=1) - np.log(each)
    relative = np.exp(log_weights - log_mean[:, None]).std(axis=1, ddof=1) / each**0.5
    return Draws(
        now.y.reshape(rows, draws, -1).transpose(1, 0, 2), log_mean, relative,
        np.array([weight_size(own) for own in log_weights]), each,
        moved / max(len(now.rows) * steps, 1), float(_same(begun, now).mean()),
    )  # fmt: skip


def _same(one: States, other: States) -> Array:
    return np.asarray((one.y == other.y).all(1), dtype=float)


def _key(cells: Mapping[str, Cells]) -> str:
    first = [str(own.values[0]) if own.present[0] else "" for own in cells.values()]
    return f"{len(next(iter(cells.values())).present)}/{'/'.join(first)}"


def held_cells(kinds: Kinds, cells: Mapping[str, Cells], dim: int) -> Held:
    """The cells that there are, held.

    Args:
        kinds: of the columns.
        cells: of the rows, by column.
        dim: number of encoded columns.
    """
    columns = []
    for column in kinds.columns:
        own = cells[column.name]
        if column.width and own.present.any():
            columns.append(HeldColumn(column, kinds.places[column.name], own.values, own.present))
    rows = len(next(iter(cells.values())).present)
    return Held(columns, rows, dim)
