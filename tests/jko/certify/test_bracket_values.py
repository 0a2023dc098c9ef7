"""The bracket's figures beside its definition: every term, both ways to bound log q, every error."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm
from torch import Tensor

from jko.certify import bracket as module
from jko.certify import projections as lattice
from jko.certify.bracket import bracket, rows_needed
from jko.certify.projections import columns_of, pairs_of
from jko.certify.resolution import Bracket
from jko.config.sections import RESOLUTIONS
from jko.core.errors import InputError
from jko.core.seeds import counter_seed, generator
from jko.statistics.kernel_sums import KernelMean
from tests.jko.certify.in_the_open import both_sides, level, logs, mean_of, relative_of
from tests.oracles import normal

S, COARSE = 0.3, 0.6
ROWS = torch.cat([0.8 * normal(38, 2, seed=1) + 0.2, torch.tensor([[3.0, 3.0], [4.0, -4.0]]).double()])
SAMPLES = normal(300, 2, seed=2)


def drawn(rows: int = 40, dim: int = 2, draws: int = 4, seed: int = 0) -> Tensor:
    return torch.randn((draws, rows, dim), generator=generator(seed, "bracket"), dtype=torch.float64)


def scaled(s: float = S) -> Tensor:
    return math.sqrt(1 - s * s) * ROWS


def same(found: Bracket, upper: tuple[float, float], lower: tuple[float, float], step: float = 1.645) -> None:
    for name, value in (
        ("upper", upper[0]), ("upper_se", upper[1]), ("upper_95", upper[0] + 1.645 * upper[1]),
        ("lower", lower[0]), ("lower_se", lower[1]), ("lower_95", lower[0] - step * lower[1]),
    ):  # fmt: skip
        assert found.figure(name) == pytest.approx(value, rel=1e-7, abs=1e-9), name


def noise_of(model: np.ndarray, parts: int = 16) -> float:
    """How far the mean of log q̂ moves from one sixteenth of the samples to another, over √16."""
    whole = mean_of(model)
    pieces = np.array_split(model, parts, axis=1)
    moved = [np.expm1(mean_of(piece) - whole).mean() for piece in pieces]
    return float(np.std(moved, ddof=1) / math.sqrt(len(moved)))


@pytest.mark.parametrize("seed", [0, 5])
def test_a_bracket_by_samples(seed: int) -> None:
    """Rows beyond all samples are among them, so that both ways to bound log q are taken."""
    (found,) = bracket(ROWS, SAMPLES, resolutions=(S,), seed=seed)
    a = math.sqrt(1 - S * S)
    told = both_sides(scaled().numpy(), drawn(seed=seed).numpy(), S, a * SAMPLES.numpy(), S)
    assert 0 < told["near"].mean() < 1
    noise = noise_of(told["model"])
    same(found, level(told["upper"], noise), level(told["lower"], noise))
    assert (found.resolution, found.rows, found.samples, found.density) == (S, 40, 300, "samples")
    assert bracket(ROWS.float(), SAMPLES, resolutions=(S,))[0].rows == 40
    if seed == 0:
        assert bracket(ROWS, SAMPLES, resolutions=(S,)) == [found]


def test_samples_that_are_blurred_already_are_blurred_by_what_is_left() -> None:
    (found,) = bracket(ROWS, SAMPLES, resolutions=(S,), blurred=0.2)
    keep = math.sqrt((1 - S * S) / (1 - 0.04))
    told = both_sides(
        scaled().numpy(), drawn().numpy(), S, keep * SAMPLES.numpy(), math.sqrt(1 - keep * keep)
    )
    noise = noise_of(told["model"])
    same(found, level(told["upper"], noise), level(told["lower"], noise))


def law(y: Tensor, s: float = 1.0) -> Tensor:
    return -0.5 * (y - s / 3).square().sum(1) - math.log(2 * math.pi)


def by_law() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log p̂ with and without the own row, and the law, at the points, by row."""
    y = (scaled() + S * drawn()).flatten(0, 1)
    kernels = logs(y.numpy(), scaled().numpy(), S)
    whole = mean_of(kernels)
    kernels[np.arange(160), np.tile(np.arange(40), 4)] = -math.inf
    others = np.log(np.exp(kernels).sum(1) / 39)
    return whole, others, y.numpy()


