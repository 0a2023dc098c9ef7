"""ε² and the Fisher information of smoothed data from above, against the known law."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from jko.core.errors import InputError
from jko.laws.densities import Estimate, IsotropicMixture
from jko.laws.score import mean_square, score_after
from jko.measure.from_above import from_above, kernel_scores
from jko.measure.measures import measure_epsilon
from jko.measure.residual import residual_data
from tests.oracles import affine_block, random_block

GAMMA = 0.5


@cache
def law(dim: int) -> IsotropicMixture:
    """Eight narrow bumps."""
    return IsotropicMixture(1.2 * np.random.default_rng(3).standard_normal((8, dim)), 0.3)


def rows_of(dim: int, count: int, width: float, seed: int) -> tuple[Tensor, Tensor, IsotropicMixture]:
    """Smoothed rows, their noise, and the smoothed law."""
    rng, a = np.random.default_rng(seed), math.sqrt(1 - width**2)
    plain = law(dim)
    noise = rng.standard_normal((count, dim))
    smoothed = IsotropicMixture(a * plain.centres, math.hypot(a * plain.std, width))
    return torch.from_numpy(a * plain.sample(count, rng) + width * noise), torch.from_numpy(noise), smoothed


def exact(
    block: torch.nn.Module, smoothed: IsotropicMixture, count: int = 20_000
) -> tuple[Estimate, Estimate]:
    """ε² and Fisher information by the exact score of many draws."""
    x = torch.from_numpy(smoothed.sample(count, np.random.default_rng(9)))
    with torch.no_grad():
        y = block.push_forward(x)
    slope = score_after([block], y, torch.from_numpy(smoothed.score(x.numpy())).to)
    return mean_square(residual_data(x, y, GAMMA) + slope), mean_square(y + slope)


def over(estimate: Estimate, true: Estimate) -> float:
    """Standard errors by which an estimate lies above."""
    return (estimate.value - true.value) / math.hypot(estimate.se, true.se)


@pytest.mark.parametrize(
    ("dim", "width", "factor"), [(1, 0.1, 1.2), (1, 0.2, 1.2), (2, 0.2, 1.35), (2, 0.4, 1.25), (4, 0.4, 1.25)]
)
def test_of_structured_data_the_bound_is_within_a_third_of_the_truth(
    dim: int, width: float, factor: float
) -> None:
    """Two thousand rows; the critic, from below, sees a fraction of it in four dimensions."""
    noisy, noise, smoothed = rows_of(dim, 2000, width, 1)
    block = affine_block([0.8] * dim, [0.1] * dim, step_size=GAMMA)
    (found,), true = from_above([block], noisy, noise, width), exact(block, smoothed)
    for bound, value in zip((found.epsilon_squared, found.fisher), true, strict=True):
        assert over(bound, value) > -3
        assert bound.value < factor * value.value + 2 * bound.se
    if dim == 4:
        with torch.no_grad():
            y = block.push_forward(noisy)
        below = measure_epsilon(noisy, y, GAMMA, 30)[0]
        assert below.value + 2 * below.se < 0.8 * true[0].value


def test_it_is_rarely_below_the_truth_and_its_error_is_that_of_repeated_draws() -> None:
    block = random_block("two_layers", 1, steps=4)
    true = exact(block, rows_of(1, 2, 0.2, 0)[2])
    found = [
        from_above([block], *rows_of(1, 500, 0.2, seed)[:2], 0.2)[0].epsilon_squared for seed in range(30)
    ]
    below = sum(one.value + 2 * one.se < true[0].value - 2 * true[0].se for one in found)
    assert below <= 2
    spread, told = np.std([one.value for one in found]), np.mean([one.se for one in found])
    assert 0.7 * spread < told < 2 * spread


def test_one_row_alone_says_nothing_and_more_rows_say_more() -> None:
    """Where the rows cannot be told apart by w, the bound is about d/s²; it falls as rows are added."""
    block, width = affine_block([1.0, 1.0], [0.0, 0.0], step_size=GAMMA), 0.1
    noisy, noise, smoothed = rows_of(2, 8000, width, 2)
    alone = mean_square(noisy - noise / width).value
    bounds = [
        from_above([block], noisy[:m], noise[:m], width)[0].fisher.value for m in (100, 500, 2000, 8000)
    ]
    assert bounds == sorted(bounds, reverse=True)
    assert alone > 150 > bounds[0] > bounds[-1] > exact(block, smoothed)[1].value * 0.9


def test_through_two_blocks_it_is_that_of_their_composition() -> None:
    """Carried block by block, the bound after the second is E|y + ∇log of the pushed p̂|²."""
    noisy, noise, _ = rows_of(2, 300, 0.3, 3)
    blocks = [random_block("two_layers", 2, steps=4), random_block("fourier", 2, steps=4, seed=5)]
    found = from_above(blocks, noisy, noise, 0.3)
    with torch.no_grad():
        y = blocks[1].push_forward(blocks[0].push_forward(noisy))
    start = kernel_scores(noisy, noisy - 0.3 * noise, 0.3)[0]
    assert found[1].fisher.value == pytest.approx(mean_square(y + score_after(blocks, y, start.to)).value)


def test_scores_without_a_group_are_those_of_the_other_rows() -> None:
    noisy, noise, _ = rows_of(2, 60, 0.4, 4)
    centres = noisy - 0.4 * noise
    found = kernel_scores(noisy, centres, 0.4, groups=3)
    assert torch.allclose(
        found[0], torch.from_numpy(IsotropicMixture(centres.numpy(), 0.4).score(noisy.numpy()))
    )
    rest = centres[torch.arange(60) % 3 != 1].numpy()
    assert torch.allclose(found[2], torch.from_numpy(IsotropicMixture(rest, 0.4).score(noisy.numpy())))


def test_what_cannot_be_is_refused() -> None:
    noisy, noise, _ = rows_of(2, 10, 0.4, 5)
    block = affine_block([1.0, 1.0], [0.0, 0.0])
    with pytest.raises(InputError, match="between 0 and 1"):
        from_above([block], noisy, noise, 1.0)
    with pytest.raises(InputError, match="their noise"):
        from_above([block], noisy, noise[:5], 0.4)
