"""Flows by the defaults on 50 000 rows of mixed laws that are known: the NLL is the law's, the mass one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

import jko
from jko.chain.kinds import log_probabilities

Array = NDArray[np.float64]
#: rows to train on, fresh rows, and nats by which the mean log-probability of these may miss the law's
ROWS, FRESH, BAR = 50_000, 4000, 0.02
#: draws of the noise for every row
DRAWS = 64
LEVELS = np.array(["a", "b", "c"], dtype=object)
SHARES, MEANS, SPREADS = np.array([0.5, 0.3, 0.2]), np.array([-1.0, 1.0, 0.0]), np.array([0.5, 0.7, 1.0])


@dataclass(frozen=True)
class Law:
    """A law of tables.

    Args:
        draw: rows.
        log_prob: of rows, in nats.
        everything: rows with weights, by which probabilities of the law sum to one.
    """

    draw: Callable[[int, np.random.Generator], pd.DataFrame]
    log_prob: Callable[[pd.DataFrame], Array]
    everything: Callable[[], tuple[pd.DataFrame, Array]]


def line(low: float, high: float, count: int) -> tuple[Array, Array]:
    """Points of an interval with the weights of the trapezoid rule."""
    at = np.linspace(low, high, count)
    weights = np.full(count, at[1] - at[0])
    weights[[0, -1]] /= 2
    return at, weights


def half_line(count: int = 400) -> tuple[Array, Array]:
    """The same of sums of money, by their logarithms; and 0, which has a mass."""
    at, weights = line(np.log(1e-3), np.log(3e3), count)
    return np.r_[0.0, np.exp(at)], np.r_[1.0, np.exp(at) * weights]


def paid(count: int, rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"paid": np.where(rng.random(count) < 0.4, 0.0, rng.gamma(2, 30, count))})


def paid_log_prob(rows: pd.DataFrame) -> Array:
    own = rows["paid"].to_numpy()
    more = np.log(0.6) + stats.gamma.logpdf(np.where(own > 0, own, 1.0), 2, scale=30)
    return np.where(own > 0, more, np.log(0.4))


def all_paid() -> tuple[pd.DataFrame, Array]:
    at, weights = half_line()
    return pd.DataFrame({"paid": at}), weights


def visits(count: int, rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"visits": rng.poisson(3, count)})


def visits_log_prob(rows: pd.DataFrame) -> Array:
    found: Array = stats.poisson.logpmf(rows["visits"].to_numpy(), 3)
    return found


def all_visits() -> tuple[pd.DataFrame, Array]:
    return pd.DataFrame({"visits": np.arange(40)}), np.ones(40)


def groups(count: int, rng: np.random.Generator) -> pd.DataFrame:
    """P(c) N(x; μ_c, σ_c²)."""
    code = rng.choice(3, count, p=SHARES)
    return pd.DataFrame({"c": LEVELS[code], "x": MEANS[code] + SPREADS[code] * rng.normal(size=count)})


def groups_log_prob(rows: pd.DataFrame) -> Array:
    code = rows["c"].map({level: i for i, level in enumerate(LEVELS)}).to_numpy(dtype=int)
    found: Array = np.log(SHARES[code]) + stats.norm.logpdf(rows["x"].to_numpy(), MEANS[code], SPREADS[code])
    return found


def all_groups() -> tuple[pd.DataFrame, Array]:
    at, weights = line(-7, 7, 281)
    return pd.DataFrame({"c": np.repeat(LEVELS, 281), "x": np.tile(at, 3)}), np.tile(weights, 3)


def orders(count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Visits, and what was paid: nothing in three of ten rows, else the more the more visits there were."""
    many = rng.poisson(2, count)
    sums = np.where(rng.random(count) < 0.3, 0.0, rng.gamma(1.0 + many, 20, count))
    return pd.DataFrame({"visits": many, "paid": sums})


def orders_log_prob(rows: pd.DataFrame) -> Array:
    many, own = rows["visits"].to_numpy(), rows["paid"].to_numpy()
    more = np.log(0.7) + stats.gamma.logpdf(np.where(own > 0, own, 1.0), 1.0 + many, scale=20)
    found: Array = stats.poisson.logpmf(many, 2) + np.where(own > 0, more, np.log(0.3))
    return found


def all_orders() -> tuple[pd.DataFrame, Array]:
    (at, weights), many = half_line(200), np.arange(20)
    rows = {"visits": np.repeat(many, len(at)), "paid": np.tile(at, len(many))}
    return pd.DataFrame(rows), np.tile(weights, len(many))


LAWS = {
    "zeros and sums": Law(paid, paid_log_prob, all_paid),
    "counts": Law(visits, visits_log_prob, all_visits),
    "a category and a number": Law(groups, groups_log_prob, all_groups),
    "counts, zeros and sums": Law(orders, orders_log_prob, all_orders),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
def test_the_weights_are_right(law: Law) -> None:
    rows, weights = law.everything()
    assert weights @ np.exp(law.log_prob(rows)) == pytest.approx(1, abs=1e-4)


def scored(flow: jko.Flow, rows: pd.DataFrame) -> Array:
    kinds = flow.facts.kinds
    assert kinds is not None
    cells = {str(name): rows[name].to_numpy() for name in rows.columns}
    return log_probabilities(flow.chain, kinds, cells, np.empty((len(rows), 0)), seed=0, draws=DRAWS)[:, 0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
def test_the_nll_is_that_of_the_law_and_the_mass_is_one(law: Law) -> None:
    rng = np.random.default_rng(0)
    flow = jko.fit(law.draw(ROWS, rng), progress=False)
    fresh = law.draw(FRESH, rng)
    missed = law.log_prob(fresh) - scored(flow, fresh)
    print(f"missed {missed.mean():.4f} ± {missed.std() / np.sqrt(FRESH):.4f} nats")
    rows, weights = law.everything()
    mass = float(weights @ np.exp(scored(flow, rows)))
    print(f"mass {mass:.4f}")
    assert abs(missed.mean()) <= BAR
    assert mass == pytest.approx(1, abs=0.01)
