"""The series for log det(I + J): unbiased, of finite variance, and its levels as told."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from jko.maps.divergence import rademacher
from jko.maps.invertible import Probes
from jko.maps.power_series import CERTAIN_TERMS, draw_levels, log_det_series
from tests.oracles import normal, standard_error, stream

KEEP = 0.8
DRAWS = 20_000


def probes_of(count: int, dim: int, *, seed: int = 0, keep: float = KEEP) -> Probes:
    draw, rows = stream(seed), torch.zeros(count, dim, dtype=torch.float64)
    return Probes(rademacher(1, rows, draw), draw_levels((1, count), keep, draw))


def of_matrix(matrix: Tensor) -> Callable[[Tensor], Callable[[Tensor], Tensor]]:
    """The same J at every row."""
    return lambda rows: lambda tangent: tangent @ matrix.T


def moments(sign: int, dim: int) -> tuple[float, float]:
    """Mean and variance of the estimate for J = sign · KEEP · I, by summing over the levels."""
    total, first, second = 0.0, 0.0, 0.0
    for n in range(1, 400):
        power = (sign * KEEP) ** n / KEEP ** max(n - CERTAIN_TERMS, 0)
        total += dim * (-1) ** (n + 1) * power / n
        if n >= CERTAIN_TERMS:
            chance = KEEP ** (n - CERTAIN_TERMS) * (1 - KEEP)
            first, second = first + chance * total, second + chance * total**2
    return first, second - first**2


@pytest.mark.parametrize("sign", [1, -1])
def test_mean_and_variance_at_the_bound_are_those_summed_over_the_levels(sign: int) -> None:
    """The worst J there is, ‖J‖ = keep: random signs make eᵀJᵏe exact, so only the level is random."""
    mean, variance = moments(sign, 3)
    assert mean == pytest.approx(3 * math.log(1 + sign * KEEP), rel=1e-9)
    found = log_det_series(of_matrix(sign * KEEP * torch.eye(3).double()), probes_of(DRAWS, 3), KEEP)[:, 0]
    assert abs(float(found.mean()) - mean) < 4 * standard_error(found)
    assert float(found.var()) == pytest.approx(variance, rel=0.1)


def test_a_matrix_that_is_not_symmetric() -> None:
    matrix = normal(4, 4, seed=1)
    matrix = 0.7 * matrix / torch.linalg.matrix_norm(matrix, 2)
    exact = torch.linalg.slogdet(torch.eye(4).double() + matrix)[1]
    found = log_det_series(of_matrix(matrix), probes_of(DRAWS, 4), KEEP)[:, 0]
    assert abs(float(found.mean() - exact)) < 4 * standard_error(found)
    assert standard_error(found) < 0.02


def test_every_row_and_probe_has_its_own_matrix_vector_and_level() -> None:
    """By hand, term by term; levels in no order."""
    matrices = 0.2 * normal(5, 2, 2, seed=2)
    vectors, levels = normal(3, 5, 2, seed=3), torch.randint(4, 12, (3, 5), generator=stream(4))
    found = log_det_series(
        lambda rows: lambda v: (matrices[rows[: len(v)]] @ v[:, :, None])[:, :, 0],
        Probes(vectors, levels),
        KEEP,
    )
    for row in range(5):
        for probe in range(3):
            e, power, total = vectors[probe, row], vectors[probe, row], 0.0
            for k in range(1, int(levels[probe, row]) + 1):
                power = matrices[row] @ power
                total += (-1) ** (k + 1) / (k * KEEP ** max(k - CERTAIN_TERMS, 0)) * float(e @ power)
            assert float(found[row, probe]) == pytest.approx(total, rel=1e-12)


def test_levels_have_the_tail_that_the_weights_undo() -> None:
    levels = draw_levels((DRAWS,), KEEP, stream(5))
    assert int(levels.min()) == CERTAIN_TERMS
    for k in range(CERTAIN_TERMS, 30):
        chance = KEEP ** (k - CERTAIN_TERMS)
        assert abs(float((levels >= k).double().mean()) - chance) <= 4 * math.sqrt(
            chance * (1 - chance) / DRAWS
        )


def test_no_rows_and_no_levels() -> None:
    assert log_det_series(of_matrix(torch.eye(2).double()), probes_of(0, 2), KEEP).shape == (0, 1)
    with pytest.raises(ValueError, match="levels"):
        log_det_series(of_matrix(torch.eye(2)), Probes(torch.ones(1, 3, 2)), KEEP)


def test_probes_of_some_rows_are_slices() -> None:
    whole = probes_of(9, 2)
    part = whole.of(slice(3, 7))
    assert torch.equal(part.vectors, whole.vectors[:, 3:7])
    assert part.levels is not None
    assert torch.equal(part.levels, whole.levels[:, 3:7])
    assert Probes(whole.vectors).of(slice(2)).levels is None
