r"""Markov chains over the free columns of many rows at once, each with cells of its own.

The target is the law over the free columns' normal scores v_B and the noise u of held cells,

.. math:: \pi(u, v_B) \propto q\bigl(z(x, u), y_B(v_B)\bigr)\, e^{\log\det(x, u)}\,
    \Bigl|\frac{dy_B}{dv_B}\Bigr| \, 1[y \in C].

Four kinds of moves leave it as it is; each row takes one at random in every step, and all rows are scored by
one call of the density.

- *independent*: u and v_B anew, from uniform noise and the mixture of :mod:`jko.conditional.proposal`.
- *autoregressive*: :math:`v_B' = m + \sqrt{1 - \beta^2}\,(v_B - m) + \beta L\xi` with the mean and factor of
  a component of that mixture, which leaves its N(m, LLᵀ) as it is (preconditioned Crank–Nicolson: Cotter,
  Roberts, Stuart & White, Statist. Sci. 28 (2013) 424–446).
- *walk*: :math:`v_B' = v_B + s L\xi` (Roberts, Gelman & Gilks, Ann. Appl. Probab. 7 (1997) 110–120).
- *noise*: the noise of one held cell anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jko.columns.regions import Inside
from jko.conditional.held import Held
from jko.conditional.law import Law
from jko.conditional.proposal import Proposal
from jko.preparation.table import Array

Rows = NDArray[np.int64]
#: how often each kind of move is tried: independent, autoregressive, walk, noise
INDEPENDENT, AUTOREGRESSIVE, WALK, NOISE = range(4)
MOVES = np.array([0.25, 0.4, 0.2, 0.15])
#: sizes β of autoregressive moves, and factors of the best size of a walk in a Gaussian
BETAS, WALKS = np.array([0.9, 0.5, 0.2, 0.07]), np.array([1.0, 0.4, 0.1])
BEST_WALK = 2.38


@dataclass(frozen=True)
class States:
    """Where chains are.

    Args:
        rows: whose cells are held, one number for each chain, shape (n,).
        y: encoded rows, shape (n, d).
        v: their normal scores, shape (n, d).
        log_det: of held columns, shape (n, columns).
        score: log π up to a constant of the row's, nats, shape (n,); −inf outside of C.
    """

    rows: Rows
    y: Array
    v: Array
    log_det: Array
    score: Array

    def of(self, chosen: Rows) -> States:
        """Some of them."""
        return States(*(getattr(self, name)[chosen] for name in ("rows", "y", "v", "log_det", "score")))

    def joined(self, other: States) -> States:
        """These and others behind them."""
        return States(
            *(
                np.concatenate([getattr(self, name), getattr(other, name)])
                for name in ("rows", "y", "v", "log_det", "score")
            )
        )

    def moved(self, other: States, accepted: Inside) -> States:
        """These, or the other ones where they are accepted."""
        one, wide = accepted, accepted[:, None]
        return States(
            self.rows, np.where(wide, other.y, self.y), np.where(wide, other.v, self.v),
            np.where(wide, other.log_det, self.log_det), np.where(one, other.score, self.score),
        )  # fmt: skip


@dataclass(frozen=True)
class Conditional:
    """A law given cells of rows.

    Args:
        law: of all encoded columns.
        held: the cells.
        inside: which encoded rows lie in C.
        proposal: with the patterns of held columns.
        which: number of each row's pattern, shape (rows,).
    """

    law: Law
    held: Held
    inside: Callable[[Array], Inside]
    proposal: Proposal
    which: Rows

    def proposed(self, rows: Rows, rng: np.random.Generator) -> tuple[States, Array]:
        """Independent rows of the mixture, and log h of them in the coordinates of π, shape (n,)."""
        y, log_det = self.held.draw(rows, rng)
        v, log_h = self._anew(rows, y, rng)
        return self._scored(rows, y, v, log_det), log_h

    def at(self, y: Array, log_det: Array) -> States:
        """Given rows as states, with log_det of their held columns, shape (n, columns)."""
        rows = np.zeros(len(y), dtype=np.int64)
        v, log_slope = self.proposal.scores(y, self.held.mask[rows])
        score = np.where(self.inside(y), self.law.log_prob(y) + log_det.sum(1) - log_slope, -np.inf)
        return States(rows, y, v, log_det, score)

    def step(self, now: States, rng: np.random.Generator) -> tuple[States, Inside]:
        """One step of every chain.

        Returns:
            Where they are then, and which have moved.
        """
        move = rng.choice(len(MOVES), p=MOVES, size=len(now.rows))
        still = ~self.held.noisy[now.rows].any(1)
        move = np.where((move == NOISE) & still, AUTOREGRESSIVE, move)
        y, v, log_det = now.y.copy(), now.v.copy(), now.log_det.copy()
        back = np.zeros(len(move))  # log of how likely the way back is, less that of the way there
        for kind, make in (
            (INDEPENDENT, self._independent), (AUTOREGRESSIVE, self._autoregressive),
            (WALK, self._walk), (NOISE, self._noise),
        ):  # fmt: skip
            chosen = np.flatnonzero(move == kind)
            if len(chosen):
                y[chosen], v[chosen], log_det[chosen], back[chosen] = make(now.of(chosen), rng)
        new = self._scored(now.rows, y, v, log_det)
        with np.errstate(invalid="ignore"):
            accepted = np.log(rng.random(len(move))) < new.score - now.score + back
        return now.moved(new, accepted), accepted

    def _scored(self, rows: Rows, y: Array, v: Array, log_det: Array) -> States:
        """States of normal scores v, with the held columns of y."""
        mask = self.held.mask[rows]
        y = np.where(mask, y, self.proposal.rows(v))
        v, log_slope = self.proposal.scores(y, mask)
        there = np.flatnonzero(np.isfinite(y).all(1) & self.inside(y))
        score = np.full(len(y), -np.inf)
        score[there] = self.law.log_prob(y[there]) + log_det[there].sum(1) - log_slope[there]
        return States(rows, y, v, log_det, score)

    def _anew(self, rows: Rows, y: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Normal scores of held columns, with free ones of the mixture, and log h of them."""
        return self.proposal.draw(self.proposal.scores(y, self.held.mask[rows])[0], self.which[rows], rng)

    def _independent(self, now: States, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
        y, log_det = self.held.draw(now.rows, rng)
        v, log_h = self._anew(now.rows, y, rng)
        return y, v, log_det, self.proposal.log_density(now.v, self.which[now.rows]) - log_h

    def _autoregressive(self, now: States, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
        one = self.proposal.component(now.v, self.which[now.rows], rng)
        size = BETAS[rng.integers(len(BETAS), size=len(now.v))][:, None]
        away = now.v - one.mean
        noise = np.einsum("nij,nj->ni", one.factor, rng.standard_normal(now.v.shape))
        moved = np.sqrt(1 - size**2) * away + size * noise
        squares = [(np.einsum("nij,nj->ni", one.inverse, own) ** 2).sum(1) for own in (away, moved)]
        return now.y, one.mean + moved, now.log_det, 0.5 * (squares[1] - squares[0])

    def _walk(self, now: States, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
        one = self.proposal.component(now.v, self.which[now.rows], rng)
        free = np.maximum((~self.held.mask[now.rows]).sum(1), 1)
        size = WALKS[rng.integers(len(WALKS), size=len(now.v))] * BEST_WALK / np.sqrt(free)
        noise = np.einsum("nij,nj->ni", one.factor, rng.standard_normal(now.v.shape))
        return now.y, now.v + size[:, None] * noise, now.log_det, np.zeros(len(now.v))

    def _noise(self, now: States, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
        y, log_det = now.y.copy(), now.log_det.copy()
        noisy = self.held.noisy[now.rows]
        column = (noisy * rng.random(noisy.shape)).argmax(1)
        for at in range(noisy.shape[1]):
            chosen = np.flatnonzero(column == at)
            part, own = y[chosen], log_det[chosen]
            self.held.redraw(part, own, now.rows[chosen], at, rng)
            y[chosen], log_det[chosen] = part, own
        return y, now.v, log_det, np.zeros(len(y))
