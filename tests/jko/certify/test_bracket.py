"""The bracket on KL at a resolution, against closed forms and by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor

from jko.certify.bracket import FEWEST, bracket, rows_needed
from jko.certify.projections import columns_of
from jko.certify.resolution import Bracket, certified
from jko.config.sections import RESOLUTIONS
from jko.core.errors import InputError
from jko.statistics import kernel_sums
from jko.statistics.kernel_sums import CENTRES, MANY, POINTS, joined, kernel_mean


def normal(rows: int, mean: tuple[float, ...], seed: int) -> Tensor:
    """Draws of N(mean, I)."""
    drawn = torch.Generator().manual_seed(seed)
    return torch.randn(rows, len(mean), generator=drawn, dtype=torch.float64) + torch.tensor(mean)


def truth(mean: tuple[float, ...], s: float) -> float:
    """KL of N(a·mean, I), which N(mean, I) is at resolution s, from N(0, I)."""
    return (1 - s * s) * sum(one * one for one in mean) / 2


@pytest.mark.parametrize("count", [3, 400, CENTRES, CENTRES + 1, 2 * CENTRES + 7])
def test_kernel_means_are_those_of_all_pairs(count: int) -> None:
    rng = np.random.default_rng(count)
    points, centres = rng.normal(size=(POINTS + 5, 3)) + 50, rng.normal(size=(count, 3)) + 50
    found = kernel_mean(torch.from_numpy(points), torch.from_numpy(centres), 0.3)
    squares = ((points[:, None] - centres) ** 2).sum(-1)
    logs = -squares / (2 * 0.3**2) - 3 * math.log(0.3 * math.sqrt(2 * math.pi))
    log_mean = logsumexp(logs, axis=1) - math.log(count)
    relative = np.exp(logsumexp(2 * logs, axis=1) - math.log(count) - 2 * log_mean) - 1
    single = (POINTS + 5) * count > MANY
    assert single == (count >= CENTRES)
    np.testing.assert_allclose(found.log_mean, log_mean, rtol=1e-10, atol=2e-5 if single else 0)
    close = {"rtol": 2e-5, "atol": 2e-5} if single else {"rtol": 1e-8, "atol": 1e-10}
    np.testing.assert_allclose(found.relative_variance, relative, **close)


@pytest.mark.parametrize(
    ("width", "scale", "kind"),
    [(0.5, 1.0, torch.float32), (0.05, 1.0, torch.float64), (0.5, 100.0, torch.float64)],
)
def test_single_precision_says_what_double_precision_does(
    width: float, scale: float, kind: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of exponents that single precision would spoil, at fine widths and far from 0, double is kept."""
    points, centres = scale * normal(3000, (0.0,) * 10, 3), scale * normal(4000, (0.0,) * 10, 4)
    kinds, sums = set(), kernel_sums._log_sums

    def watched(u: Tensor, *rest: Tensor | None, **more: bool) -> tuple[Tensor, Tensor]:
        kinds.add(u.dtype)
        return sums(u, *rest, **more)

    monkeypatch.setattr(kernel_sums, "_log_sums", watched)
    found = kernel_mean(points, centres, width)
    assert kinds == {kind}
    monkeypatch.setattr(kernel_sums, "MANY", 10**9)
    known = kernel_mean(points, centres, width)
    assert kinds == {kind, torch.float64}
    assert (found.log_mean - known.log_mean).abs().max() < 2e-5
    assert abs(float((found.log_mean - known.log_mean).mean())) < 1e-6
    torch.testing.assert_close(found.relative_variance, known.relative_variance, rtol=5e-5, atol=1e-5)


def test_a_bracket_is_that_of_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, samples = normal(1500, (0.3,) * 4, 5), normal(20_000, (0.0,) * 4, 6)
    found = bracket(rows, samples)
    monkeypatch.setattr(kernel_sums, "MANY", 10**12)
    for one, known in zip(found, bracket(rows, samples), strict=True):
        assert one.samples == known.samples
        for name in ("upper", "upper_se", "lower", "lower_se"):
            assert one.figure(name) == pytest.approx(known.figure(name), abs=5e-6), name


def test_parts_of_the_centres_make_the_whole() -> None:
    points, centres = normal(50, (0.0, 0.0), 0), normal(1000, (0.0, 0.0), 1)
    whole = kernel_mean(points, centres, 0.2)
    parts = joined(
        [kernel_mean(points, part, 0.2) for part in (centres[:10], centres[10:400], centres[400:])]
    )
    torch.testing.assert_close(parts.log_mean, whole.log_mean)
    torch.testing.assert_close(parts.relative_variance, whole.relative_variance)
    assert parts.count == whole.count


def test_a_centre_is_left_out_even_where_it_is_all_there_is() -> None:
    rows = normal(CENTRES + 40, (0.0, 0.0), 0)
    rows[7] += 100  # log p̂ without it is some −500 000 nats at width .1
    own = torch.arange(len(rows))
    found = kernel_mean(rows, rows, 0.1, own)
    for i in (0, 7, len(rows) - 1):
        alone = kernel_mean(rows[i : i + 1], rows[own != i], 0.1)
        assert found.log_mean[i].item() == pytest.approx(alone.log_mean.item(), rel=1e-7)
    assert found.log_mean[7] < -100_000
    assert found.count == len(rows) - 1


