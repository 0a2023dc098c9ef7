r"""The JKO step of any law on the line, solved on a grid: an oracle of the tests.

On the line the optimal map T is any increasing function, so the step is a convex problem in its values:

.. math:: \min_T \sum_i p_i h [V(T_i) + (T_i - x_i)^2/(2\gamma)]
          - \sum_i \sqrt{p_i p_{i+1}}\, h \log\frac{T_{i+1} - T_i}{h}

Its Hessian is tridiagonal, so a Newton step costs as much as a sum. Second order in the spacing
where p is smooth, first order where it jumps.

Units: the data's for positions, nats for the objective and KL.

Source: derived, see theory.md. There the grid is equally spaced; here h is the trapezoidal weight of a node
and the length of an interval, and both sets of weights are scaled to sum 1: otherwise E log T′ is wrong
by the share that the roots lose (1.6e-3 nats on 201 points for N(1, .05²), 5e-8 with the scaling).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, solveh_banded

from jko.core.errors import NumericalError

Array = NDArray[np.float64]
#: valleys between modes are filled up to this share of the lower rim: the map squeezes a valley about as
#: much as the density falls there, and float64 does not resolve more. Moves a KL drop by about 1e-6.
VALLEY = 1e-8


@dataclass(frozen=True)
class Potential:
    """A function V of the line with two derivatives, each (n,) to (n,).

    Args:
        value: V.
        slope: V′.
        curvature: V″; above −1/γ everywhere, or the step is not unique.
    """

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    curvature: Callable[[Array], Array]


#: |x|²/2, the potential of N(0, 1)
QUADRATIC = Potential(lambda x: 0.5 * x**2, lambda x: x, np.ones_like)


@dataclass(frozen=True)
class LineStep:
    """A JKO step on the line. The next step of the chain is ``solve_step(step.map, step.pushed, γ)``.

    Args:
        grid: x, shape (n,).
        map: T on the grid, shape (n,), increasing.
        pushed: density at ``map`` of the law after the step, p/T′, shape (n,).
        iterations: Newton iterations taken.
        objective: E[V(T) − log T′ + (T − x)²/(2γ)], nats.
        kl_drop: E V(x) − E V(T) + E log T′, nats.
        movement: √E(T − x)², the W2 distance of the step.
    """

    grid: Array
    map: Array
    pushed: Array
    iterations: int
    objective: float
    kl_drop: float
    movement: float


def solve_step(
    x: ArrayLike,
    p: ArrayLike,
    step_size: float,
    *,
    potential: Potential = QUADRATIC,
    tolerance: float = 1e-9,
    iterations: int = 100,
) -> LineStep:
    """The exact JKO step of a law on the line, up to the grid.

    Args:
        x: grid that holds all but a negligible part of the law, shape (n,), increasing.
        p: density on it, shape (n,), positive at both ends; any multiple of it, it is scaled to mass 1.
        step_size: γ.
        potential: V of the target exp(−V).
        tolerance: largest last Newton update of T, data units.
        iterations: Newton iterations allowed. A smooth law with one mode takes about 10, deep valleys 40.

    Raises:
        ValueError: for a grid, density, step size or tolerance that is not such.
        NumericalError: if Newton's method does not converge.

    Source: derived, see theory.md.
    """
    problem = _Problem.of(np.array(x, dtype=float), np.array(p, dtype=float), step_size, potential)
    if not tolerance > 0:
        raise ValueError(f"a tolerance is positive, not {tolerance}")
    values, taken = _newton(problem, tolerance, iterations)
    return LineStep(
        problem.x,
        values,
        problem.density / np.gradient(values, problem.x),
        taken,
        objective=problem.objective(values),
        kl_drop=problem.potential_at(problem.x) - problem.potential_at(values) + problem.log_slope(values),
        movement=math.sqrt(problem.nodes @ (values - problem.x) ** 2),
    )


@dataclass(frozen=True)
class _Problem:
    """The discrete problem: nodes with density and weights (n,), intervals with weights (n − 1,)."""

    x: Array
    density: Array
    nodes: Array
    intervals: Array
    step_size: float
    potential: Potential

    @classmethod
    def of(cls, x: Array, p: Array, step_size: float, potential: Potential) -> _Problem:
        """Checked, the density scaled to mass 1 and its valleys filled."""
        if x.ndim != 1 or x.shape != p.shape or len(x) < 3 or not np.isfinite(x).all():
            raise ValueError(
                f"a grid and its density are two lists of 3 or more, not {x.shape} and {p.shape}"
            )
        if not (np.diff(x) > 0).all():
            raise ValueError("a grid increases from point to point")
        if not (p >= 0).all() or not np.isfinite(p).all() or not min(p[0], p[-1]) > 0:
            raise ValueError(
                "a density is finite, nowhere negative, and positive at both ends: cut the grid where it is 0"
            )
        if not 0 < step_size < math.inf:
            raise ValueError(f"a step size is positive and finite, not {step_size}")
        h = np.diff(x)
        rims = np.minimum(np.maximum.accumulate(p), np.maximum.accumulate(p[::-1])[::-1])
        p = np.maximum(p, VALLEY * rims)
        nodes = p * (np.append(h, 0) + np.append(0, h)) / 2
        # roots first: the product of two tail values can underflow where they do not
        intervals = np.sqrt(p[:-1]) * np.sqrt(p[1:]) * h
        mass = nodes.sum()
        return cls(x, p / mass, nodes / mass, intervals / intervals.sum(), step_size, potential)

    def potential_at(self, values: Array) -> float:
        """E V(T)."""
        return float(self.nodes @ self.potential.value(values))

    def log_slope(self, values: Array) -> float:
        """E log T′."""
        return float(self.intervals @ np.log(np.diff(values) / np.diff(self.x)))

    def objective(self, values: Array) -> float:
        """The function to be minimised."""
        transport = self.nodes @ (values - self.x) ** 2 / (2 * self.step_size)
        return self.potential_at(values) - self.log_slope(values) + float(transport)

    def gradient(self, values: Array) -> Array:
        """Its gradient, shape (n,)."""
        pull = self.potential.slope(values) + (values - self.x) / self.step_size
        push = self.intervals / np.diff(values)
        return self.nodes * pull + np.append(push, 0) - np.append(0, push)

    def newton_step(self, values: Array) -> Array:
        """−H⁻¹∇ with the tridiagonal Hessian H, shape (n,)."""
        stiffness = self.intervals / np.diff(values) ** 2
        diagonal = self.nodes * (self.potential.curvature(values) + 1 / self.step_size)
        diagonal = diagonal + np.append(stiffness, 0) + np.append(0, stiffness)
        return -solveh_banded(np.stack([np.append(0, -stiffness), diagonal]), self.gradient(values))

    def damping(self, values: Array, step: Array) -> float:
        """How much of a Newton step to take: T stays increasing and the objective falls."""
        shrinkage = float(np.max(-np.diff(step) / np.diff(values)))
        length = 1.0 if shrinkage <= 0.9 else 0.9 / shrinkage
        now, slope = self.objective(values), float(self.gradient(values) @ step)
        slack = 1e-13 * (1 + abs(now))  # rounding: the last steps change the objective by less
        while self.objective(values + length * step) > now + 1e-4 * length * slope + slack:
            length /= 2
        return length


def _newton(problem: _Problem, tolerance: float, iterations: int) -> tuple[Array, int]:
    """Damped Newton from the identity; the values of T and the iterations taken."""
    values, update = problem.x, math.inf
    for done in range(1, iterations + 1):
        try:
            step = problem.newton_step(values)
        except LinAlgError as error:
            raise NumericalError(
                "the JKO objective on the line is not convex, as far as its grid resolves it",
                block=1,
                step=done - 1,
                remedy="take a step size γ with V″ > −1/γ everywhere, or a coarser grid",
            ) from error
        values = values + problem.damping(values, step) * step
        update = float(np.abs(step).max())
        if update <= tolerance:
            return values, done
    raise NumericalError(
        f"Newton's method on the line did not converge in {iterations} iterations",
        block=1,
        value=update,
        bound=tolerance,
        remedy="allow more iterations, or cut tails of the grid that carry no mass",
    )
