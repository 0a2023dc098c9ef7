r"""Old certificate, bracket and truth side by side: of trained chains, and of a law that hides from critics.

A certificate is of KL itself and needs ε or a Fisher information; a bracket is of KL at a resolution and
needs rows and samples. The truth is known where the law's density is, in the plane, by quadrature.

The hidden law is :math:`\prod_i N(x_i)(1 + .95 \sin 10 x_i)`, here in dimension 8, judged by samples of
N(0, I): its moments are nearly those of the model, and no critic with wide bumps sees the ripples.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from jko.certify.bracket import bracket
from jko.certify.certificates import Bound
from jko.certify.evidence import MARGIN
from jko.certify.projections import columns_of
from jko.certify.records import Certificate
from jko.certify.resolution import Bracket, Projection, certified
from jko.core.records import Figure, Record
from jko.core.seeds import counter_seed
from jko.laws.blurred import Grid, Truth, truth_at
from jko.laws.densities import Array, Density
from jko.measure.epsilon import measure_epsilon
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import load_chain
from tasks.bracket_rows import bracket_rows
from tasks.datasets.laws import density_of

#: standard deviations around N(0, 1) that a grid reaches beyond the largest of a few thousand rows
BEYOND = 1.2
#: spacing of a grid, in standard deviations of a law's finest part, and in those of the blur; most points
OF_FINEST, OF_BLUR, MOST_POINTS = 0.8, 0.5, 100_000
#: of the hidden law: dimension, height and frequency of the ripples, rows, samples of N(0, I), bumps
DIM, HEIGHT, FREQUENCY = 8, 0.95, 10.0
ROWS, SAMPLES, BUMPS = 5000, 20_000, 30


class Apart(Record):
    """What is known of the KL of a law and a model.

    Args:
        name: of the data.
        old: the smallest certificate, nats; null where none holds.
        how: how it is known, or why there is none.
        kl: KL itself, nats, where it is known, with its standard error.
        kl_se: the standard error.
        bracket: at the certified resolution, or at the coarsest where all are wide.
        narrow: whether it is certified.
        truth: KL at that resolution, where it is known.
        truth_error: of the grid that it was summed over.
        worst: the column or pair with the largest lower level.
        least: that level, nats; 0 where none is above 0.
    """

    name: str
    old: Figure
    how: str
    kl: Figure = None
    kl_se: Figure = None
    bracket: Bracket
    narrow: bool
    truth: Figure = None
    truth_error: Figure = None
    worst: tuple[str, ...] = ()
    least: float = 0.0


def of_chain(store: ChainStore, found: Certificate) -> Apart | None:
    """A trained chain; ``None`` where it has no bracket.

    Args:
        store: the chain.
        found: what it guarantees.
    """
    whole = found.chain
    if not whole.bracket:
        return None
    bound = whole.bound("kl_bound")
    how = str(bound.status) if isinstance(bound, Bound) else bound.reason
    shown, narrow = _shown(whole.bracket)
    return _put_together(
        store.facts.name, whole.kl_bound, how, shown, narrow, truth=_truth_of(store, shown.resolution),
        projections=(*whole.columns, *whole.pairs), kl=(whole.kl_measured, whole.kl_measured_se),
    )  # fmt: skip


def _shown(brackets: tuple[Bracket, ...]) -> tuple[Bracket, bool]:
    fine = certified(brackets)
    return (fine, True) if fine else (max(brackets, key=lambda one: one.resolution), False)


def _put_together(
    name: str,
    old: float | None,
    how: str,
    shown: Bracket,
    narrow: bool,
    *,
    truth: Truth | None,
    projections: tuple[Projection, ...],
    kl: tuple[float | None, float | None],
) -> Apart:
    worst = max(projections, key=lambda one: one.least, default=None)
    return Apart(
        name=name, old=old, how=how, kl=kl[0], kl_se=kl[1], bracket=shown, narrow=narrow,
        truth=None if truth is None else truth.value, truth_error=None if truth is None else truth.error,
        worst=worst.columns if worst and worst.least > 0 else (), least=worst.least if worst else 0.0,
    )  # fmt: skip


def _truth_of(store: ChainStore, s: float) -> Truth | None:
    """KL at a resolution by the law's own density and the chain's, in the unit of the bracket."""
    law = density_of(store.config.data)
    if law is None or law.dim != 2 or store.facts.smoothing or store.facts.context:
        return None
    own = bracket_rows(store)
    assert own is not None  # there is a bracket
    centre, spread = own.units
    rows = (law.sample(ROWS, np.random.default_rng(0)) - centre) / spread
    box = [(low - BEYOND, high + BEYOND) for low, high in zip(rows.min(0), rows.max(0), strict=True)]
    affordable = math.sqrt(math.prod(high - low for low, high in box) / MOST_POINTS)
    grid = Grid.over(box, max(min(OF_BLUR * s, _finest(law, spread)), affordable))
    chain = load_chain(store.layout, store.config, store.fingerprints)
    points, unit = centre + spread * grid.points, float(np.log(spread).sum())
    log_q = chain.log_prob(torch.from_numpy(points))[0].double().numpy()
    return truth_at(grid, law.log_prob(points) + unit, log_q + unit, s)


def _finest(law: Density, spread: Array) -> float:
    """The spacing that the finest part of a law needs; all laws of the sources are Gaussians put together."""
    return OF_FINEST * float((np.asarray(getattr(law, "std", 1.0)) / spread).min())


def hidden(seed: int = 0) -> Apart:
    """The law of ripples in dimension 8, judged by samples of N(0, I)."""
    draw = np.random.default_rng(counter_seed(seed, "ripples"))
    rows = torch.from_numpy(ripples(ROWS * DIM, draw).reshape(ROWS, DIM))
    samples = torch.from_numpy(draw.standard_normal((SAMPLES, DIM)))
    shown, narrow = _shown(tuple(bracket(rows, samples, seed=seed)))
    fisher = measure_epsilon(rows, rows, 1.0, BUMPS)[1]
    axis = Grid.over([(-8.0, 8.0)], 0.01)
    log_p, log_q = (
        ripple_log_density(axis.points[:, 0]),
        -(axis.points[:, 0] ** 2 + math.log(2 * math.pi)) / 2,
    )
    one = truth_at(axis, log_p, log_q, shown.resolution)
    sharp = float((np.exp(log_p) * (log_p - log_q)).sum() * axis.cell)
    return _put_together(
        "ripples", max(fisher.value + MARGIN * fisher.se, 0.0) / 2, f"by {BUMPS} bumps", shown, narrow,
        truth=Truth(DIM * one.value, DIM * one.error), kl=(DIM * sharp, 0.0),
        projections=tuple(columns_of(rows, samples, [f"x{i}" for i in range(DIM)], seed=seed)),
    )  # fmt: skip


def ripple_log_density(x: Array) -> Array:
    """Log-density of one column of the hidden law, nats, shape (n,)."""
    ripple = np.log1p(HEIGHT * np.sin(FREQUENCY * x))
    made: Array = ripple - (x**2 + math.log(2 * math.pi)) / 2
    return made


def ripples(count: int, draw: np.random.Generator) -> Array:
    """Independent draws of one column, shape (count,); more than half of those of N(0, 1) are kept."""
    kept: list[Array] = []
    while sum(map(len, kept)) < count:
        x = draw.standard_normal(2 * count)
        kept.append(x[draw.random(len(x)) * (1 + HEIGHT) < 1 + HEIGHT * np.sin(FREQUENCY * x)])
    return np.concatenate(kept)[:count]
