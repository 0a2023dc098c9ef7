"""Rows that a model was not shown, made of rows that it was: what a look at test rows alone does not reveal.

A model that fits its training rows and explodes beside them scores held-out rows well, until the first fresh
row that comes a little differently. Rows made of the training rows probe that neighbourhood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from jko.core.rows import at_most
from jko.core.seeds import counter_seed

Array = NDArray[np.float64]
#: kinds of rows, and how many of each there are at most
MOST = {"shuffled": 400, "mixed": 300, "edge": 300}
#: training rows that they are made of, at most
SAMPLE = 5000
#: strata, fewest rows of each, and neighbours that a row is mixed with
STRATA, FEWEST, NEIGHBOURS = 10, 20, 5
#: quantiles of the training rows at which edge rows have one of their columns
EDGES = (0.0, 0.01, 0.99, 1.0)


@dataclass(frozen=True)
class FreshRows:
    """Rows made of training rows.

    Args:
        rows: shape (n, d + c), data units.
        kinds: of each row, a key of :data:`MOST`.
        columns: number of the column that an edge row has at its edge, −1 for the others, shape (n,).
    """

    rows: Array
    kinds: Sequence[str]
    columns: NDArray[np.int64]


def fresh_rows(train: Array, grid: Sequence[float], *, seed: int) -> FreshRows:
    """Shuffled, mixed and edge rows; each keeps the context of the row that it is made of.

    Gridded columns stay on their grid with the noise that they have.

    Args:
        train: training rows, shape (rows, d + c), data units, gridded columns with their noise.
        grid: grid step of each of the d columns of the state, 0 where none, data units.
        seed: of all draws.
    """
    rows, steps = at_most(train, SAMPLE), np.asarray(grid, dtype=float)
    draws = {kind: np.random.default_rng(counter_seed(seed, "fresh", kind)) for kind in MOST}
    parts = {
        "shuffled": (shuffled(rows, len(steps), draws["shuffled"]), None),
        "mixed": (mixed(rows, steps, draws["mixed"]), None),
        "edge": edges(rows, len(steps), draws["edge"]),
    }
    columns = [np.full(len(made), -1) if own is None else own for made, own in parts.values()]
    kinds = [kind for kind, (made, _) in parts.items() for _ in range(len(made))]
    return FreshRows(np.concatenate([made for made, _ in parts.values()]), kinds, np.concatenate(columns))


def shuffled(rows: Array, dim: int, draw: np.random.Generator) -> Array:
    """Rows whose columns come from different rows of one stratum, by the first principal component.

    Each column is in the range that it has there, and their combination need never have been seen.

    Args:
        rows: shape (rows, d + c).
        dim: d.
        draw: source of the order.
    """
    made = rows.copy()
    for own in strata(rows[:, :dim]):
        for column in range(dim):
            made[own, column] = rows[draw.permutation(own), column]
    return made[np.sort(draw.permutation(len(made))[: MOST["shuffled"]])]


def strata(rows: Array) -> list[NDArray[np.int64]]:
    """Numbers of rows in groups of like size along the first principal component of the scaled columns."""
    scaled = _scaled(rows)
    # of the covariance: it has d² entries, however many the rows
    along = scaled @ np.linalg.eigh(np.atleast_2d(scaled.T @ scaled))[1][:, -1]
    count = max(1, min(STRATA, len(rows) // FEWEST))
    return [np.sort(own) for own in np.array_split(np.argsort(along, kind="stable"), count)]


def mixed(rows: Array, grid: Array, draw: np.random.Generator) -> Array:
    """Points between a row and one of its nearest neighbours; in gridded columns the nearest grid point.

    Args:
        rows: shape (rows, d + c).
        grid: grid steps, shape (d,).
        draw: source of the pairs and of the places between them.
    """
    state = rows[:, : len(grid)]
    chosen = draw.permutation(len(rows))[: MOST["mixed"]]
    near = min(NEIGHBOURS, len(rows) - 1)
    others = KDTree(_scaled(state)).query(_scaled(state)[chosen], k=near + 1)[1][:, 1:]
    other = others[np.arange(len(chosen)), draw.integers(near, size=len(chosen))]
    part = draw.random(len(chosen))[:, None] * (state[other] - state[chosen])
    steps = np.where(grid > 0, grid, 1.0)
    made = rows[chosen].copy()
    # whole steps from a row: on the grid, with the noise of that row
    made[:, : len(grid)] += np.where(grid > 0, np.rint(part / steps) * steps, part)
    return made


def edges(rows: Array, dim: int, draw: np.random.Generator) -> tuple[Array, NDArray[np.int64]]:
    """Real rows with one column at an extreme quantile of it, a value that some row has.

    Args:
        rows: shape (rows, d + c).
        dim: d.
        draw: source of the rows, and of the columns where there are many.

    Returns:
        The rows, and the column that each has at its edge.
    """
    ends = np.quantile(rows[:, :dim], EDGES, axis=0, method="nearest")
    each = max(1, len(rows) // 2) if rows.shape[1] > 1 else 1  # a column alone has no other rows at its edges
    places = np.resize(draw.permutation(len(ends) * dim), min(MOST["edge"], len(ends) * dim * each))
    side, column = np.divmod(places, dim)
    made = rows[draw.integers(len(rows), size=len(places))]
    made[np.arange(len(places)), column] = ends[side, column]
    return made, column


def _scaled(rows: Array) -> Array:
    """Columns with mean 0 and standard deviation 1, constant ones 0."""
    spread = rows.std(axis=0)
    return (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
