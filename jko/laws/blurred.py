r"""KL of two laws of the line or the plane at a resolution, by quadrature: the truth beside a bracket.

At the resolution s the law of X is that of aX + sZ, a = √(1 − s²), Z standard normal, see
:mod:`jko.certify.bracket`. Both densities are given on a grid; each is blurred by a sum over its points, one
axis after the other, and KL is a sum over the same points. For smooth densities the error falls faster than
any power of the spacing; what every other point says tells how large it is at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jko.core.errors import InputError

Array = NDArray[np.float64]
#: densities below are no part of the sum
NOTHING = 1e-200


@dataclass(frozen=True)
class Grid:
    """Equally spaced points of the line or the plane, up to where both laws have no mass.

    Args:
        axes: coordinates along every axis, each of an odd number of points.
    """

    axes: tuple[Array, ...]

    @classmethod
    def over(cls, box: Sequence[tuple[float, float]], spacing: float) -> Grid:
        """The grid over a box.

        Args:
            box: the lowest and the highest coordinate of every axis.
            spacing: of the points, at most.
        """
        sides = (2 * math.ceil((high - low) / (2 * spacing)) + 1 for low, high in box)
        return cls(tuple(np.linspace(*ends, side) for ends, side in zip(box, sides, strict=True)))

    @property
    def points(self) -> Array:
        """Shape (n, d), the last axis runs first."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), -1).reshape(-1, len(self.axes))

    @property
    def cell(self) -> float:
        """Length or area that a point stands for."""
        return math.prod(float(axis[1] - axis[0]) for axis in self.axes)

    @property
    def every_other(self) -> Grid:
        """The grid of twice the spacing."""
        return Grid(tuple(axis[::2] for axis in self.axes))


@dataclass(frozen=True)
class Truth:
    """KL of two laws at a resolution.

    Args:
        value: nats.
        error: what every other point of the grid says differs by so much, nats.
    """

    value: float
    error: float


def truth_at(grid: Grid, log_p: Array, log_q: Array, resolution: float) -> Truth:
    """KL(p_s‖q_s) of two densities.

    Args:
        grid: of the points; both laws lie on it, and its spacing is at most about s, where the error is far
            below .001.
        log_p: log p at the points, nats, shape (n,).
        log_q: log q there.
        resolution: s, within 0 and 1.

    Raises:
        InputError: the grid misses a part of p of more than a thousandth.
    """
    shape = tuple(len(axis) for axis in grid.axes)
    p, q = (np.exp(one).reshape(shape) for one in (log_p, log_q))
    mass = float(p.sum()) * grid.cell
    if abs(mass - 1) > 1e-3:
        raise InputError(f"the grid holds {mass:.4g} of the law: a wider or finer one is needed")
    other = tuple(slice(None, None, 2) for _ in shape)
    value = _kl(grid, p, q, resolution)
    return Truth(value, abs(_kl(grid.every_other, p[other], q[other], resolution) - value))


def _kl(grid: Grid, p: Array, q: Array, s: float) -> float:
    blurred_p, blurred_q = _blurred(grid, p, s), _blurred(grid, q, s)
    there = blurred_p > NOTHING
    ratio = np.log(blurred_p[there]) - np.log(np.maximum(blurred_q[there], NOTHING))
    return float((blurred_p[there] * ratio).sum() * grid.cell)


def _blurred(grid: Grid, density: Array, s: float) -> Array:
    """The density of aX + sZ on the same grid."""
    a = math.sqrt(1 - s * s)
    for i, axis in enumerate(grid.axes):
        z = (axis[:, None] - a * axis[None, :]) / s
        kernel = np.exp(-(z**2) / 2) * (axis[1] - axis[0]) / (s * math.sqrt(2 * math.pi))
        density = np.moveaxis(np.tensordot(kernel, density, (1, i)), 0, i)
    return density