@pytest.mark.parametrize(
    "mean",
    [
        pytest.param((0.0,), marks=pytest.mark.slow),
        (0.5,),
        (0.3, -0.2),
        pytest.param((0.4, 0.0, 0.3), marks=pytest.mark.slow),
    ],
)
def test_the_truth_of_two_normal_laws_is_inside(mean: tuple[float, ...]) -> None:
    found = bracket(normal(2000, mean, 1), normal(FEWEST, (0.0,) * len(mean), 2))
    assert [one.resolution for one in found] == list(RESOLUTIONS)
    for one in found:
        exact = truth(mean, one.resolution)
        assert one.lower - 3 * one.lower_se <= exact <= one.upper + 3 * one.upper_se, one
        assert one.lower_95 <= one.lower <= one.upper <= one.upper_95
    fine = certified(found)
    assert fine is not None
    assert fine.resolution <= 0.4
    assert fine.width <= 0.1


def test_the_density_of_a_model_tells_what_its_samples_tell() -> None:
    rows, samples = normal(1500, (0.5, 0.0), 3), normal(40_000, (0.0, 0.0), 4)

    def density(y: Tensor) -> Tensor:
        return -y.square().sum(1) / 2 - math.log(2 * math.pi)

    (by_samples,) = bracket(rows, samples, resolutions=(0.3,))
    (by_density,) = bracket(rows, resolutions=(0.3,), densities={0.3: density})
    assert (by_samples.density, by_density.density) == ("samples", "model")
    assert (by_samples.rows, by_density.samples) == (1500, 0)
    assert by_samples.upper == pytest.approx(by_density.upper, abs=0.013)
    assert by_samples.lower == pytest.approx(by_density.lower, abs=0.02)


def test_another_law_can_only_raise_the_lower_side() -> None:
    rows, samples = normal(300, (0.5, 0.0), 5), normal(20_000, (0.0, 0.0), 6)

    def law(y: Tensor, s: float) -> Tensor:
        shift = torch.tensor([0.5, 0.0]) * math.sqrt(1 - s * s)
        return -(y - shift).square().sum(1) / 2 - math.log(2 * math.pi)

    levels = (0.05, 0.2, 0.7)
    found = (bracket(rows, samples, resolutions=levels, reference=beside) for beside in (None, law))
    for alone, beside in zip(*found, strict=True):
        assert beside.upper == alone.upper
        assert beside.lower >= alone.lower


def test_another_law_says_at_the_finest_what_rows_alone_cannot() -> None:
    rows = normal(300, (0.5, 0.0), 5)

    def law(y: Tensor, s: float) -> Tensor:
        shift = torch.tensor([0.5, 0.0]) * math.sqrt(1 - s * s)
        return -(y - shift).square().sum(1) / 2 - math.log(2 * math.pi)

    model = {0.05: lambda y: law(y, 1.0)}
    (alone,) = bracket(rows, resolutions=(0.05,), densities=model)
    (beside,) = bracket(rows, resolutions=(0.05,), densities=model, reference=law)
    assert alone.lower < -1
    assert beside.lower_95 < truth((0.5, 0.0), 0.05) < beside.upper_95
    assert beside.lower == pytest.approx(truth((0.5, 0.0), 0.05), abs=4 * beside.lower_se)


def test_a_model_of_independent_columns_is_found_out() -> None:
    """Its columns are right and the pair is not: the lower level is above 0."""
    drawn = np.random.default_rng(7).normal(size=(22_000, 2))
    pair = torch.from_numpy(np.stack([drawn[:, 0], 0.8 * drawn[:, 0] + 0.6 * drawn[:, 1]], 1))
    rows, samples = pair[:2000], torch.stack([pair[2000:, 0], pair[2000:, 1].flip(0)], 1)
    (found,) = bracket(rows, samples, resolutions=(0.2,))
    a2 = 1 - 0.2**2
    assert 0 < found.lower_95 < -math.log(1 - (0.8 * a2) ** 2) / 2 < found.upper_95
    for column in range(2):
        (one,) = bracket(rows[:, [column]], samples[:, [column]], resolutions=(0.2,))
        assert one.lower_95 < 0.005


def test_a_model_without_mass_where_rows_are_is_found_out() -> None:
    """No sample is near those rows: what their density is at most, is known all the same."""
    rows = torch.cat([normal(800, (0.0, 0.0), 8), normal(200, (8.0, 0.0), 9)])
    samples = normal(40_000, (0.0, 0.0), 10)
    (found,) = bracket(rows, samples, resolutions=(0.4,))
    assert found.lower_95 > 0.1