def by_row(values: np.ndarray) -> np.ndarray:
    return values.reshape(4, 40).mean(0)


def test_a_bracket_by_a_density() -> None:
    (found,) = bracket(ROWS, SAMPLES, resolutions=(S,), densities={S: law})
    whole, others, y = by_law()
    own = law(torch.from_numpy(y)).numpy()
    same(found, level(by_row(whole - own), 0.0), level(by_row(others - own), 0.0))
    assert (found.rows, found.samples, found.density) == (40, 0, "model")
    assert bracket(ROWS, resolutions=(S,), densities={S: law}) == [found]


@pytest.mark.parametrize("better", [True, False])
def test_the_lower_side_takes_the_better_of_two_at_its_own_level(better: bool) -> None:
    shift = 0.0 if better else -9.0
    asked = []

    def beside(at: Tensor, s: float) -> Tensor:
        asked.append(s)
        return (law(at, 0.0) + shift).float()

    (found,) = bracket(ROWS, resolutions=(S,), densities={S: law}, reference=beside)
    whole, others, y = by_law()
    own, other = law(torch.from_numpy(y)).numpy(), law(torch.from_numpy(y), 0.0).float().double().numpy()
    lower = other if better else others
    same(found, level(by_row(whole - own), 0.0), level(by_row(lower - own), 0.0), 1.96)
    assert asked == [S]


def test_another_law_stands_beside_samples_too() -> None:
    (alone,), (found,) = (
        bracket(ROWS, SAMPLES, resolutions=(S,), reference=reference)
        for reference in (None, lambda at, s: law(at, 0.0))
    )
    assert (found.upper, found.upper_se) == (alone.upper, alone.upper_se)
    assert found.lower > alone.lower
    assert found.lower_95 == pytest.approx(found.lower - 1.96 * found.lower_se)


def test_log_q_is_below_one_figure_where_samples_are_near_and_below_another_where_not() -> None:
    """20 samples: ten effective ones are near, and so is q̂ that a sample at the own row would just double."""
    edge = -1.5 + math.log(20)
    model = KernelMean(
        torch.tensor([-1.5, -1.5, -1.5, -1.5]).double(),
        torch.tensor([1.0, 1.01, 1.0, 1.0]).double(),
        edge + 1,
        20,
    )
    noise = torch.tensor([[[1.0, 1.0], [3.0, 3.0]], [[0.5, 1.3], [1.0, 2.0]]]).double()
    t = math.log(200)
    assert model.log_mean[0] + math.log(20) == model.peak - 1
    found = module.log_above(model, noise).tolist()
    for i, (relative, near) in enumerate(((1.0, True), (1.01, False), (1.0, False), (1.0, True))):
        rare = math.log(
            math.exp(-1.5) * (1 + math.sqrt(2 * relative * t / 20)) + math.exp(edge + 1) * 7 * t / (3 * 19)
        )
        assert found[i] == pytest.approx(-1.5 + relative / 40 if near else rare, rel=1e-9)


def test_every_resolution_has_its_own_and_the_usual_ones_are_taken() -> None:
    found = bracket(ROWS, SAMPLES)
    assert [one.resolution for one in found] == list(RESOLUTIONS)
    assert found[-1] == bracket(ROWS, SAMPLES, resolutions=RESOLUTIONS[-1:])[0]
    mixed = bracket(ROWS, SAMPLES, resolutions=(0.5, S), densities={S: law})
    assert [one.density for one in mixed] == ["samples", "model"]


