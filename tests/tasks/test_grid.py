"""Grids are regular and frequent; one value that many rows share is an atom."""

from __future__ import annotations

import numpy as np
import pytest

from jko.preparation.grid import atoms, grid_origin, grid_step, on_grid
from jko.preparation.prepare import dequantise

RNG = np.random.default_rng(0)
AREA = np.exp(RNG.normal(3, 1, 2000))
GRIDS: dict[str, tuple[np.ndarray, float]] = {
    "rounded": (np.round(RNG.normal(20, 5, 2000), 1), 0.1),
    "rounded, with round-off": (
        np.round(RNG.normal(20, 5, 2000), 1) + RNG.choice([0, 4e-15, -4e-15], 2000),
        0.1,
    ),
    "sums with round-off": (RNG.integers(0, 30, 900) * 0.1 + 0.2, 0.1),
    "rounded in float32": (np.round(RNG.normal(20, 5, 2000), 1).astype(np.float32).astype(float), 0.1),
    "binary": (RNG.integers(0, 2, 100).astype(float), 1.0),
    "counts with a tail": (RNG.poisson(3, 2100).astype(float), 1.0),
    "integers and a typing error": (np.r_[RNG.integers(0, 3, 2000).astype(float), 1.3], 1.0),
    "ages and a typing error": (np.r_[RNG.integers(18, 80, 2000).astype(float), 45.3], 1.0),
    "percentages with zeros": (
        np.where(RNG.random(2000) < 0.45, 0, np.round(100 * RNG.beta(2, 6, 2000), 1)),
        0.1,
    ),
    "cents far out": (RNG.integers(0, 50, 3000) * 0.01 + 1e6, 0.01),
    "far units": (RNG.integers(0, 9, 500) * 1e44, 1e44),
    "tiny units": (RNG.integers(0, 9, 500) * 1e-30, 1e-30),
    "powers of two": (2.0 ** RNG.integers(0, 8, 500), 1.0),
    "doses": (RNG.choice([0, 0.5, 3.7], 500), 0.5),
    "half of it zero": (np.where(RNG.random(2000) < 0.5, 0, AREA), 0.0),
    "95 % zero": (np.where(RNG.random(2000) < 0.95, 0, AREA), 0.0),
    "99.5 % zero": (np.where(RNG.random(2000) < 0.995, 0, AREA), 0.0),
    "a detection limit": (np.maximum(AREA, 10.0), 0.0),
    "two atoms": (np.clip(AREA, 5.0, 50.0), 0.0),
    "every row four times": (np.repeat(RNG.standard_normal(250), 4), 0.0),
    "money": (np.round(AREA * 100, 2), 0.0),
    "a fill value": (np.r_[RNG.normal(15, 3, 392), np.full(8, 1e20)], 0.0),
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_step_of_a_column(name: str) -> None:
    column, step = GRIDS[name]
    assert grid_step(column) == pytest.approx(step, rel=1e-6)
    assert grid_step(column[RNG.permutation(len(column))]) == grid_step(column)


def test_integers_have_exactly_the_step_one() -> None:
    assert grid_step(RNG.poisson(3, 2000).astype(float)) == 1.0


@pytest.mark.parametrize(("factor", "offset"), [(1e-9, 0.0), (1e6, 5.0), (-2.5, 1000.0)])
def test_units_do_not_matter(factor: float, offset: float) -> None:
    for column, step in (GRIDS["rounded"], GRIDS["half of it zero"], GRIDS["percentages with zeros"]):
        assert grid_step(column * factor + offset) == pytest.approx(abs(factor) * step, rel=1e-5)


@pytest.mark.parametrize(("rows", "values"), [(400, 5), (2000, 5), (300, 9)])
def test_equally_common_atoms_are_all_found(rows: int, values: int) -> None:
    common = np.array([0.0, 1.5, 4.7, 9.1, 20.3, 21.9, 30.2, 33.3, 41.7])[:values]
    column = np.where(np.arange(rows) < 0.8 * rows, np.resize(common, rows), RNG.normal(15, 9, rows))
    assert grid_step(column) == 0
    assert {value for value, _ in atoms(column)} == set(common)


def test_atoms_are_values_and_shares() -> None:
    found = atoms(np.clip(AREA, 5.0, 50.0))
    assert {value for value, _ in found} == {5.0, 50.0}
    assert dict(found)[50.0] == pytest.approx((AREA >= 50).mean())
    assert atoms(AREA) == []
    assert atoms(np.round(RNG.normal(20, 5, 300), 1)) == []  # ties of rounding


@pytest.mark.parametrize(
    ("step", "shift"),
    [(1.0, 0.0), (2.0, 1.0), (0.1, 0.0), (0.25, 0.05), (1 / 3, 0.0), (1.0, 0.5), (1000.0, 7.0)],
)
def test_noise_of_one_step_is_taken_off_exactly(step: float, shift: float) -> None:
    draw = np.random.default_rng(0)
    column = shift + step * draw.poisson(5.0, 500)
    if step == 0.1:
        column = np.round(column, 1)  # as a file says it
    found = grid_step(column)
    origin = grid_origin(column, found)
    assert origin is not None
    back = on_grid(dequantise(column[:, None], np.array([found]), 0)[:, 0], origin, found)
    if step == 1 / 3:
        np.testing.assert_allclose(back, column, rtol=1e-12, atol=1e-12)
    else:
        np.testing.assert_array_equal(back, column)


def test_values_beside_the_grid_have_no_origin() -> None:
    assert grid_origin(np.array([0.0, 0.5, 3.7]), 0.5) is None
    assert on_grid(np.array([1e300, -0.2, -np.inf]), 0.0, 0.1).tolist() == [1e300, -0.2, -np.inf]
    assert not np.signbit(on_grid(np.array([-0.2]), 0.0, 1.0))[0]
