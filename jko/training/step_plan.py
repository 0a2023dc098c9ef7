r"""Step sizes planned: fitted to rows, evened out by what blocks moved, halved.

A JKO step of size γ shrinks every mean as the Ornstein–Uhlenbeck process does in the time
:math:`t = \log(1+\gamma)` (see theory.md), so plans are made in that time: steps one after another add up,
and a plan of the same total time ends with the same mean, whatever the law and the number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from jko.config.sections import SMALLEST_STEP
from jko.laws.gaussian import Gaussian, kl, ornstein_uhlenbeck
from jko.statistics.neighbours import SAMPLE, Neighbours, nearest_neighbours

Array = NDArray[np.float64]
#: what is taken for the law at the end: any with these moments, or the Gaussian
Shape = Literal["any", "gaussian"]
#: no plan is longer, and no plan of a law that is N(0, I) already is shorter, Ornstein–Uhlenbeck time
LONGEST, SHORTEST = 40.0, 1e-3
#: as many as a chain may have
MOST_STEPS = 1000


@dataclass(frozen=True)
class StepPlan:
    """Step sizes fitted to rows, and what they were fitted to.

    Args:
        sizes: γ_1 … γ_N.
        neighbours: the scale that the first step blurs.
        time: Σ log(1+γ_k).
        remainder: what is left after that time, nats.
    """

    sizes: tuple[float, ...]
    neighbours: Neighbours
    time: float
    remainder: float


def fitted(
    rows: ArrayLike,
    *,
    count: int | None = None,
    ratio: float = 3.0,
    maximum: float = 5.0,
    tolerance: float = 1e-3,
    shape: Shape = "any",
    sample: int = SAMPLE,
    seed: int = 0,
) -> StepPlan:
    r"""Geometric step sizes whose first and last are those of the rows.

    The first blurs what the rows resolve and no more: its noise :math:`\sqrt{1 - e^{-2t}}` is the width that
    :func:`jko.statistics.neighbours.nearest_neighbours` finds. The total time leaves at most the tolerance
    (:func:`remainder`).

    Args:
        rows: training rows without copies, standardised units, shape (rows, d).
        count: N; by default the smallest that ``ratio`` and ``maximum`` allow.
        ratio: largest γ_{k+1}/γ_k of a plan whose count is chosen.
        maximum: its largest γ_k, and the first one of every plan, also of rows too few to be blurred.
        tolerance: KL that may be left at the end, nats.
        shape: see :func:`remainder`.
        sample: rows whose neighbours are looked up.
        seed: of their choice.

    Returns:
        The plan. Where the first step alone, N times, reaches the end, all steps are equal.

    Raises:
        ValueError: too few rows, rows that are mostly equal, an impossible setting, or one that asks for
            more than 1000 steps.

    Source: derived. That fine-structured data need a small first step is an observation of theory.md.
    """
    values = np.asarray(rows, dtype=float)
    if not (ratio > 1 and min(maximum, tolerance) > 0 and (count is None or count >= 1)):
        raise ValueError(
            "a plan needs ratio > 1, maximum > 0, tolerance > 0 and count ≥ 1, "
            f"not {ratio}, {maximum}, {tolerance}, {count}"
        )
    found = nearest_neighbours(values, sample=sample, seed=seed)
    law = gaussian_form(values)
    total = _time_until(law, tolerance, shape)
    first = max(1.01 * SMALLEST_STEP, min(math.expm1(_blurring_time(found.width, total)), maximum))
    sizes = _geometric(first, count, total) if count else _fewest(first, total, ratio, maximum)
    return StepPlan(sizes, found, total, remainder(law, total, shape))


def gaussian_form(rows: Array) -> Gaussian:
    """Mean and spectrum of rows, shape (rows, d): the Gaussian law with their first two moments."""
    variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(rows, rowvar=False)))
    return Gaussian(rows.mean(0) @ directions, np.sqrt(np.maximum(variances, 0)))


def remainder(law: Gaussian, time: float, shape: Shape = "any") -> float:
    r"""What an Ornstein–Uhlenbeck time leaves of KL(· ‖ N(0, I)), nats.

    ``gaussian``: of the Gaussian with these moments, in closed form; 0 for standardised uncorrelated rows
    whatever their shape. ``any``: an upper bound for every law with these moments,

    .. math:: \tfrac12 e^{-2t}(|m|^2 + \sum s^2 - d) - \tfrac d2 \log(1 - e^{-2t})

    Args:
        law: mean and standard deviations before, d directions.
        time: t > 0.
        shape: which of the two.

    Source: closed forms of theory.md; the bound derived: KL is convex, and the law at time t is a mixture of
    :math:`N(e^{-t}x, (1 - e^{-2t}) I)`.
    """
    if shape == "gaussian":
        return kl(ornstein_uhlenbeck(law, time))
    left = math.exp(-2 * time)
    excess = float(np.sum(law.mean**2) + np.sum(law.std**2)) - len(law.std)
    return 0.5 * left * excess - 0.5 * len(law.std) * math.log1p(-left)


def reparametrised(step_sizes: Sequence[float], movements: Sequence[float]) -> tuple[float, ...]:
    r"""As many step sizes over the same time, by which every block moves the particles equally far.

    The path is taken to have the length :math:`S_k = \sum_{j \le k} M_j` at time
    :math:`t_k = \sum_{j \le k} \log(1+\gamma_j)`; time as a function of length is interpolated by monotone
    cubics and read off at equal lengths. The total time is kept, not :math:`\sum\gamma`: so is the end.

    Args:
        step_sizes: γ_1 … γ_N.
        movements: W2 movement M_k of each block, any unit.

    Raises:
        ValueError: another number of movements, or one that is not positive.

    Source: trajectory reparametrisation of JKO-iFlow (arXiv:2212.14424), which equalises the movements;
    the interpolation and the time that is kept are ours.

    >>> [round(size, 3) for size in reparametrised([0.5, 0.5], [1.0, 1.0])]
    [0.5, 0.5]
    """
    if len(movements) != len(step_sizes) or not all(0 < value < math.inf for value in movements):
        raise ValueError(
            f"{len(step_sizes)} positive movements are needed, one for each step, not {list(movements)}"
        )
    length = np.concatenate([[0.0], np.cumsum(movements)])
    ends = np.concatenate([[0.0], np.cumsum(np.log1p(step_sizes))])
    if len(step_sizes) == 1:
        return tuple(step_sizes)
    times = PchipInterpolator(length, ends)(np.linspace(0, length[-1], len(length)))
    times[-1] = ends[-1]  # a rounding would change the end
    return tuple(float(size) for size in np.expm1(np.diff(times)))


def refined(step_sizes: Sequence[float]) -> tuple[float, ...]:
    r"""Every step as two of half its time, :math:`\gamma' = \sqrt{1+\gamma} - 1` twice.

    Two such steps shrink every mean by the factor of the old one, :math:`(1+\gamma')^2 = 1+\gamma`, and end
    nearer to it in width, too, than two steps of γ/2.

    Source: refinement is JKO-iFlow's (arXiv:2212.14424); the halving of time derived from theory.md.

    >>> refined([3.0])
    (1.0, 1.0)
    """
    return tuple(half for size in step_sizes for half in [math.expm1(0.5 * math.log1p(size))] * 2)


def holders(step_sizes: Sequence[float], new: Sequence[float]) -> list[int]:
    """For every new step the old one (0-based) whose time interval holds the middle of its own."""
    ends, times = np.cumsum(np.log1p(step_sizes)), np.log1p(new)
    middles = np.cumsum(times) - times / 2
    return [int(k) for k in np.minimum(np.searchsorted(ends, middles), len(ends) - 1)]


def _blurring_time(width: float, total: float) -> float:
    """The t with √(1 − e^{−2t}) the width; the whole time for noise that no time has."""
    return total if width >= 1 else min(total, -0.5 * math.log1p(-(width**2)))


def _time_until(law: Gaussian, tolerance: float, shape: Shape) -> float:
    """The time after which no more than the tolerance is left."""

    def over(time: float) -> float:
        return remainder(law, time, shape) - tolerance

    if over(SHORTEST) <= 0:
        return SHORTEST
    return float(brentq(over, SHORTEST, LONGEST)) if over(LONGEST) < 0 else LONGEST


def _fewest(first: float, total: float, ratio: float, maximum: float) -> tuple[float, ...]:
    """The shortest geometric plan within the ratio and the maximum."""
    for count in range(1, MOST_STEPS + 1):
        sizes = _geometric(first, count, total)
        grown = sizes[1] / sizes[0] if count > 1 else 1.0
        if grown <= ratio and sizes[-1] <= maximum:
            return sizes
    raise ValueError(f"more than {MOST_STEPS} steps would be needed; allow a larger ratio or maximum")


def _geometric(first: float, count: int, total: float) -> tuple[float, ...]:
    """Sizes first · ρ^(k−1) that take the total time; equal ones where the first, N times, takes longer."""
    if count == 1 or count * math.log1p(first) >= total:
        return (math.expm1(total / count),) * count
    powers = np.arange(count)

    def time(log_ratio: float) -> float:
        return float(np.sum(np.log1p(first * np.exp(powers * log_ratio)))) - total

    log_ratio = brentq(time, 0.0, (total - math.log(first) + 1) / (count - 1))
    return tuple(float(size) for size in first * np.exp(powers * log_ratio))
