"""Rows of a law that fulfil conditions: by rejection, by weights, by Markov chains.

Conditions of positive mass are fulfilled by rejection: independent rows of the law, of which those are kept
that fulfil them. That is exact.

A single real number has mass zero. Then the held columns stand still, and the others have the density
q(x_A, x_B) up to a constant. A mixture proposes them; where its weights are good, rows are drawn by weight,
and where not, these begin Markov chains. Both are exact in the limit, of many proposals and of many steps.
So are conditions of a small mass fulfilled, for which a bound on the tries leaves too few samples: intervals
are held, and the place in them is noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from jko.conditional.asked import Asked, Bounds
from jko.conditional.boxes import Box, Tail, tail_of
from jko.conditional.checks import resampled, tempered, weight_size
from jko.conditional.found import Worth
from jko.conditional.held import Held, HeldColumn
from jko.conditional.law import Law
from jko.conditional.markov import Conditional
from jko.conditional.moving import CHAINS, chains_for, moved
from jko.conditional.proposal import Proposal
from jko.core.errors import InputError
from jko.core.seeds import counter_seed
from jko.preparation.table import Array

#: rows of the law that a mixture is fitted to
POOL = 10_000
#: proposals at least and at most, and for each row that is wanted
FEWEST, MOST, PER_ROW = 2000, 50_000, 20
#: weights are good where they are worth so many rows for each that is wanted
GOOD = 5
#: half-lines are held where fewer of the proposals lie in them
RARE = 0.2


def draw_given(law: Law, asked: Asked, rows: int, *, seed: int, bounds: Bounds) -> tuple[Array, Worth]:
    """Encoded rows of a law given conditions.

    Args:
        law: of all encoded columns.
        asked: the conditions.
        rows: how many.
        seed: of the draws.
        bounds: of what is tried.

    Returns:
        Shape (rows, d), and what they are worth.

    Raises:
        InputError: no row fulfils the conditions.
    """
    rng = np.random.default_rng(counter_seed(seed, "given"))
    if not asked.thin:
        return _by_rejection(law, asked, rows, seed=seed, bounds=bounds, rng=rng)
    if asked.held.mask.all():
        y, _ = asked.held.draw(np.zeros(rows, dtype=np.int64), rng)
        return y, Worth(method="held", rows=rows, effective=rows, tries=0)
    pool = law.sample(min(POOL, bounds.tries), counter_seed(seed, "given", "pool"))
    usable = pool[np.isfinite(pool).all(1)]
    mixture = Proposal(usable, seed)
    conditional = _conditional(law, asked, mixture, _boxed(asked, usable, tails=False)[0])
    states, _ = conditional.proposed(np.zeros(FEWEST, dtype=np.int64), rng)
    if np.isfinite(states.score).mean() < RARE:  # half-lines that the mixture seldom reaches by itself
        conditional = _conditional(law, asked, mixture, _boxed(asked, usable, tails=True)[0])
    return _by_weights(conditional, asked, usable, rows, bounds=bounds, rng=rng)


def _by_rejection(
    law: Law, asked: Asked, rows: int, *, seed: int, bounds: Bounds, rng: np.random.Generator
) -> tuple[Array, Worth]:
    """Independent rows as long as tries will do; by weights, or by chains from them, where not."""
    pool, kept, found, tries = [], [], 0, 0
    while found < rows and tries < bounds.tries:
        expected = (rows - found) * (tries + 1) / (found + 1)
        if found and tries >= POOL and tries + 0.5 * expected > bounds.tries:
            break  # what is left will not do
        piece = int(np.clip(1.2 * expected, 1000, 20_000))
        drawn = law.sample(min(piece, bounds.tries - tries), counter_seed(seed, "given", tries))
        if tries < POOL:
            pool.append(drawn[np.isfinite(drawn).all(1)])
        tries += len(drawn)
        kept.append(drawn[asked.inside(drawn)])
        found += len(kept[-1])
    y = np.concatenate(kept)
    if not found:
        most = _one_digit_up(3 / tries)
        raise InputError(
            f"no sample of {tries} has {asked.words}: the model gives it less than {most} (at 95 %); allow "
            "more tries, or ask for less"
        )
    share = found / tries
    error = math.sqrt(share * (1 - share) / tries)
    if found >= rows:
        return y[:rows], Worth(
            method="rejection", rows=rows, effective=rows, tries=tries, share=share, share_se=error
        )
    all_rows = np.concatenate(pool)
    held, sides = _boxed(asked, all_rows, tails=True)
    conditional = _conditional(law, asked, Proposal(all_rows, seed), held)
    begun = y[rng.permutation(np.resize(np.arange(found), chains_for(rows)))]
    ended, worth = _by_weights(
        conditional, asked, all_rows, rows, bounds=bounds, rng=rng, begun=(begun, log_dets(sides, begun))
    )
    return ended, worth.model_copy(update={"share": share, "share_se": error, "tries": worth.tries + tries})


def _one_digit_up(bound: float) -> str:
    """A bound with one digit, rounded up, so that it stays one.

    >>> _one_digit_up(3 / 20_000), _one_digit_up(3 / 100_000)
    ('0.0002', '3e-05')
    """
    place = 10.0 ** math.floor(math.log10(bound))
    return f"{math.ceil(bound / place - 1e-9) * place:.1g}"


def _boxed(asked: Asked, pool: Array, *, tails: bool) -> tuple[Held, dict[int, Box | Tail]]:
    """What is held: cells, and intervals by their noise.

    Args:
        asked: the conditions.
        pool: samples, which say how far out half-lines reach.
        tails: whether half-lines are held, too; finite intervals always are.
    """
    sides: dict[int, Box | Tail] = {}
    for place, (low, high) in asked.sides.items():
        if math.isfinite(low) and math.isfinite(high):
            sides[place] = Box(low, high)
        elif tails and math.isfinite(low) != math.isfinite(high):
            sides[place] = tail_of(low, high, pool[:, place])
    one = np.ones(1, dtype=bool)
    more = [
        HeldColumn(str(place), side, slice(place, place + 1), np.zeros(1), one)
        for place, side in sides.items()
    ]
    return Held([*asked.held.columns, *more], 1, asked.held.width), sides


def log_dets(sides: Mapping[int, Box | Tail], y: Array) -> Array:
    """The log_det of held intervals at given rows, shape (n, intervals)."""
    found = [side.log_det_at(y[:, [place]]) for place, side in sides.items()]
    return np.stack(found, axis=1) if found else np.zeros((len(y), 0))


def _conditional(law: Law, asked: Asked, mixture: Proposal, held: Held) -> Conditional:
    return Conditional(law, held, asked.inside, mixture.given(held.mask), np.zeros(1, dtype=np.int64))


def _by_weights(
    conditional: Conditional,
    asked: Asked,
    pool: Array,
    rows: int,
    *,
    bounds: Bounds,
    rng: np.random.Generator,
    begun: tuple[Array, Array] | None = None,
) -> tuple[Array, Worth]:
    """Rows of the mixture by their weights, moved by Markov chains where the weights are no good.

    Args:
        conditional: the law given the conditions.
        asked: the conditions.
        pool: samples of the law.
        rows: how many are wanted.
        bounds: of the steps.
        rng: the generator.
        begun: rows of the conditional law with log_det of held columns, where some are known; chains begin
            there if hardly any proposal has weight.
    """
    count = int(np.clip(PER_ROW * rows, FEWEST, MOST))
    states, log_h = conditional.proposed(np.zeros(count, dtype=np.int64), rng)
    log_weights = states.score - log_h
    size, wanted = weight_size(log_weights), GOOD * rows
    if 0 < size < wanted <= size * MOST / count:  # more of them will do, and cost less than chains
        more = min(int(1.2 * count * wanted / size), MOST) - count
        others, log_h = conditional.proposed(np.zeros(more, dtype=np.int64), rng)
        states, count = states.joined(others), count + more
        log_weights = np.concatenate([log_weights, others.score - log_h])
        size = weight_size(log_weights)
    if not size and begun is None:
        raise InputError(
            f"none of {count} rows that were proposed has {asked.words}: the model gives the rest less than "
            f"{3 / count:.1g} (at 95 %) where the numbers are held; ask for less"
        )
    notes = _outside(asked.held, states.y[0], pool)
    if size >= wanted:
        y = states.y[resampled(log_weights, rows, rng)]
        worth = Worth(
            method="importance", rows=rows, effective=1 / (1 / rows + 1 / size), tries=count, notes=notes
        )
        return y, worth
    if begun is not None and size < CHAINS:
        first = conditional.at(*begun)
    else:
        chains = chains_for(rows)
        first = states.of(resampled(tempered(log_weights, chains / 2), chains, rng))
    ended, worth = moved(conditional, first, rows, bounds=bounds, rng=rng)
    return ended, worth.model_copy(update={"tries": worth.tries + count, "notes": (*notes, *worth.notes)})


def _outside(held: Held, y: Array, pool: Array) -> tuple[str, ...]:
    """What is held beyond all samples."""
    low, high = pool.min(0), pool.max(0)
    beyond = held.mask[0] & ((y < low) | (y > high))
    names = [own.name for own in held.columns if beyond[own.place].any()]
    if not names:
        return ()
    return (f"{', '.join(names)}: beyond all of {len(pool)} samples, where the model's tails decide",)