@pytest.mark.parametrize(("rows", "draws"), [(40, 4), (1024, 4), (1025, 3), (4096, 1), (5000, 1)])
def test_some_draws_of_noise_a_row_and_one_at_least(rows: int, draws: int) -> None:
    assert module._noise(torch.zeros(rows, 1), 3).shape == (draws, rows, 1)
    assert torch.equal(module._noise(torch.zeros(rows, 1), 3), drawn(rows, 1, draws, 3))


def test_as_many_samples_as_their_noise_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fifth point of 1280 says how many: the mean relative variance over twice the noise wanted."""
    points, centres = 0.5 * normal(1280, 1, seed=1), normal(4000, 1, seed=2)
    variance = relative_of(logs(points[::5].numpy(), centres.numpy(), S))
    monkeypatch.setattr(module, "FEWEST", 100)
    monkeypatch.setattr(module, "SAMPLE_NOISE", 0.0021)
    wanted = math.ceil(variance.mean() / 0.0042)
    assert 100 < wanted < 4000
    found, noise = module._model(points, centres, S)
    assert found.count == wanted
    whole = logs(points.numpy(), centres[:wanted].numpy(), S)
    np.testing.assert_allclose(found.log_mean.numpy(), mean_of(whole), rtol=1e-9, atol=1e-12)
    assert noise == pytest.approx(noise_of(whole), rel=1e-9)
    monkeypatch.setattr(module, "FEWEST", 3000)
    assert module._model(points, centres, S)[0].count == 3000
    assert module._model(points, centres[:70], S)[0].count == 70
    few, spread = module._model(points, centres[:5], S)
    assert few.count == 5
    assert spread == pytest.approx(noise_of(logs(points.numpy(), centres[:5].numpy(), S), 5), rel=1e-9)


def test_fifteen_equal_samples_are_not_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """15/(1 + .4) is above ten: the noise says how many, and not the fewest."""
    monkeypatch.setattr(module, "FEWEST", 3)
    monkeypatch.setattr(module, "SAMPLE_NOISE", 0.02)
    points, centres = torch.zeros(1, 1).double(), torch.linspace(0.0, 0.55, 15).double()[:, None]
    (relative,) = relative_of(logs(points.numpy(), centres.numpy(), S))
    assert 10 < 15 / (1 + relative) < 15
    assert 15 / (2 + relative) < 10
    wanted = math.ceil(relative / 0.04)
    assert 3 < wanted < 15
    assert module._model(points, centres, S)[0].count == wanted


@pytest.mark.parametrize(("place", "in_vain"), [(0.0, False), (6.0, True)])
def test_where_all_samples_are_too_few_some_are_enough(
    monkeypatch: pytest.MonkeyPatch, place: float, in_vain: bool
) -> None:
    monkeypatch.setattr(module, "FEWEST", 100)
    points, centres = normal(50, 1, seed=1) * 0.1 + place, normal(4000, 1, seed=2)
    relative = relative_of(logs(points.numpy(), centres.numpy(), 0.1))
    assert (np.median(4000 / (1 + relative)) < 10) == in_vain
    count = 100 if in_vain else math.ceil(relative.mean() / 0.004)
    assert module._model(points, centres, 0.1)[0].count == min(count, 4000)


def width_at(count: float) -> float:
    """U − L with so many rows: the mean of log(1 + k/((m' − 1) p̂₋)), of the rows that are not far away."""
    rows, noise = scaled(COARSE)[:38].numpy(), drawn(38).numpy()
    kernels = logs((rows + COARSE * noise).reshape(-1, 2), rows, COARSE)
    own = np.arange(152), np.tile(np.arange(38), 4)
    k = np.exp(kernels[own])
    kernels[own] = -math.inf
    return float(np.log1p(k / (np.exp(kernels).sum(1) / 37) / (count - 1)).mean())


def test_the_rows_that_are_needed_solve_their_equation() -> None:
    """The search stops within 1 %."""
    edge = width_at(38)
    for width in (0.1, 0.05):
        root = brentq(lambda count, width=width: width_at(count) - width, 38, 1e9)
        assert root < module.MOST_ROWS
        found = rows_needed(ROWS[:38], COARSE, **({} if width == 0.1 else {"width": width}))
        assert found is not None
        assert root <= found <= 1.0101 * root + 1
    assert rows_needed(ROWS[:38], COARSE, width=edge + 1e-9) == 38
    assert rows_needed(ROWS[:38], COARSE, width=edge - 1e-6) == 39
    assert rows_needed(ROWS[:38], COARSE, width=0.05, seed=1) != rows_needed(ROWS[:38], COARSE, width=0.05)


def searched(width: float) -> int:
    """By halving the logarithm between the rows there are and the most, to a row or to 1 %."""
    low, high = 38.0, 1e7
    while high - low > 1 and high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if width_at(middle) > width else (low, middle)
    return math.ceil(high)


def test_the_search_stops_at_a_row_or_at_one_percent() -> None:
    few = [width_at(count) for count in (39.2, 41.5, 43.3, 47.9, 52.1, 60.4, 71.7)]
    many = [width_at(count) for count in (150, 450.5, 3000, 40_000, 700_000)]
    assert [rows_needed(ROWS[:38], COARSE, width=one) for one in (*few, *many)] == list(
        map(searched, (*few, *many))
    )


def test_a_width_that_is_reached_is_narrow_enough() -> None:
    _, others, own = module._others(ROWS[:38], module._noise(ROWS[:38], 0), COARSE)

    def exactly(count: float) -> float:
        return float(torch.log1p(torch.exp(own - others.log_mean) / (count - 1)).mean())

    middle = math.sqrt(38.0 * 1e7)
    assert rows_needed(ROWS[:38], COARSE, width=exactly(38)) == 38
    assert rows_needed(ROWS[:38], COARSE, width=exactly(middle)) == math.ceil(middle)
    assert rows_needed(ROWS[:38], COARSE, width=exactly(1e7)) == 10_000_000


def test_beyond_the_most_rows_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    root = brentq(lambda count: width_at(count) - 0.07, 38, 1e9)
    monkeypatch.setattr(module, "MOST_ROWS", math.ceil(root))
    assert rows_needed(ROWS[:38], COARSE, width=0.07) == math.ceil(root)
    monkeypatch.setattr(module, "MOST_ROWS", math.floor(root))
    assert rows_needed(ROWS[:38], COARSE, width=0.07) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"held_out": torch.zeros(1, 2)}, "a bracket needs two rows or more, shape (m, d), and not (1, 2)"),
        ({"held_out": torch.zeros(9)}, "a bracket needs two rows or more, shape (m, d), and not (9,)"),
        ({"resolutions": (0.2, 0.0)}, "resolution 0: a number above 0 and below 1 is needed"),
        ({"resolutions": (1.0,)}, "resolution 1: a number above 0 and below 1 is needed"),
        ({"samples": None}, "give samples of the model, or its log-density at every resolution"),
        ({"samples": torch.zeros(9)}, "samples of shape (9,) beside rows (5, 2)"),
        ({"samples": torch.zeros(9, 3)}, "samples of shape (9, 3) beside rows (5, 2)"),
        ({"samples": torch.zeros(1, 2)}, "a bracket needs two samples or more"),
        ({"blurred": 0.2}, "resolution 0.2: the samples are blurred by 0.2 already"),
        (
            {"blurred": 0.25, "resolutions": (0.3, 0.21)},
            "resolution 0.21: the samples are blurred by 0.25 already",
        ),
    ],
)
def test_what_it_cannot_use_is_said(given: dict[str, object], said: str) -> None:
    usual = {"held_out": torch.zeros(5, 2), "samples": torch.zeros(9, 2), "resolutions": (0.2,)}
    with pytest.raises(InputError) as told:
        bracket(**(usual | given))
    assert str(told.value) == said


