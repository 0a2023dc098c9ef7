"""Brackets of columns and pairs on a lattice, beside the direct sums and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from jko.certify.bracket import bracket
from jko.certify.projections import ALL_COLUMNS, MOST_PAIRS, columns_of, pairs_of

NAMES = ("a", "b", "c", "d")


def normal(rows: int, seed: int, related: float = 0.0) -> Tensor:
    """Standard normal columns, the first two of which are correlated."""
    drawn = torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    drawn[:, 1] = related * drawn[:, 0] + math.sqrt(1 - related**2) * drawn[:, 1]
    return drawn


def test_a_single_column_has_no_pairs() -> None:
    assert pairs_of(normal(20, 1)[:, :1], normal(30, 2)[:, :1], NAMES[:1]) == []


def test_samples_beyond_all_rows_give_finite_figures() -> None:
    rng = np.random.default_rng(5)
    rows, samples = rng.normal(size=(200, 2)), rng.normal(size=(800, 2)) * 0.1
    rows[:5] = 6.0
    for one in (*columns_of(*map(torch.from_numpy, (rows, samples)), ["a", "b"]),
                *pairs_of(*map(torch.from_numpy, (rows, samples)), ["a", "b"])):  # fmt: skip
        assert all(at.lower_se is not None and at.upper_se is not None for at in one.bracket)
        assert one.least > 0


def test_the_wrong_pair_comes_first_and_no_other_is_accused() -> None:
    rows, samples = normal(1500, 1, related=0.8), normal(20_000, 2)
    assert [one.least for one in columns_of(rows, samples, NAMES)] == [0.0] * 4
    pairs = pairs_of(rows, samples, NAMES)
    assert pairs[0].columns == ("a", "b")
    assert pairs[0].least > 0.2
    assert [one.least for one in pairs[1:]] == [0.0] * 5
    for one in pairs[0].bracket:
        exact = -math.log(1 - (0.8 * (1 - one.resolution**2)) ** 2) / 2
        assert one.lower - 3 * one.lower_se <= exact <= one.upper + 3 * one.upper_se


def test_the_lattice_tells_what_the_direct_sums_tell() -> None:
    rows, samples = normal(1500, 3, related=0.5), normal(20_000, 4)
    (pair,) = pairs_of(rows[:, :2], samples[:, :2], NAMES[:2])
    resolutions = [one.resolution for one in pair.bracket]
    for one, direct in zip(
        pair.bracket, bracket(rows[:, :2], samples[:, :2], resolutions=resolutions), strict=True
    ):
        assert one.upper == pytest.approx(direct.upper, abs=4 * direct.upper_se)
        assert one.lower == pytest.approx(direct.lower, abs=4 * direct.lower_se)
        assert one.lower_se == pytest.approx(direct.lower_se, rel=0.4)


def test_a_column_of_another_width_is_found_out_at_the_right_size() -> None:
    """KL of N(0, 1) and N(0, 1.5²), both blurred."""
    rows, samples = normal(3000, 5)[:, :1], 1.5 * normal(40_000, 6)[:, :1]
    (column,) = columns_of(rows, samples, NAMES[:1])
    assert column.least > 0.03
    for one in column.bracket:
        a2, s2 = 1 - one.resolution**2, one.resolution**2
        ratio = 1 / (a2 * 1.5**2 + s2)
        exact = (ratio - 1 - math.log(ratio)) / 2
        assert one.lower - 3 * one.lower_se <= exact <= one.upper + 3 * one.upper_se


def test_rows_far_from_all_others_leave_figures_finite() -> None:
    rows, samples = normal(400, 7), normal(2000, 8)
    rows[0], rows[1] = 1e9, torch.tensor([5.5, -5.5, 5.5, -5.5])
    for one in (*columns_of(rows, samples, NAMES), *pairs_of(rows, samples, NAMES)):
        for at in one.bracket:
            assert math.isfinite(at.lower)
            assert math.isfinite(at.upper)
            assert at.lower <= at.upper


def test_of_many_columns_the_most_correlated_pairs_are_taken() -> None:
    count = ALL_COLUMNS + 1
    drawn = torch.randn(300, count, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    drawn[:, 4] = drawn[:, 20] + 0.1 * drawn[:, 4]
    names = [f"x{i}" for i in range(count)]
    found = pairs_of(drawn[:200], drawn[200:], names, resolutions=(0.4,))
    assert len(found) == MOST_PAIRS < count * (count - 1) // 2
    assert ("x4", "x20") in {one.columns for one in found}


@pytest.mark.slow
def test_levels_hold_together() -> None:
    """Of 8 models that are right, hardly one is accused in any of 10 columns and pairs."""
    accused = 0
    for seed in range(8):
        rows, samples = normal(300, 2 * seed + 50), normal(5000, 2 * seed + 51)
        found = (*columns_of(rows, samples, NAMES, seed=seed), *pairs_of(rows, samples, NAMES, seed=seed))
        accused += any(one.least > 0 for one in found)
    assert accused <= 1
