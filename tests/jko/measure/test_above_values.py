"""The bound from above beside the same sums in the open, and the product bound of the inverse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from jko.core.errors import InputError
from jko.laws.densities import Estimate
from jko.laws.score import score_after
from jko.measure import from_above as module
from jko.measure.from_above import from_above, kernel_scores
from jko.measure.inversion import product_bound
from tests.oracles import affine_residual, normal, random_block


def open_scores(x: Tensor, centres: Tensor, width: float) -> Tensor:
    """∇ log of the mean of N(c, s²), by its definition."""
    near = torch.softmax(-(x[:, None] - centres).square().sum(-1) / (2 * width**2), 1)
    return (near[..., None] * (centres - x[:, None])).sum(1) / width**2


def open_mean_square(fields: list[Tensor]) -> Estimate:
    """All rows of the first, and a jackknife over the others, each without its group's rows."""
    squares = [field.square().sum(-1) for field in fields]
    groups = len(fields) - 1
    without = [
        squares[g + 1][[i for i in range(len(squares[0])) if i % groups != g]].mean() for g in range(groups)
    ]
    middle = sum(without) / groups
    spread = (groups - 1) / groups * sum((one - middle) ** 2 for one in without)
    return Estimate(float(squares[0].mean()), math.sqrt(float(spread)))


def same(found: Estimate, other: Estimate) -> None:
    assert (found.value, found.se) == (
        pytest.approx(other.value, rel=1e-9),
        pytest.approx(other.se, rel=1e-9),
    )


def test_two_affine_blocks_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores behind x + Mx + b are those before it times (I + M)⁻¹; 40 of 50 rows, all 50 in p̂."""
    monkeypatch.setattr(module, "ROWS", 40)
    matrix = torch.tensor([[0.3, 0.2], [-0.1, -0.4]]).double()
    shift = torch.tensor([0.5, -0.2]).double()
    block = affine_residual(matrix, shift)
    noisy, noise, width = normal(50, 2, seed=1), normal(50, 2, seed=2), 0.4
    centres = noisy - width * noise
    x = noisy[:40]
    scores = [open_scores(x, centres, width)]
    for g in range(20):
        rest = torch.tensor([j for j in range(50) if j % 20 != g])
        scores.append(open_scores(x, centres[rest], width))
    found = from_above([block, block], noisy, noise, width)
    back = torch.linalg.inv(torch.eye(2).double() + matrix)
    for one in found:
        y = x + x @ matrix.T + shift
        scores = [score @ back for score in scores]
        known = y - (x - y) / 0.5
        same(one.epsilon_squared, open_mean_square([known + score for score in scores]))
        same(one.fisher, open_mean_square([y + score for score in scores]))
        x = y


def test_through_a_curved_block_every_score_is_carried() -> None:
    """Behind it the gradient of log|det ∇T| counts, too, which is 0 behind an affine one."""
    block = random_block("two_layers", 2, steps=4)
    noisy, noise = normal(40, 2, seed=1), normal(40, 2, seed=2)
    (found,) = from_above([block], noisy, noise, 0.4)
    with torch.no_grad():
        y = block.push_forward(noisy)
    scores = kernel_scores(noisy, noisy - 0.4 * noise, 0.4)
    carried = [score_after([block], y, one.to) for one in scores]
    same(found.fisher, open_mean_square([y + one for one in carried]))
    known = y - (noisy - y) / block.step_size
    same(found.epsilon_squared, open_mean_square([known + one for one in carried]))


def test_the_scores_of_every_group_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAIRS", 35)
    x, centres = normal(11, 2, seed=1), normal(7, 2, seed=2)
    found = kernel_scores(x, centres, 0.6, groups=3)
    assert found.shape == (4, 11, 2)
    torch.testing.assert_close(found[0], open_scores(x, centres, 0.6))
    for g in range(3):
        rest = centres[torch.arange(7) % 3 != g]
        torch.testing.assert_close(found[g + 1], open_scores(x, rest, 0.6))
    assert kernel_scores(x, centres, 0.6).shape == (8, 11, 2)
    monkeypatch.setattr(module, "PAIRS", 1)
    torch.testing.assert_close(kernel_scores(x, centres, 0.6, groups=3), found)


def test_rows_far_from_zero_keep_their_digits() -> None:
    x, centres = normal(40, 2, seed=1), normal(40, 2, seed=2)
    found = kernel_scores(x + 1e6, centres + 1e6, 0.6)
    torch.testing.assert_close(found, kernel_scores(x, centres, 0.6), rtol=1e-5, atol=1e-6)


def test_a_row_with_no_other_group_near_it_keeps_its_own_centre() -> None:
    centres = torch.tensor([[0.0], [100.0]]).double()
    found = kernel_scores(centres + 0.1, centres, 0.5, groups=2)
    torch.testing.assert_close(found, torch.full((3, 2, 1), -0.1 / 0.25).double())


def test_what_is_refused_is_said() -> None:
    block = affine_residual(torch.zeros(2, 2).double(), torch.zeros(2).double())
    rows = normal(9, 2, seed=1)
    for noisy, noise in ((rows[:1], rows[:1]), (rows, rows[:8]), (rows[0], rows[0])):
        said = f"rows and their noise are (m, d) with m ≥ 2, not {noisy.shape} and {noise.shape}"
        with pytest.raises(InputError) as told:
            from_above([block], noisy, noise, 0.4)
        assert str(told.value) == said
    for width in (0.0, 1.0, -0.5):
        with pytest.raises(InputError) as told:
            from_above([block], rows, rows, width)
        assert str(told.value) == f"the width of the smoothing is between 0 and 1, not {width}"
    assert len(from_above([block], rows[:2], rows[:2], 0.4)) == 1


def test_rows_of_float32_are_measured_in_float64() -> None:
    block = affine_residual(torch.zeros(2, 2), torch.zeros(2))
    rows, noise = normal(30, 2, seed=1).float(), normal(30, 2, seed=2).float()
    single = from_above([block], rows, noise, 0.4)[0].fisher
    exact = affine_residual(torch.zeros(2, 2).double(), torch.zeros(2).double())
    assert single.value == pytest.approx(
        from_above([exact], rows.double(), noise.double(), 0.4)[0].fisher.value
    )


def test_errors_of_later_blocks_grow_by_the_blocks_before_them() -> None:
    """.1 + 2 · .2 + 2 · 3 · .4; the last block's constant is in none."""
    assert product_bound([0.1, 0.2, 0.4], [2.0, 3.0, 99.0]) == pytest.approx(2.9, rel=1e-12)
    with pytest.raises(ValueError, match="shorter"):
        product_bound([0.1, 0.2], [2.0])
