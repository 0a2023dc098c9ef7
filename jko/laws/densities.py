"""Toy laws: densities with a known log-density, and so a known entropy; and a curve without."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

Array = NDArray[np.float64]


class Density(Protocol):
    """A law one can sample from and evaluate."""

    @property
    def dim(self) -> int:
        """Dimension d."""

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, d)."""

    def log_prob(self, x: Array) -> Array:
        """Log-density in nats, shape (rows, d) to (rows,)."""

    def score(self, x: Array) -> Array:
        """Gradient of the log-density, 1/data unit, shape (rows, d) to (rows, d)."""


@dataclass(frozen=True)
class Estimate:
    """A Monte-Carlo mean with its standard error.

    Args:
        value: the mean.
        se: its standard error.
        tail: of rows that are at least 0, how much of the mean few of them carry, see
            :func:`jko.statistics.tails.tail_of`; 0 where that is not known.
    """

    value: float
    se: float
    tail: float = 0.0


def entropy(density: Density, *, rows: int = 20_000, seed: int = 0) -> Estimate:
    """Differential entropy −E log p in nats, by Monte Carlo with its standard error."""
    x = density.sample(rows, np.random.default_rng(seed))
    values = -density.log_prob(x)
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(rows)))


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(mean, diag(std²)).

    Args:
        mean: shape (d,).
        std: shape (d,).
    """

    mean: Array
    std: Array

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.mean)

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, d)."""
        return self.mean + self.std * rng.standard_normal((rows, self.dim))

    def log_prob(self, x: Array) -> Array:
        """Log-density in nats, shape (rows,)."""
        z = (x - self.mean) / self.std
        return -0.5 * (z**2).sum(-1) - np.log(self.std).sum() - 0.5 * self.dim * math.log(2 * math.pi)

    def score(self, x: Array) -> Array:
        """Gradient of the log-density, shape (rows, d)."""
        return (self.mean - x) / self.std**2


