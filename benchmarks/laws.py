r"""Three laws of the plane from the literature, each with an exact density.

Moons and eight Gaussians are the project's own, in :mod:`jko.laws.densities`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, softmax

from jko.laws.densities import Array, Density, IsotropicMixture, eight_gaussians, moons


@dataclass(frozen=True)
class Checkerboard:
    """Uniform on every second square of a board of 4 × 4 squares on [−4, 4]², of side 2.

    Entropy log 32. A flow with a smooth density can come near it, never reach it.
    """

    @property
    def dim(self) -> int:
        """Dimension, 2."""
        return 2

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, 2)."""
        column, pair = rng.integers(4, size=rows), rng.integers(2, size=rows)
        corner = np.stack([column, 2 * pair + column % 2], axis=1)
        return 2.0 * (corner + rng.random((rows, 2))) - 4.0

    def log_prob(self, x: Array) -> Array:
        """Log-density in nats, −∞ off the squares, shape (rows,)."""
        square = np.floor((x + 4) / 2).astype(int)
        inside = ((x >= -4) & (x < 4)).all(axis=1) & (square.sum(axis=1) % 2 == 0)
        return np.where(inside, -math.log(32), -np.inf)

    def score(self, x: Array) -> Array:
        """Gradient of the log-density, 0 wherever there is one, shape (rows, 2)."""
        return np.zeros_like(x)


@dataclass(frozen=True)
class Pinwheel:
    r"""Arms of a Gaussian along the axis, each turned by an angle that grows with the radius.

    .. math:: x = R(2\pi k/K + \rho\, e^{|u|})\, u, \quad u \sim N((m, 0), \mathrm{diag}(\sigma^2))

    The angle depends on :math:`|u| = |x|`. So the map turns every circle in itself, its Jacobian is 1,
    and the density is a plain mixture over the arms k. (Usually the angle depends on the first
    coordinate of u, and the map folds; near the arms the two look the same.)

    Args:
        arms: K.
        mean: m, data units.
        radial: standard deviation along the arm, data units.
        tangential: standard deviation across it, data units.
        rate: ρ, radians.
        unit: length in data units of the radius 1 in the exponent.
    """

    arms: int = 5
    mean: float = 2.0
    radial: float = 0.6
    tangential: float = 0.2
    rate: float = 0.25
    unit: float = 2.0

    @property
    def dim(self) -> int:
        """Dimension, 2."""
        return 2

    @property
    def _std(self) -> Array:
        return np.array([self.radial, self.tangential])

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, 2)."""
        u = np.array([self.mean, 0.0]) + self._std * rng.standard_normal((rows, 2))
        turn = 2 * math.pi * rng.integers(self.arms, size=rows) / self.arms + self._angle(u)
        return _turned(u, turn)

    def log_prob(self, x: Array) -> Array:
        """Log-density in nats, shape (rows,)."""
        constant = math.log(self.arms) + math.log(2 * math.pi * self.radial * self.tangential)
        return logsumexp(self._exponents(self._unwound(x)), axis=1) - constant

    def score(self, x: Array) -> Array:
        """Gradient of the log-density, shape (rows, 2)."""
        u = self._unwound(x)
        inner = -(u - np.array([self.mean, 0.0])) / self._std**2
        turn = self._angle(x)[:, None] + self._arm_angles()
        radius = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        slope = self.rate * np.exp(radius / self.unit) / self.unit
        # u = R(−turn) x, so that turning further moves u by −(its quarter turn)
        along = inner[..., 0] * u[..., 1] - inner[..., 1] * u[..., 0]
        arms = _turned(inner, turn) + (slope * along)[..., None] * (x / radius)[:, None, :]
        return (softmax(self._exponents(u), axis=1)[..., None] * arms).sum(axis=1)

    def _angle(self, x: Array) -> Array:
        return self.rate * np.exp(np.linalg.norm(x, axis=-1) / self.unit)

    def _arm_angles(self) -> Array:
        return 2 * math.pi * np.arange(self.arms) / self.arms

    def _unwound(self, x: Array) -> Array:
        """The u of every arm that ends at x, shape (rows, arms, 2)."""
        turn = self._angle(x)[:, None] + self._arm_angles()
        return _turned(np.broadcast_to(x[:, None, :], (*turn.shape, 2)), -turn)

    def _exponents(self, u: Array) -> Array:
        return -0.5 * (((u - np.array([self.mean, 0.0])) / self._std) ** 2).sum(-1)


def _turned(u: Array, angle: Array) -> Array:
    """Points turned by an angle each, shapes (…, 2) and (…,) to (…, 2)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * u[..., 0] - sin * u[..., 1], sin * u[..., 0] + cos * u[..., 1]], axis=-1)


def swiss_roll(std: float = 0.2, points: int = 400) -> IsotropicMixture:
    """A spiral of one and a half turns, blurred by a Gaussian of the given width.

    The spiral is (t cos t, t sin t)/5 for t from 1.5 π to 4.5 π, as FFJORD and others draw it. It is
    given by points with equal steps of t, at most a third of the default width apart.
    """
    t = math.pi * (1.5 + 3 * (np.arange(points) + 0.5) / points)
    return IsotropicMixture(np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / 5, std)


#: the laws of the plane by name
PLANE: dict[str, Callable[[], Density]] = {
    "moons": moons,
    "eight_gaussians": eight_gaussians,
    "checkerboard": Checkerboard,
    "pinwheel": Pinwheel,
    "swiss_roll": swiss_roll,
}


@dataclass(frozen=True)
class Bars:
    """Uniform on three bars of size 1 × 5, side by side, the outer ones half as likely as the middle one.

    For choosing settings: hard edges, as the checkerboard has them.
    """

    @property
    def dim(self) -> int:
        """Dimension, 2."""
        return 2

    def sample(self, rows: int, rng: np.random.Generator) -> Array:
        """Independent draws, shape (rows, 2)."""
        left = 2.0 * rng.choice(3, size=rows, p=(0.25, 0.5, 0.25)) - 2.5
        return np.stack([left + rng.random(rows), 5 * rng.random(rows) - 2.5], axis=1)

    def log_prob(self, x: Array) -> Array:
        """Log-density in nats, −∞ off the bars, shape (rows,)."""
        bar = np.floor((x[:, 0] + 2.5) / 2)
        inside = (bar >= 0) & (bar < 3) & ((x[:, 0] + 2.5) % 2 < 1) & (np.abs(x[:, 1]) < 2.5)
        return np.where(inside, np.log(np.where(bar == 1, 0.5, 0.25) / 5), -np.inf)

    def score(self, x: Array) -> Array:
        """Gradient of the log-density, 0 wherever there is one, shape (rows, 2)."""
        return np.zeros_like(x)


def two_spirals(std: float = 0.12, points: int = 300) -> IsotropicMixture:
    """Two blurred arms that wind one and a half times around each other; for choosing settings."""
    t = 3 * math.pi * np.sqrt((np.arange(points) + 0.5) / points)
    arm = np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / 3
    return IsotropicMixture(np.concatenate([arm, -arm]), std)


#: laws on which settings are chosen
TUNING_PLANE: dict[str, Callable[[], Density]] = {"two_spirals": two_spirals, "bars": Bars}
