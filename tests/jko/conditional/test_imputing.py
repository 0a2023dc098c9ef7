"""Holes filled row by row, beside the exact conditional law of each row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from jko.columns.cells import Cells
from jko.columns.discrete import Integer
from jko.columns.levels import Categorical
from jko.columns.real import Continuous, Positive
from jko.columns.told import Told
from jko.conditional import imputing
from jko.conditional.imputing import draw_missing
from jko.conditional.kinds import Kinds
from jko.core.errors import InputError
from tests.jko.conditional.laws import Gaussian, correlated


def table(values: np.ndarray) -> dict[str, Cells]:
    return {f"x{j}": Cells(values[:, j], ~np.isnan(values[:, j])) for j in range(values.shape[1])}


def kinds(dim: int) -> Kinds:
    return Kinds(tuple(Continuous(name=f"x{j}") for j in range(dim)))


@pytest.fixture(params=["weights", "markov chains"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By weights, or by chains that begin at proposals of any weight."""
    if request.param == "markov chains":
        monkeypatch.setattr(imputing, "GOOD", math.inf)
    return str(request.param)


def test_every_row_is_drawn_from_its_own_law(way: str) -> None:
    """Scores of the draws, each by its row's exact mean and deviation, are N(0, 1)."""
    law, draws = correlated(4), 4
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal(law.mean, law.covariance, size=400)
    holes = x.copy()
    holes[rng.random(x.shape) < 0.4] = np.nan
    found = draw_missing(law.law, kinds(4), table(holes), draws, seed=2, steps=60)
    assert found.chains == (0 if way == "weights" else 400 * draws)
    scores: list[float] = []
    for row, drawn in zip(holes, found.y.transpose(1, 0, 2), strict=True):
        held = {j: float(row[j]) for j in np.flatnonzero(~np.isnan(row))}
        free = np.flatnonzero(np.isnan(row))
        assert (drawn[:, list(held)] == row[list(held)]).all()
        if len(free):
            mean, covariance = law.given(held) if held else (law.mean, law.covariance)
            white = np.linalg.solve(np.linalg.cholesky(covariance), (drawn[:, free] - mean).T)
            scores.extend(white.ravel())
    assert len(scores) > 2000
    assert abs(np.mean(scores)) < 4.5 / math.sqrt(len(scores))
    assert abs(np.var(scores) - 1) < 4.5 * math.sqrt(2 / len(scores))


def test_the_density_of_what_a_row_has_is_the_marginal_one() -> None:
    law = correlated(3)
    x = np.random.default_rng(0).multivariate_normal(law.mean, law.covariance, size=50)
    x[:25, 2], x[25:, 0] = np.nan, np.nan
    found = draw_missing(law.law, kinds(3), table(x), 1, seed=0)
    parts = [
        multivariate_normal(law.mean[own], law.covariance[np.ix_(own, own)]).logpdf(rows[:, own])
        for own, rows in (([0, 1], x[:25]), ([1, 2], x[25:]))
    ]
    assert (np.abs(found.log_density - np.concatenate(parts)) < 5 * found.log_density_se + 1e-3).all()
    assert found.log_density_se.max() < 0.2