@dataclass(frozen=True)
class IsotropicMixture:
    """Mixture of equally weighted Gaussians N(centre, std² I).

    Args:
        centres: shape (components, d).
        std: common standard deviation.
    """

    centres: Array
    std: float

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.centres.shape[1]

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, d)."""
        chosen = self.centres[rng.integers(len(self.centres), size=rows)]
        return chosen + self.std * rng.standard_normal(chosen.shape)

    def log_prob(self, x: Array) -> Array:
        """Log-density in nats, shape (rows,)."""
        constant = math.log(len(self.centres)) + self.dim * math.log(self.std * math.sqrt(2 * math.pi))
        return np.concatenate([logsumexp(each, axis=1) for _, each in self._exponents(x)]) - constant

    def score(self, x: Array) -> Array:
        """Gradient of the log-density, shape (rows, d)."""
        parts = [softmax(each, axis=1) @ self.centres - rows for rows, each in self._exponents(x)]
        return np.concatenate(parts) / self.std**2

    def _exponents(self, x: Array) -> Iterator[tuple[Array, Array]]:
        """Rows in batches, with −|row − centre|²/(2 std²), shape (batch, components)."""
        for rows in np.array_split(x, max(1, len(x) // 2000)):
            yield rows, -((rows[:, None, :] - self.centres) ** 2).sum(-1) / (2 * self.std**2)


def moons(std: float = 0.1, points: int = 128) -> IsotropicMixture:
    """Two interleaved half circles of radius 1, blurred by a Gaussian of the given width.

    The half circles are ``points`` equally spaced centres each; their spacing is a quarter of
    the default width, so the mixture cannot be told from the continuous arc.
    """
    angle = (np.arange(points) + 0.5) * math.pi / points
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    return IsotropicMixture(np.concatenate([upper, lower]), std)


def eight_gaussians(radius: float = 2.0, std: float = 0.2) -> IsotropicMixture:
    """Eight Gaussians equally spaced on a circle."""
    angle = np.arange(8) * math.pi / 4
    return IsotropicMixture(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), std)


def trefoil(angle: Array) -> Array:
    r"""Points of a closed curve in the plane, a trefoil knot seen from above.

    .. math:: x = \sin t + 2 \sin 2t, \quad y = \cos t - 2 \cos 2t

    The curve has three crossings and lies between the circles of radius 1 and 3. With t uniform on
    [0, 2π) it is a law without density, of mean 0 and covariance 2.5 I.

    Args:
        angle: t, shape (rows,).

    Returns:
        Shape (rows, 2).
    """
    return np.stack([np.sin(angle) + 2 * np.sin(2 * angle), np.cos(angle) - 2 * np.cos(2 * angle)], axis=1)


@dataclass(frozen=True)
class PictureDensity:
    """The density of a picture on [−4, 4]²: at every pixel a Gaussian half a pixel wide.

    Weights are the pixels' darkness. Pixel centres are equally spaced from −4 to 4 in both
    directions, so a picture that is not square has pixels that are not.

    Args:
        darkness: shape (height, width), both at least 2, non-negative, not all zero; row 0 is
            the top.
    """

    darkness: Array

    def __post_init__(self) -> None:
        darkness = self.darkness
        if darkness.ndim != 2 or min(darkness.shape) < 2 or not np.any(darkness > 0):
            raise ValueError("a picture density needs at least 2 × 2 pixels, one of them dark")
        if not np.all(np.isfinite(darkness)) or np.any(darkness < 0):
            raise ValueError("a picture density needs finite darkness, nowhere below zero")

    @property
    def dim(self) -> int:
        """Dimension, 2."""
        return 2

    @property
    def pixel(self) -> Array:
        """Width and height of a pixel in data units, shape (2,)."""
        height, width = self.darkness.shape
        return np.array([8.0 / (width - 1), 8.0 / (height - 1)])

    @property
    def std(self) -> Array:
        """Width of each pixel's Gaussian: half a pixel, shape (2,)."""
        return 0.5 * self.pixel

    def centres(self, row: NDArray[np.integer], column: NDArray[np.integer]) -> Array:
        """Positions of pixels by index, shape (…, 2); y points up."""
        wide, high = self.pixel
        return np.stack([-4 + column * wide, 4 - row * high], axis=-1)

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, 2)."""
        weights = self.darkness.ravel() / self.darkness.sum()
        chosen = rng.choice(len(weights), size=rows, p=weights)
        row, column = np.unravel_index(chosen, self.darkness.shape)
        return self.centres(row, column) + self.std * rng.standard_normal((rows, 2))

    def log_prob(self, x: Array, *, reach: int = 6) -> Array:
        """Log-density in nats, shape (rows,).

        Pixels within ``reach`` of the nearest one are summed; others weigh less than
        exp(−2·reach²) of a pixel at the point. Where the sum is so small that darker pixels beyond
        might count, all are summed.
        """
        return self._summed(x, reach)[0] - self._log_constant()

    def score(self, x: Array, *, reach: int = 6) -> Array:
        r"""Gradient of the log-density, shape (rows, 2), from the same pixels as :meth:`log_prob`.

        .. math:: (\bar c(x) - x) / s^2, \quad \bar c \text{ the pixels' mean centre seen from } x
        """
        return (self._summed(x, reach)[1] - x) / self.std**2

    def _summed(self, x: Array, reach: int) -> tuple[Array, Array]:
        """:func:`_log_sum_and_mean` over the near pixels, or all of them where the near ones are faint."""
        batches = np.array_split(x, max(1, len(x) // 5000))
        log_sum, mean = _concatenate(_log_sum_and_mean(*self._near_pixels(b, reach)) for b in batches)
        faintest = math.log(self.darkness[self.darkness > 0].min())
        far = log_sum < faintest - 0.5 * reach**2
        if far.any():
            batches = np.array_split(x[far], max(1, far.sum() // 100))
            log_sum[far], mean[far] = _concatenate(_log_sum_and_mean(*self._all_pixels(b)) for b in batches)
        return log_sum, mean

    def _exponent(self, x: Array, centres: Array) -> Array:
        return -0.5 * (((x - centres) / self.std) ** 2).sum(-1)

    def _log_constant(self) -> float:
        return math.log(self.darkness.sum()) + math.log(2 * math.pi * self.std.prod())

    def _near_pixels(self, x: Array, reach: int) -> tuple[Array, Array, Array]:
        """Exponents, darkness and centres of the pixels in a window around each row."""
        height, width = self.darkness.shape
        offset = np.arange(-reach, reach + 1)
        across, down = (each.ravel() for each in np.meshgrid(offset, offset))
        wide, high = self.pixel
        row = np.rint((4 - x[:, 1]) / high)[:, None] + down
        column = np.rint((x[:, 0] + 4) / wide)[:, None] + across
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        weight = (
            self.darkness[np.clip(row, 0, height - 1).astype(int), np.clip(column, 0, width - 1).astype(int)]
            * inside
        )
        centres = self.centres(row, column)
        return self._exponent(x[:, None, :], centres), weight, centres

    def _all_pixels(self, x: Array) -> tuple[Array, Array, Array]:
        """Exponents, darkness and centres of all dark pixels."""
        row, column = np.nonzero(self.darkness > 0)
        centres = self.centres(row, column)
        return self._exponent(x[:, None, :], centres), self.darkness[row, column], centres


def _log_sum_and_mean(exponent: Array, weight: Array, centres: Array) -> tuple[Array, Array]:
    """The value log Σ weight·exp(exponent), shape (rows,), and the mean centre under these terms, (rows, d).

    Args:
        exponent: shape (rows, terms).
        weight: shape (rows, terms) or (terms,); where a row's are all 0 its mean is nan.
        centres: shape (rows, terms, d) or (terms, d).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        log_sum = logsumexp(exponent, b=weight, axis=1)
        share = np.exp(exponent + np.log(weight) - log_sum[:, None])
        return log_sum, (share[:, None, :] @ centres)[:, 0]


def _concatenate(parts: Iterable[tuple[Array, Array]]) -> tuple[Array, Array]:
    log_sums, means = zip(*parts, strict=True)
    return np.concatenate(log_sums), np.concatenate(means)


def rose_picture(size: int = 160) -> Array:
    """Darkness of a drawn rose: two rings of petals and a spiral heart, values in [0, 1].

    Args:
        size: side of the square picture in pixels.
    """
    axis = (np.arange(size) - (size - 1) / 2) * (8.0 / size)
    x, y = np.meshgrid(axis, -axis)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)

    def stroke(distance: Array, width: float) -> Array:
        return np.exp(-0.5 * (distance / width) ** 2)

    outer = stroke(radius - (2.2 + 1.1 * np.abs(np.cos(2.5 * angle))), 0.11)
    inner = stroke(radius - (1.3 + 0.6 * np.abs(np.cos(2.5 * angle + 1.2))), 0.09)
    heart = stroke(np.sin(4.5 * radius - angle), 0.3) * (radius < 1.05)
    shade = 0.12 * (radius < 2.2 + 1.1 * np.abs(np.cos(2.5 * angle)))
    darkness = np.maximum.reduce([outer, 0.9 * inner, heart, shade])
    return np.where(darkness > 0.02, darkness, 0.0)