def test_a_value_that_all_samples_missed_may_still_be_one_of_the_model() -> None:
    """Half of the rows have it, 1 in 10 000 draws of the model, and none of 2000 samples: KL is 3.9 nats."""
    rows = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (500, 1)) / 0.5)
    known = 0.5 * math.log(0.5 / 1e-4) + 0.5 * math.log(0.5 / (1 - 1e-4))
    found = bracket(rows, torch.zeros(2000, 1), resolutions=(0.05, 0.2, 0.5))
    assert [0.5 < one.lower < known for one in found] == [True] * 3
    (column,) = columns_of(rows, torch.zeros(2000, 1), ["a"])
    assert 0.5 < column.least < known


def test_few_samples_widen_the_bracket_and_do_not_move_it() -> None:
    rows = normal(2000, (0.3, 0.0), 11)
    for count in (50, 200, 1000):
        (found,) = bracket(rows, normal(count, (0.0, 0.0), count), resolutions=(0.2,))
        assert found.lower_95 <= truth((0.3, 0.0), 0.2) <= found.upper_95
        assert found.samples == count


def test_equal_seeds_give_equal_figures_and_rows_stay_as_they_are() -> None:
    rows, samples = normal(400, (0.0, 0.0), 12), normal(3000, (0.0, 0.0), 13)
    before = rows.clone(), samples.clone()
    first, second = (bracket(rows, samples, seed=3, resolutions=(0.1, 0.4)) for _ in range(2))
    assert first == second
    assert bracket(rows, samples, seed=4, resolutions=(0.1, 0.4)) != first
    assert torch.equal(rows, before[0])
    assert torch.equal(samples, before[1])


@pytest.mark.parametrize(
    ("rows", "samples", "resolutions", "said"),
    [
        (torch.zeros(1, 2), torch.zeros(9, 2), (0.1,), "two rows or more"),
        (torch.zeros(9), torch.zeros(9, 2), (0.1,), "two rows or more"),
        (torch.zeros(9, 2), torch.zeros(9, 3), (0.1,), "beside rows"),
        (torch.zeros(9, 2), torch.zeros(1, 2), (0.1,), "two samples or more"),
        (torch.zeros(9, 2), None, (0.1,), "give samples"),
        (torch.zeros(9, 2), torch.zeros(9, 2), (1.0,), "above 0 and below 1"),
        (torch.zeros(9, 2), torch.zeros(9, 2), (math.nan,), "above 0 and below 1"),
    ],
)
def test_what_it_cannot_use_is_refused(
    rows: Tensor, samples: Tensor | None, resolutions: tuple[float, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        bracket(rows, samples, resolutions=resolutions)


def test_nothing_is_certified_where_all_is_wide() -> None:
    wide = bracket(normal(60, (0.0,) * 12, 14), normal(500, (0.0,) * 12, 15), resolutions=(0.1, 0.3))
    assert certified(wide) is None
    assert isinstance(wide[0], Bracket)


def test_the_rows_that_are_needed_are_enough_and_not_far_too_many() -> None:
    rows, samples = normal(300, (0.0,) * 3, 0), normal(20_000, (0.0,) * 3, 1)
    needed = rows_needed(rows, 0.3)
    assert needed is not None
    assert needed > 300
    enough = bracket(normal(needed, (0.0,) * 3, 2), samples, resolutions=[0.3])[0]
    fewer = bracket(normal(needed // 4, (0.0,) * 3, 3), samples, resolutions=[0.3])[0]
    assert enough.width < 0.11
    assert fewer.width > 0.1


def test_rows_that_are_enough_already_need_no_more() -> None:
    assert rows_needed(normal(2000, (0.0,), 0), 0.5) == 2000


def test_nobody_has_the_rows_that_many_columns_need_at_a_fine_resolution() -> None:
    assert rows_needed(normal(200, (0.0,) * 60, 0), 0.1) is None


def test_samples_of_a_blurred_law_are_blurred_further() -> None:
    drawn, rows = normal(20_000, (0.5, 0.0), 0), normal(2000, (0.0, 0.0), 1)
    noise = normal(20_000, (0.0, 0.0), 2)
    blurred = math.sqrt(1 - 0.3**2) * drawn + 0.3 * noise
    for plain, own in zip(
        bracket(rows, drawn, resolutions=[0.4, 0.7]),
        bracket(rows, blurred, resolutions=[0.4, 0.7], blurred=0.3),
        strict=True,
    ):
        assert own.upper == pytest.approx(plain.upper, abs=0.02)
        assert own.lower_95 < truth((0.5, 0.0), own.resolution) < own.upper_95
    with pytest.raises(InputError, match="the samples are blurred by"):
        bracket(rows, blurred, resolutions=[0.2], blurred=0.3)


def test_where_a_density_is_given_it_is_used_at_its_resolution_alone() -> None:
    rows, samples = normal(500, (0.0,), 0), normal(5000, (0.0,), 1)
    found = bracket(
        rows, samples, resolutions=[0.3, 0.5], blurred=0.3,
        densities={0.3: lambda y: -y.square().sum(-1) / 2 - math.log(2 * math.pi) / 2},
    )  # fmt: skip
    assert [(one.density, one.samples) for one in found] == [("model", 0), ("samples", 5000)]
    assert all(one.lower_95 < 0 < one.upper_95 for one in found)