def test_counts_and_levels_are_held_and_filled() -> None:
    """A level by a line, a count, and a positive number: the other two given each level, by brute force."""
    law = Gaussian([1.0, 4.0, 0.5], np.array([[0.7, 0.5, 0.2], [0.5, 3.0, 0.4], [0.2, 0.4, 0.5]]))
    levels = Categorical(name="k", levels=("a", "b", "c"), spread="line")
    columns = Kinds((levels, Integer(name="n"), Positive(name="v")))
    cells = {
        "k": Cells(
            np.array(["a", "b", "c", None] * 60, dtype=object), np.array([True, True, True, False] * 60)
        ),
        "n": Cells(np.array([0, 0, 0, 6] * 60), np.array([False, False, False, True] * 60)),
        "v": Cells(np.full(240, 1.3), np.array([False, False, False, True] * 60)),
    }
    found = draw_missing(law.law, columns, cells, 5, seed=0)
    exact = np.random.default_rng(1).multivariate_normal(law.mean, law.covariance, size=1_000_000)
    codes = np.rint(exact[:, 0])
    for code in range(3):  # noise of a level goes half a step beyond the ends, and no farther
        own, drawn = exact[codes == code], found.y[:, code::4].reshape(-1, 3)
        assert (levels.decode(drawn[:, [0]]) == levels.levels[code]).all()
        for j in (1, 2):
            assert abs(drawn[:, j].mean() - own[:, j].mean()) < 4.5 * own[:, j].std() / math.sqrt(len(drawn))
    last = found.y[:, 3::4].reshape(-1, 3)
    assert (np.rint(last[:, 1]) == 6).all()
    assert np.allclose(last[:, 2], math.log(1.3))
    mean, covariance = law.given({1: 6.0, 2: math.log(1.3)})  # the step of a count is small beside the rest
    share = norm.cdf(0.5, mean[0], covariance[0, 0] ** 0.5)
    drawn_share = (levels.decode(last[:, [0]]) == "a").mean()
    assert abs(drawn_share - share) < 4.5 * math.sqrt(share * (1 - share) / len(last)) + 0.01


def test_a_level_is_filled_by_what_it_tells() -> None:
    """A level that is one of two by the column that it tells, given a count, by brute force."""
    law = Gaussian([1.0, 4.0], np.array([[0.7, 0.5], [0.5, 3.0]]))
    levels = Categorical(name="k", levels=("a", "b", "c"), spread="line")
    table = (("a", 7), ("b", 7), ("c", 8))
    told = Told.model_validate(
        {"name": "t", "by": "k", "value": {"kind": "integer"}, "table": table, "dtype": "int64"}
    )
    columns = Kinds((told, levels, Integer(name="n")))
    count = 120
    cells = {
        "t": Cells(np.array([7, 8, 7] * count), np.array([True, True, True] * count)),
        "k": Cells(np.array([None] * 3 * count, dtype=object), np.zeros(3 * count, dtype=bool)),
        "n": Cells(np.array([6, 6, 0] * count), np.array([True, True, False] * count)),
    }
    found = draw_missing(law.law, columns, cells, 8, seed=0)
    assert (levels.decode(found.y[:, 1::3, 0].reshape(-1, 1)) == "c").all()
    exact = np.random.default_rng(1).multivariate_normal(law.mean, law.covariance, size=1_000_000)
    codes = np.rint(np.clip(exact[:, 0], -0.4, 2.4))
    inside = (codes < 2) & (exact[:, 0] > -0.5)  # noise of a level goes half a step beyond the ends
    for first, own in ((0, inside & (np.rint(exact[:, 1]) == 6)), (2, inside)):
        drawn = levels.decode(found.y[:, first::3, 0].reshape(-1, 1))
        share = (codes[own] == 0).mean()
        assert set(drawn) == {"a", "b"}
        assert abs((drawn == "a").mean() - share) < 4.5 * math.sqrt(share * (1 - share) / len(drawn)) + 0.01


def test_rows_come_in_pieces_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    law = correlated(2)
    monkeypatch.setattr(imputing, "PIECE", 7)
    x = np.random.default_rng(0).multivariate_normal(law.mean, law.covariance, size=30)
    x[:, 1] = np.nan
    found = draw_missing(law.law, kinds(2), table(x), 200, seed=0)
    means = np.array([law.given({0: row[0]})[0][0] for row in x])
    deviation = law.given({0: 0.0})[1][0, 0] ** 0.5
    assert (np.abs(found.y[:, :, 1].mean(0) - means) < 5 * deviation / math.sqrt(200)).all()


def test_a_cell_that_does_not_fit_its_kind_is_refused() -> None:
    law = correlated(2)
    columns = Kinds((Integer(name="x0"), Continuous(name="x1")))
    with pytest.raises(InputError, match="column 'x0'"):
        draw_missing(law.law, columns, table(np.array([[0.5, np.nan]])), 1, seed=0)
