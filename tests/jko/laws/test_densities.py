"""Toy densities: normalised, sampled as evaluated, known entropy."""

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from jko.laws.densities import (
    Density,
    DiagonalGaussian,
    IsotropicMixture,
    PictureDensity,
    eight_gaussians,
    entropy,
    moons,
    rose_picture,
)
from tests.oracles import grid

RNG = np.random.default_rng(0)
OBLONG = PictureDensity(np.where(RNG.random((9, 14)) > 0.7, RNG.random((9, 14)), 0.0))
DENSITIES: dict[str, Density] = {
    "gaussian": DiagonalGaussian(np.array([0.5, -1.0]), np.array([0.4, 1.0])),
    "mixture": IsotropicMixture(np.array([[1.0, 0.0], [-1.0, 2.0], [0.0, -2.0]]), 0.5),
    "moons": moons(),
    "eight_gaussians": eight_gaussians(),
    "rose": PictureDensity(rose_picture(40)),
    "oblong picture": OBLONG,
}
every_density = pytest.mark.parametrize("name", DENSITIES)


@cache
def on_grid(name: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Nodes, log-density there, and the volume of a cell."""
    nodes, cell = grid(2, 6.0, 161)
    return nodes, DENSITIES[name].log_prob(nodes), cell


def all_pixels_log_prob(picture: PictureDensity, x: np.ndarray) -> np.ndarray:
    """Brute force: the mixture over all pixels, one Gaussian half a pixel wide at each."""
    height, width = picture.darkness.shape
    columns, rows = np.meshgrid(np.linspace(-4, 4, width), np.linspace(4, -4, height))
    std = np.array([4 / (width - 1), 4 / (height - 1)])
    weights = (picture.darkness / picture.darkness.sum()).ravel()
    with np.errstate(divide="ignore"):
        each = (
            np.log(weights)
            + stats.norm.logpdf(x[:, :1], columns.ravel(), std[0])
            + stats.norm.logpdf(x[:, 1:], rows.ravel(), std[1])
        )
    return logsumexp(each, axis=1)


@every_density
def test_it_integrates_to_one_and_its_entropy_is_the_same_by_sampling(name: str) -> None:
    """∫p = 1 on a grid; −∫p log p on it equals −E log p over its own samples within 4 SE."""
    _, log_p, cell = on_grid(name)
    p = np.exp(log_p)
    assert p.sum() * cell == pytest.approx(1, abs=1e-3)
    estimate = entropy(DENSITIES[name], rows=4000, seed=1)
    assert 0 < estimate.se < 0.1
    assert abs(estimate.value + (p * np.where(p > 0, log_p, 0)).sum() * cell) < 4 * estimate.se


@every_density
def test_samples_have_the_moments_of_the_density(name: str) -> None:
    """Means and second moments against the grid, within 4 SE: position matters, not entropy alone."""
    nodes, log_p, cell = on_grid(name)
    p, x = np.exp(log_p) * cell, DENSITIES[name].sample(4000, np.random.default_rng(2))
    assert x.shape == (4000, DENSITIES[name].dim)
    for f in (lambda z: z, lambda z: z**2, lambda z: z[:, :1] * z[:, 1:] ** 2):
        values, exact = f(x), (p[:, None] * f(nodes)).sum(0)
        assert (np.abs(values.mean(0) - exact) < 4 * values.std(0) / 4000**0.5).all()


def finite_differences(density: Density, x: np.ndarray, h: float = 1e-4) -> np.ndarray:
    """Gradient of the log-density by a five-point stencil in every direction, shape (rows, d)."""
    return np.stack(
        [
            sum(c * density.log_prob(x + k * h * e) for k, c in ((-2, 1), (-1, -8), (1, 8), (2, -1)))
            / (12 * h)
            for e in np.eye(density.dim)
        ],
        axis=1,
    )


@every_density
def test_score_is_the_gradient_of_the_log_density(name: str) -> None:
    """On its own samples and far from them, where a picture sums all of its pixels."""
    density = DENSITIES[name]
    x = np.concatenate([density.sample(60, np.random.default_rng(14)), [[7.0, -6.5], [-9.0, 3.0]]])
    assert density.score(x).shape == x.shape
    np.testing.assert_allclose(density.score(x), finite_differences(density, x), rtol=1e-6, atol=1e-6)


@every_density
def test_score_has_mean_zero_and_turns_against_the_point(name: str) -> None:
    """E∇log p = 0 and E⟨x, ∇log p⟩ = −d over samples, within 4 SE: Stein's identity."""
    x = DENSITIES[name].sample(4000, np.random.default_rng(15))
    score = DENSITIES[name].score(x)
    for values, exact in ((score, 0), ((x * score).sum(1), -2)):
        assert (np.abs(values.mean(0) - exact) < 4 * values.std(0) / 4000**0.5).all()


@every_density
def test_samples_are_a_function_of_the_generator(name: str) -> None:
    first, again, other = (DENSITIES[name].sample(20, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_diagonal_gaussian_is_scipy_s() -> None:
    density = DiagonalGaussian(np.array([1.0, -2.0, 0.0]), np.array([0.5, 1.0, 3.0]))
    x = density.sample(50, np.random.default_rng(5))
    exact = stats.multivariate_normal(density.mean, np.diag(density.std**2))
    np.testing.assert_allclose(density.log_prob(x), exact.logpdf(x), rtol=1e-12)


def test_entropy_estimate_of_a_diagonal_gaussian_is_the_known_one() -> None:
    """Σ log s + d/2 log 2πe within 4 SE; Var(−log p) = d/2 gives the SE itself."""
    std = np.array([0.3, 1.0, 4.0])
    estimate = entropy(DiagonalGaussian(np.zeros(3), std), rows=4000, seed=6)
    known = np.log(std).sum() + 1.5 * math.log(2 * math.pi * math.e)
    assert abs(estimate.value - known) < 4 * estimate.se
    assert estimate.se == pytest.approx(math.sqrt(1.5 / 4000), rel=0.1)


@pytest.mark.parametrize("rows", [1, 7, 4001])
def test_isotropic_mixture_is_the_mean_of_its_components(rows: int) -> None:
    """Brute force over components, also across the internal batches."""
    centres = np.random.default_rng(7).standard_normal((6, 3))
    x = 3 * np.random.default_rng(8).standard_normal((rows, 3))
    parts = [stats.multivariate_normal(c, 0.49 * np.eye(3)).logpdf(x).reshape(-1) for c in centres]
    exact = logsumexp(np.stack(parts), axis=0) - math.log(6)
    np.testing.assert_allclose(IsotropicMixture(centres, 0.7).log_prob(x), exact, rtol=1e-10)


def test_eight_gaussians_lie_on_their_circle() -> None:
    density = eight_gaussians(radius=2.0, std=0.2)
    np.testing.assert_allclose(np.linalg.norm(density.centres, axis=1), 2.0)
    gaps = np.linalg.norm(density.centres - np.roll(density.centres, 1, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 4 * math.sin(math.pi / 8))


def test_moons_do_not_depend_on_the_number_of_centres() -> None:
    """Denser arcs give the same law: the mixture cannot be told from the continuous arc."""
    x = moons().sample(200, np.random.default_rng(9))
    np.testing.assert_allclose(moons().log_prob(x), moons(points=1024).log_prob(x), atol=0.02)


@pytest.mark.parametrize("picture", [OBLONG, DENSITIES["rose"]], ids=["oblong", "rose"])
def test_picture_density_summed_near_equals_all_pixels(picture: PictureDensity) -> None:
    """On its own samples to rounding; anywhere, beyond the picture too, to exp(−2·6²) of its peak."""
    x = picture.sample(100, np.random.default_rng(10))
    np.testing.assert_allclose(picture.log_prob(x), all_pixels_log_prob(picture, x), rtol=0, atol=1e-9)
    x = np.random.default_rng(11).uniform(-7, 7, (100, 2))
    found, exact = (np.exp(f) for f in (picture.log_prob(x), all_pixels_log_prob(picture, x)))
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=math.exp(-72) / picture.std.prod())


def test_picture_density_far_from_all_dark_pixels_is_still_exact() -> None:
    """One dark pixel: beyond reach the full sum takes over, and the log-density stays finite."""
    darkness = np.zeros((30, 20))
    darkness[3, 4] = 2.0
    picture = PictureDensity(darkness)
    x = np.array([[3.9, -3.9], [-40.0, 7.0], [0.0, 0.0], *picture.centres(np.array([3]), np.array([4]))])
    np.testing.assert_allclose(picture.log_prob(x), all_pixels_log_prob(picture, x), rtol=1e-10)
    alone = picture.centres(np.array([3]), np.array([4]))
    np.testing.assert_allclose(picture.score(x), (alone - x) / picture.std**2, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("picture", [OBLONG, DENSITIES["rose"]], ids=["oblong", "rose"])
def test_picture_score_from_near_pixels_equals_that_from_all(picture: PictureDensity) -> None:
    """Across the internal batches too: the reach that covers the picture sums everything."""
    x = picture.sample(5100, np.random.default_rng(16))
    everything = np.concatenate([picture.score(rows, reach=40) for rows in (x[:5], x[-5:])])
    np.testing.assert_allclose(picture.score(x)[[*range(5), *range(-5, 0)]], everything, rtol=0, atol=1e-9)


def test_picture_density_looks_beyond_a_faint_pixel_to_a_dark_one() -> None:
    """One pixel in a corner of the window, a nearer one just outside: the outer one decides."""
    darkness = np.zeros((30, 30))
    darkness[16, 16], darkness[10, 17] = 0.01, 1.0
    picture = PictureDensity(darkness)
    x = picture.centres(np.array([10]), np.array([10]))
    outer = picture.centres(np.array([10]), np.array([17]))
    np.testing.assert_allclose(picture.log_prob(x), all_pixels_log_prob(picture, x), rtol=1e-12)
    np.testing.assert_allclose(picture.score(x), (outer - x) / picture.std**2, rtol=1e-9, atol=1e-9)


def test_picture_density_stands_upright() -> None:
    """Row 0 is the top, column 0 the left."""
    darkness = np.zeros((5, 9))
    darkness[0, 0] = 1
    x = PictureDensity(darkness).sample(500, np.random.default_rng(12))
    np.testing.assert_allclose(x.mean(0), [-4, 4], atol=0.2)
    np.testing.assert_allclose(x.std(0), [0.5, 1.0], rtol=0.2)


def test_picture_density_does_not_depend_on_the_scale_of_darkness() -> None:
    x = OBLONG.sample(20, np.random.default_rng(13))
    np.testing.assert_allclose(PictureDensity(255 * OBLONG.darkness).log_prob(x), OBLONG.log_prob(x))


@pytest.mark.parametrize(
    "darkness",
    [np.zeros((4, 4)), np.ones((1, 5)), np.ones((5, 1)), np.ones(9), np.ones((3, 3, 3))],
    ids=["all white", "one row", "one column", "a line", "colours"],
)
def test_a_picture_without_a_density_is_refused(darkness: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least 2 × 2 pixels, one of them dark"):
        PictureDensity(darkness)


@pytest.mark.parametrize("bad", [-0.5, np.nan, np.inf], ids=str)
def test_a_picture_with_impossible_darkness_is_refused(bad: float) -> None:
    """'non-negative' is documented; such a pixel would spoil every log-density and sample."""
    darkness = np.ones((4, 4))
    darkness[1, 2] = bad
    with pytest.raises(ValueError):  # noqa: PT011 - any sentence will do
        PictureDensity(darkness)


def test_rose_picture_is_a_picture() -> None:
    rose = rose_picture(64)
    assert rose.shape == (64, 64)
    assert rose.min() == 0
    assert 0.9 < rose.max() <= 1
    assert 0.05 < (rose > 0).mean() < 0.95
    assert not rose[[0, -1]].any()
    assert not rose[:, [0, -1]].any()
