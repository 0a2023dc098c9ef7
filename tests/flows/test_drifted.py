"""When new rows are called a drift: how often wrongly, how surely rightly, and what one row can do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from flows.scheduling.drifted import SCORE, Drift, Rows, compared, words

NAMES = ("amount", "count", "share", "days")
SEEN = {"drift/seen_left_out": 1.0}
OWN, TEST, NEW = 1600, 300, 500
#: what a bar allows of a hundred repetitions, and asks of them
REPETITIONS, FALSE, FOUND = 100, 5, 95


def table(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Columns that depend on each other: normal, skewed, with half its values 0, with heavy tails."""
    z = rng.standard_normal((rows, 5))
    z = z[:, :4] + 0.5 * z[:, 4:]
    found = z.copy()
    found[:, 1] = np.exp(z[:, 1])
    found[:, 2] = np.where(z[:, 2] < 0, 0.0, np.round(z[:, 2], 1))
    found[:, 3] = z[:, 3] / np.sqrt(rng.chisquare(3, rows) / 3)
    return found


def experiment(rng: np.random.Generator, *, column: int | None = None, exploded: int = 0) -> Drift:
    """A chain that is one Gaussian, its own rows, and new ones.

    Args:
        rng: of the draws.
        column: one that is shifted by .3 of its standard deviation.
        exploded: so many new rows the chain gives a −log q of a million.
    """
    own, new = table(OWN, rng), table(NEW, rng)
    if column is not None:
        new[:, column] += 0.3 * own[:, column].std()
    law = multivariate_normal(own[TEST:].mean(axis=0), np.cov(own[TEST:].T))
    scores = -law.logpdf(new)
    scores[:exploded] = 1e6
    return compared(
        Rows(5000 + np.arange(NEW), scores, new),
        Rows(np.arange(TEST), -law.logpdf(own[:TEST]), own), NAMES, SEEN,
    )  # fmt: skip


@pytest.mark.parametrize("exploded", [0, 1])
def test_what_did_not_drift_alarms_in_at_most_five_of_a_hundred_repetitions(exploded: int) -> None:
    rng = np.random.default_rng(11)
    alarms = sum(experiment(rng, exploded=exploded).alarm for _ in range(REPETITIONS))
    assert alarms <= FALSE


@pytest.mark.parametrize("column", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2, 3))])
def test_a_shift_of_a_third_of_a_deviation_is_found_and_named(column: int) -> None:
    rng = np.random.default_rng(12 + column)
    found = [experiment(rng, column=column, exploded=1) for _ in range(REPETITIONS)]
    assert sum(one.alarm for one in found) >= FOUND
    assert sum(f"'{NAMES[column]}' (median +" in one.says for one in found) >= FOUND


def test_one_row_that_explodes_is_told_and_is_no_alarm() -> None:
    """The means differ by two thousand nats."""
    found = experiment(np.random.default_rng(3), exploded=1)
    assert found.figures["drift/change"] > 1000
    assert abs(found.figures["drift/median_change"]) < 4 * found.figures["drift/median_change_se"]
    assert abs(found.figures["drift/trimmed_change"]) < 4 * found.figures["drift/trimmed_change_se"]
    assert not found.alarm
    assert found.says.startswith("no drift (p = ")
    assert "warning: row 5000 of the source (counted from 0) alone adds 2e+03 nats" in found.says
    assert (found.figures["drift/worst_row"], found.figures["drift/worst_nll"]) == (5000.0, 1e6)
    assert found.figures["drift/worst_share"] > 0.99
    assert "\n" not in found.says


def test_a_row_without_a_density_is_told_and_is_in_no_mean() -> None:
    rng = np.random.default_rng(4)
    rows, scores = rng.standard_normal((200, 1)), rng.standard_normal(200)
    scores[[7, 9]] = np.inf, np.nan
    own = Rows(np.arange(100), rng.standard_normal(100), rng.standard_normal((400, 1)))
    found = compared(Rows(np.arange(200), scores, rows), own, ("x",), SEEN)
    assert not found.alarm
    assert found.figures["drift/not_finite"] == 2
    assert all(np.isfinite(value) for value in found.figures.values())
    assert "rows 7 and 9 of the source have no finite density" in found.says


def test_a_change_that_no_column_shows_is_seen_by_the_density() -> None:
    """The same columns, no longer dependent."""
    rng = np.random.default_rng(5)
    law = multivariate_normal(np.zeros(2), [[1, 0.9], [0.9, 1]])
    own, test = law.rvs(1000, random_state=1), law.rvs(300, random_state=2)
    new = rng.standard_normal((300, 2))
    found = compared(
        Rows(np.arange(300), -law.logpdf(new), new), Rows(np.arange(300), -law.logpdf(test), own), ("x", "y"),
        SEEN,
    )  # fmt: skip
    assert found.alarm
    assert found.figures["drift/columns_moved"] == 0
    assert found.figures["drift/worse_share"] > 0.6
    assert found.says.startswith(f"drift: {SCORE} is another (p = ")


def test_without_two_new_rows_no_drift_is_told_but_why() -> None:
    assert words({"drift/rows": 0.0, "drift/seen_left_out": 1.0}).startswith(
        "no drift is known: none of their"
    )
    assert "1 of their rows is new" in words({"drift/rows": 1.0, "drift/seen_left_out": 1.0})
    assert words({}) == "they cannot be scored under the last chain"
    assert not Drift({"drift/rows": 1.0}, "").known


def test_a_smoothed_chain_says_that_rows_it_has_seen_count() -> None:
    own = Rows(np.arange(4), np.array([1.0, 2.0, 1.0, 2.0]), np.zeros((4, 1)))
    new = replace(own, numbers=np.arange(3), scores=np.array([1.0, 2.0, 3.0]), columns=np.zeros((3, 1)))
    said = compared(new, own, ("x",), SEEN).says
    assert "median −log q of 3 new rows 2 ± " in said
    assert "+0.5 ± " in said
    assert "rows it has seen count, too" not in said
    assert "rows it has seen count, too" in compared(new, own, ("x",), {"drift/seen_left_out": 0.0}).says