def test_two_rows_and_two_samples_will_do() -> None:
    assert len(bracket(ROWS[:2], SAMPLES[:2], resolutions=(0.5,))) == 1
    assert len(bracket(ROWS, SAMPLES, resolutions=(0.2, 0.5), densities={0.2: law}, blurred=0.3)) == 2


def on_the_lattice(
    rows: np.ndarray, samples: np.ndarray, s: float, seed: int, points: int = 8192
) -> dict[str, tuple[float, float]]:
    """The bracket of rows and samples in cells of s/4, with the normal law of the lattice."""
    step, a = s / 4, math.sqrt(1 - s * s)
    own, model = (np.rint(a * np.clip(part, -6, 6) / step) for part in (rows, samples))
    offsets = np.arange(-24, 25)
    chances = np.exp(-((offsets / 4) ** 2) / 2)
    draws = max(1, min(16, points // len(rows)))
    noise = np.random.default_rng(counter_seed(seed, "lattice")).choice(
        offsets, size=(draws, *own.shape), p=chances / chances.sum()
    )
    told = both_sides(own * step, noise / 4, s, model * step, s)
    shares = np.exp(told["model"] - mean_of(told["model"])[:, None]).mean(0)
    spread = float(shares.std() / math.sqrt(len(samples)))
    return {side: level(told[side], spread) for side in ("upper", "lower")}


NEAR_ROWS = np.clip(0.7 * normal(60, 3, seed=11).numpy() + 0.1, -1.6, 1.6)
NEAR_SAMPLES = normal(400, 3, seed=12).numpy()


def close(found: Bracket, told: dict[str, tuple[float, float]]) -> None:
    for side, step in (("upper", 1.645), ("lower", -1.645)):
        value, se = told[side]
        assert found.figure(side) == pytest.approx(value, rel=1e-4, abs=1e-5)
        assert found.figure(f"{side}_se") == pytest.approx(se, rel=1e-4)
        assert found.figure(f"{side}_95") == pytest.approx(value + step * se, rel=1e-4, abs=1e-5)


def test_columns_on_the_lattice_are_those_of_all_pairs() -> None:
    found = columns_of(torch.from_numpy(NEAR_ROWS), torch.from_numpy(NEAR_SAMPLES), ["a", "b", "c"], seed=3)
    assert [one.columns for one in found] == [("a",), ("b",), ("c",)]
    for i, one in enumerate(found):
        assert [at.resolution for at in one.bracket] == [0.05, 0.1, 0.2, 0.4]
        for at in one.bracket[2:]:
            close(at, on_the_lattice(NEAR_ROWS[:, [i]], NEAR_SAMPLES[:, [i]], at.resolution, 3))
            assert (at.rows, at.samples, at.density) == (60, 400, "samples")
    usual = columns_of(torch.from_numpy(NEAR_ROWS), torch.from_numpy(NEAR_SAMPLES), ["a"])
    close(usual[0].bracket[3], on_the_lattice(NEAR_ROWS[:, [0]], NEAR_SAMPLES[:, [0]], 0.4, 0))


@pytest.mark.parametrize("points", [50, 150])
def test_as_many_draws_of_the_noise_as_make_the_points(monkeypatch: pytest.MonkeyPatch, points: int) -> None:
    """One draw of 60 rows at least, and two that fit in 150."""
    monkeypatch.setattr(lattice, "POINTS", points)
    rows, samples = torch.from_numpy(NEAR_ROWS[:, :1]), torch.from_numpy(NEAR_SAMPLES[:, :1])
    (found,) = columns_of(rows, samples, ["a"], resolutions=(0.4,))
    close(found.bracket[0], on_the_lattice(NEAR_ROWS[:, [0]], NEAR_SAMPLES[:, [0]], 0.4, 0, points))


@pytest.mark.parametrize("dim", [1, 2])
def test_sums_on_the_lattice_are_those_of_all_centres_also_far_away(dim: int) -> None:
    """The last point and the last centre are beyond the filter's reach of all others, and one is left out."""
    grid = lattice._Lattice(0.2, dim)
    rng = np.random.default_rng(4)
    centres = np.concatenate([rng.integers(-8, 9, (30, dim)), np.full((1, dim), 110)])
    points = np.concatenate([centres + rng.integers(-3, 4, centres.shape), np.full((1, dim), -50)])
    grid.span(points, centres)
    y, c = points * 0.05, centres * 0.05
    kernels = logs(y, c, 0.2)
    peak = -dim * math.log(0.2 * math.sqrt(2 * math.pi))
    found = lattice._means(grid, points, centres, None)
    assert (found.peak, found.count) == (pytest.approx(peak, rel=1e-12), 31)
    np.testing.assert_allclose(found.log_mean.numpy(), mean_of(kernels), rtol=1e-6)
    np.testing.assert_allclose(found.relative_variance.numpy(), relative_of(kernels), rtol=1e-5, atol=1e-6)
    out = np.append(np.arange(31), 3)
    left = np.exp(kernels[np.arange(32), out] - peak)
    found = lattice._means(grid, points, centres, (out, left))
    np.testing.assert_array_equal(
        lattice._means(grid, points, centres, (out, left), spread=False).log_mean, found.log_mean
    )
    rest = np.stack([np.delete(row, i) for row, i in zip(kernels, out, strict=True)])
    assert found.count == 30
    np.testing.assert_allclose(found.log_mean.numpy(), mean_of(rest), rtol=1e-6)
    np.testing.assert_allclose(found.relative_variance.numpy(), relative_of(rest), rtol=1e-5, atol=1e-6)


def test_pairs_on_the_lattice_are_those_of_all_pairs() -> None:
    found = pairs_of(torch.from_numpy(NEAR_ROWS), torch.from_numpy(NEAR_SAMPLES), ["a", "b", "c"], seed=3)
    assert {one.columns for one in found} == {("a", "b"), ("a", "c"), ("b", "c")}
    for one in found:
        assert [at.resolution for at in one.bracket] == [0.1, 0.2, 0.4]
    (last,) = (one for one in found if one.columns == ("a", "c"))
    close(last.bracket[2], on_the_lattice(NEAR_ROWS[:, [0, 2]], NEAR_SAMPLES[:, [0, 2]], 0.4, 3))
    usual = pairs_of(torch.from_numpy(NEAR_ROWS), torch.from_numpy(NEAR_SAMPLES), ["a", "b"])
    close(usual[0].bracket[2], on_the_lattice(NEAR_ROWS[:, :2], NEAR_SAMPLES[:, :2], 0.4, 0))


def test_the_least_is_at_95_percent_of_all_together() -> None:
    """Three columns at two resolutions: 5 % over six."""
    rows, samples = torch.from_numpy(NEAR_ROWS), torch.from_numpy(2.5 * NEAR_SAMPLES)
    found = columns_of(rows, samples, ["a", "b", "c"], resolutions=(0.2, 0.4))
    for one in found:
        lows = [at.lower - norm.isf(0.05 / 6) * at.lower_se for at in one.bracket]
        assert one.least == pytest.approx(max(0.0, *lows))
    assert max(one.least for one in found) > 0
    pairs = pairs_of(rows, samples, ["a", "b", "c"], resolutions=(0.2, 0.4))
    assert [one.least for one in pairs] == sorted((one.least for one in pairs), reverse=True)


def test_of_a_single_figure_it_is_the_plain_level() -> None:
    rows, samples = torch.from_numpy(NEAR_ROWS), torch.from_numpy(2.5 * NEAR_SAMPLES)
    (found,) = columns_of(rows[:, :1], samples[:, :1], ["a"], resolutions=(0.2,))
    assert found.least > 0
    assert found.least == pytest.approx(found.bracket[0].lower - norm.isf(0.05) * found.bracket[0].lower_se)


def test_the_lattice_holds_the_farthest_noise_of_the_farthest_row() -> None:
    """Six deviations are 54.99 cells, and the noise reaches 24 more; samples may lie farther out."""
    found = lattice._Lattice(0.4, 1)
    rows = found.cells(np.array([[9.0], [-9.0]]))
    found.span(rows, rows[:1])
    far = rows + np.array([[24], [-24]])
    assert far.tolist() == [[79], [-79]]
    assert found.at(far).tolist() == [158, 0]
    assert found.shape == (160,)  # 159, to the end of a band
    found.span(rows[:1] // 5, rows)
    assert found.at(rows).tolist() == [110, 0]
    assert found.shape == (128,)


@pytest.mark.parametrize("shape", [(32,), (160,), (32, 96), (96, 32)])
def test_the_filter_is_the_sum_over_all_cells(shape: tuple[int, ...]) -> None:
    """A line of cells asks for the 24 before and behind it."""
    grid = lattice._Lattice(0.2, len(shape))
    values = np.random.default_rng(1).poisson(0.05, [side + 48 for side in shape]).astype(float)
    known = values
    for axis, side in enumerate(shape):
        apart = np.abs(np.subtract.outer(np.arange(24, side + 24), np.arange(side + 48)))
        band = np.where(apart <= 24, np.exp(-((apart / 4) ** 2) / 2), 0.0)
        known = np.moveaxis(np.tensordot(band, known, (1, axis)), 0, axis)
    np.testing.assert_allclose(lattice._filtered(values, grid.bands[0]), known, rtol=1e-12)


def test_the_lattice_ends_where_rows_and_samples_do_and_tells_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, samples = torch.from_numpy(NEAR_ROWS[:, :2]), torch.from_numpy(NEAR_SAMPLES[:, :2])
    (short,) = pairs_of(rows, samples, ["a", "b"])
    sizes, span = [], lattice._Lattice.span

    def whole(self: lattice._Lattice, own: np.ndarray, model: np.ndarray) -> None:
        span(self, own, model)
        sizes.append(self.shape)
        self.lowest, self.shape = np.array([-320, -320]), (640, 640)

    monkeypatch.setattr(lattice._Lattice, "span", whole)
    (wide,) = pairs_of(rows, samples, ["a", "b"])
    assert max(map(max, sizes)) <= 320  # 529 cells are six deviations at s = .1
    for one, other in zip(short.bracket, wide.bracket, strict=True):
        for name in ("upper", "upper_95", "lower", "lower_95"):
            assert one.figure(name) == pytest.approx(other.figure(name), rel=1e-10, abs=1e-12)


def test_of_many_columns_the_pairs_of_largest_correlation_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice, "ALL_COLUMNS", 2)
    monkeypatch.setattr(lattice, "MOST_PAIRS", 2)
    rows = normal(200, 3, seed=1)
    rows[:, 2] -= 2 * rows[:, 0]
    rows[:, 1] += 0.5 * rows[:, 2]
    others = normal(200, 3, seed=2)
    for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (1, 0, 2)):
        turned = rows[:, list(order)]
        kept = pairs_of(turned, others, ["a", "b", "c"], resolutions=(0.4,))
        related = np.abs(np.corrcoef(turned.numpy(), rowvar=False))
        by_size = sorted(((0, 1), (0, 2), (1, 2)), key=lambda pair: -related[pair])
        assert {one.columns for one in kept} == {("abc"[i], "abc"[j]) for i, j in by_size[:2]}
    monkeypatch.setattr(lattice, "ALL_COLUMNS", 3)
    assert len(pairs_of(rows, others, ["a", "b", "c"], resolutions=(0.4,))) == 3
    assert len(pairs_of(rows[:, :2], rows[:, :2], ["a", "b"], resolutions=(0.4,))) == 1
