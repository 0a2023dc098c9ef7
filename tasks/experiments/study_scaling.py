r"""How the number of steps grows as ε shrinks: exact, between Gaussians, nothing trained.

Every step is the exact JKO step followed by a shift of the mean by :math:`\epsilon\gamma/(1+\gamma)`
away from the reference's mean. Its first-order-condition error is then exactly ε, and no other
direction of the shift leaves a larger W2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from jko.certify.bounds import sharp_steps, theorem_steps
from jko.laws import gaussian
from jko.laws.gaussian import Gaussian

#: p_0, the Gaussian target of the trained chains too
START = Gaussian.of([2.0, -1.0], [0.5, 1.5])
STEP_SIZES = (0.1, 0.3, 1.0)
#: two a decade
EPSILONS = tuple(10 ** (-1 - i / 2) for i in range(9))
LONGEST = 100_000


@dataclass(frozen=True)
class Scaling:
    r"""A start driven to the reference by steps of one ε.

    Args:
        step_size: γ.
        epsilon: ε of every step.
        epsilon_error: the largest difference of a step's ε from it, by the closed form.
        w2_start: W2(p_0, q).
        steps_2: steps until W2(p_n, q) ≤ 2 ε, what (B) promises.
        steps_root5: steps until W2(p_n, q) ≤ √5 ε, what (A) promises.
        steps_b: N that (B) asks for.
        steps_a: N that (A) asks for.
        kl_reached: KL(p_n ‖ q) one step after W2 ≤ √5 ε, nats.
        kl_promised: KL one step after the N that (A) asks for, nats.
        kl_bound: the theorem's :math:`(5 + 2\gamma)/(2\gamma)\,\epsilon^2`, nats.
    """

    step_size: float
    epsilon: float
    epsilon_error: float
    w2_start: float
    steps_2: int
    steps_root5: int
    steps_b: int
    steps_a: int
    kl_reached: float
    kl_promised: float
    kl_bound: float


def inexact_step(law: Gaussian, step_size: float, epsilon: float) -> Gaussian:
    """The exact JKO step with its mean shifted away from 0, so that its ε is the one given."""
    after = gaussian.jko_step(law, step_size)
    length = float(np.linalg.norm(after.mean))
    away = after.mean / length if length > 0 else np.eye(len(after.mean))[0]
    return Gaussian(after.mean + epsilon * step_size / (1 + step_size) * away, after.std)


def scaling(start: Gaussian, step_size: float, epsilon: float) -> Scaling:
    """Count the steps of one ε from a start.

    Args:
        start: p_0, by its eigen-directions.
        step_size: γ.
        epsilon: ε > 0.
    """
    w2_start = math.sqrt(gaussian.w2_squared(start))
    asked = theorem_steps(w2_start, step_size, epsilon)
    law, w2s, kls, found = start, [w2_start], [gaussian.kl(start)], 0.0
    while len(w2s) < asked + 2 or w2s[-2] > 2 * epsilon:
        if len(w2s) > LONGEST:
            raise ValueError(f"W2 is still {w2s[-1]:.3g} after {LONGEST} steps of ε = {epsilon:g}")
        after = inexact_step(law, step_size, epsilon)
        own = math.sqrt(gaussian.epsilon_squared(law, after, step_size))
        found = max(found, abs(own - epsilon))
        law = after
        w2s.append(math.sqrt(gaussian.w2_squared(law)))
        kls.append(gaussian.kl(law))
    wide = _first_below(w2s, math.sqrt(5) * epsilon)
    return Scaling(
        step_size=step_size, epsilon=epsilon, epsilon_error=found, w2_start=w2_start,
        steps_2=_first_below(w2s, 2 * epsilon), steps_root5=wide,
        steps_b=sharp_steps(w2_start, step_size, epsilon), steps_a=asked,
        kl_reached=kls[wide + 1], kl_promised=kls[asked + 1],
        kl_bound=(5 + 2 * step_size) / (2 * step_size) * epsilon**2,
    )  # fmt: skip


def scaling_table(step_sizes: Sequence[float], epsilons: Sequence[float]) -> pd.DataFrame:
    """One row a pair of γ and ε, from :data:`START`."""
    return pd.DataFrame([asdict(scaling(START, g, e)) for g in step_sizes for e in epsilons])


def _first_below(values: Sequence[float], bound: float) -> int:
    return next(n for n, value in enumerate(values) if value <= bound)
