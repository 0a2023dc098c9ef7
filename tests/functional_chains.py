"""Chains of affine maps under functionals with closed forms: G − min G, W2 and evidence, all exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import expm

from jko.certify.evidence import Evidence
from jko.energies.functional import (
    Entropy,
    Functional,
    InteractionEnergy,
    PotentialEnergy,
    PowerEnergy,
    QuadraticInteraction,
    half_square,
)
from jko.laws.densities import Estimate
from tests.affine_chains import Law, transport, w2

Array = np.ndarray


def exactly(value: float) -> Estimate:
    return Estimate(float(value), 0.0)


class Quadratic:
    """V = ⟨x, Ax⟩/2, an interaction c|z|²/2 and e entropies, on Gaussian laws.

    Least at N(0, e(A + c)⁻¹), which is the point 0 without entropy.
    """

    def __init__(self, precision: Array, interaction: float, entropies: int) -> None:
        self.precision, self.interaction, self.entropies = precision, interaction, entropies
        self.dim = len(precision)
        self.convexity = float(np.linalg.eigvalsh(precision)[0])
        self.whole = precision + interaction * np.eye(self.dim)

    @property
    def functional(self) -> Functional:
        matrix = torch.from_numpy(self.precision)
        found = Functional((
            PotentialEnergy(lambda x: 0.5 * ((x @ matrix.to(x)) * x).sum(-1), self.convexity),
        ))  # fmt: skip
        if self.interaction:
            found = found + QuadraticInteraction(self.interaction)
        for _ in range(self.entropies):
            found = found + Entropy()
        return found

    def slope(self, law: Law) -> tuple[Array, Array]:
        """∇δG/δρ(y) = first + second (y − mean)."""
        return self.precision @ law.mean, self.whole - self.entropies * np.linalg.inv(law.cov)

    def gap(self, law: Law) -> float:
        """G − min G."""
        found = 0.5 * float(law.mean @ self.precision @ law.mean + np.trace(self.whole @ law.cov))
        if self.entropies:
            scaled = np.linalg.slogdet(self.whole @ law.cov / self.entropies)[1]
            found -= 0.5 * self.entropies * (self.dim + scaled)
        return found

    def distance(self, law: Law) -> float:
        """W2 to the least law."""
        if not self.entropies:
            return math.sqrt(float(law.mean @ law.mean + np.trace(law.cov)))
        return w2(law, Law(np.zeros(self.dim), self.entropies * np.linalg.inv(self.whole)))

    def weight(self, law: Law) -> float:
        """E P(ρ)/ρ."""
        return float(self.entropies)

    def before(self, law: Law) -> Law:
        """What ends at the law by an exact step of size 1/2: back = Id + ½∇δG/δρ."""
        return self._back(law, 0.5)

    def _back(self, law: Law, gamma: float) -> Law:
        first, second = self.slope(law)
        back = np.eye(len(second)) + gamma * second
        assert np.linalg.eigvalsh(back)[0] > 0
        return Law(law.mean + gamma * first, back @ law.cov @ back.T)


class Barenblatt(Quadratic):
    r"""V = |x|²/2 and ∫ρ² in the plane, on the laws 2(R² − |x − m|²)₊/(πR⁴), whose covariance is R²/6.

    .. math:: G = \frac{|m|^2}2 + \frac{R^2}6 + \frac4{3\pi R^2}, \quad
              \nabla\frac{\delta G}{\delta\rho} = y - \frac{8(y - m)}{\pi R^4}, \quad E\rho = \frac4{3\pi R^2}
    """

    def __init__(self) -> None:
        super().__init__(np.eye(2), 0.0, 0)

    @property
    def functional(self) -> Functional:
        return PotentialEnergy(half_square, 1.0) + PowerEnergy(2.0)

    @staticmethod
    def square(law: Law) -> float:
        """R²."""
        return 6 * float(law.cov[0, 0])

    def slope(self, law: Law) -> tuple[Array, Array]:
        return law.mean, (1 - 8 / (math.pi * self.square(law) ** 2)) * np.eye(2)

    def value(self, law: Law) -> float:
        square = self.square(law)
        return 0.5 * float(law.mean @ law.mean) + square / 6 + self.weight(law)

    def weight(self, law: Law) -> float:
        return 4 / (3 * math.pi * self.square(law))

    def gap(self, law: Law) -> float:
        return self.value(law) - self.value(self.least)

    @property
    def least(self) -> Law:
        return Law(np.zeros(2), math.sqrt(8 / math.pi) / 6 * np.eye(2))

    def distance(self, law: Law) -> float:
        return w2(law, self.least)  # dilations of one profile


class Quartic(Quadratic):
    """V = λx²/2 and the interaction z⁴/4 on the line, on Gaussian laws: least at the point 0."""

    def __init__(self, convexity: float) -> None:
        super().__init__(convexity * np.eye(1), 0.0, 0)

    @property
    def functional(self) -> Functional:
        lam = self.convexity
        return PotentialEnergy(lambda x: lam * half_square(x), lam) + InteractionEnergy(
            lambda z: 0.25 * (z**4).sum(-1), convex=True
        )

    def gap(self, law: Law) -> float:
        return super().gap(law) + 1.5 * float(law.cov[0, 0]) ** 2

    def moments(self, law: Law, first: Array, second: Array) -> float:
        """E|first + second u + u³ + 3us²|², u of variance s²."""
        k, line, square = float(first @ first), float(second[0, 0]), float(law.cov[0, 0])
        return k + line**2 * square + 12 * line * square**2 + 42 * square**3


System = Quadratic


@dataclass(frozen=True)
class AffineStep:
    """x ↦ to + matrix (x − from mean)."""

    gamma: float
    matrix: Array
    mean: Array

    def after(self, law: Law) -> Law:
        return Law(self.mean, self.matrix @ law.cov @ self.matrix.T)


def mean_square(system: System, law: Law, first: Array, second: Array) -> float:
    """E|first + second (y − mean)|², and of the quartic interaction its cubic beside it."""
    if isinstance(system, Quartic):
        return system.moments(law, first, second)
    return float(first @ first + np.trace(second @ law.cov @ second.T))


def evidence_of(system: System, law: Law, step: AffineStep, *, ot: bool = False) -> tuple[Law, Evidence]:
    """The law after a step, and everything measured of it, without error."""
    after, gamma, eye = step.after(law), step.gamma, np.eye(system.dim)
    first, second = system.slope(after)

    def epsilon(back: Array) -> float:
        return mean_square(
            system, after, first - (law.mean - after.mean) / gamma, second - (back - eye) / gamma
        )

    still = step.matrix - eye
    shift = after.mean - law.mean
    moved = float(shift @ shift + np.trace(still @ law.cov @ still.T))
    symmetric = np.linalg.eigvalsh(step.matrix + step.matrix.T) / 2
    weight, kappa = system.weight(after), None
    if weight == 0:
        kappa = 0.0
    elif symmetric[0] > 0:
        kappa = weight * float(np.linalg.slogdet(step.matrix)[1] - np.log(symmetric).sum())
    value = system.value(law) if isinstance(system, Barenblatt) else math.nan
    found = Evidence(
        gamma, exactly(value), exactly(0), exactly(math.sqrt(moved)),
        exactly(system.gap(law) - system.gap(after)), exactly(0),
        exactly(epsilon(np.linalg.inv(step.matrix))), exactly(mean_square(system, after, first, second)),
        None if kappa is None else exactly(kappa), exact_epsilon=True, exact_fisher=True,
        from_lowest=exactly(float(law.mean @ law.mean + np.trace(law.cov))),
        fisher_before=exactly(mean_square(system, law, *system.slope(law))),
    )  # fmt: skip
    if ot:
        found = replace(
            found, epsilon_squared_ot=exactly(epsilon(transport(after, law))), moved_lower=w2(law, after)
        )
    return after, found


def followed(
    system: System, law: Law, steps: Sequence[AffineStep], *, ot: bool = False
) -> tuple[Law, list[Evidence]]:
    found = []
    for step in steps:
        law, own = evidence_of(system, law, step, ot=ot)
        found.append(own)
    return law, found


def exact_chain(system: System, end: Law, count: int) -> tuple[Law, list[AffineStep]]:
    """A start and exact steps of size 1/2 that lead from it to the end, found backwards."""
    laws = [end]
    for _ in range(count):
        laws.append(system.before(laws[-1]))
    laws.reverse()
    eye = np.eye(system.dim)
    steps = [
        AffineStep(0.5, np.linalg.inv(eye + 0.5 * system.slope(after)[1]), after.mean) for after in laws[1:]
    ]
    return laws[0], steps


def random_system(draw: np.random.Generator) -> System:
    """One of the functionals that have a λ > 0, with numbers of its own."""
    kind = int(draw.integers(0, 7))
    if kind == 5:
        return Quartic(float(draw.uniform(0.3, 2)))
    if kind == 6:
        return Barenblatt()
    dim = int(draw.integers(1, 5))
    axes = np.linalg.qr(draw.standard_normal((dim, dim)))[0]
    precision = (axes * draw.uniform(0.3, 3, dim)) @ axes.T
    entropies = (1, 1, 0, 0, 2)[kind]
    return Quadratic(precision, float(draw.uniform(0.2, 2)) if kind in (1, 3) else 0.0, entropies)


def random_chain(seed: int) -> tuple[System, Law, list[AffineStep]]:
    """A functional, a start, and steps that go some way towards the least law, from good to bad ones."""
    draw = np.random.default_rng(seed)
    system = random_system(draw)
    dim, round_ = system.dim, isinstance(system, Barenblatt)
    factor = np.eye(dim) * draw.uniform(0.3, 1.5)
    if not round_:
        factor = factor + draw.standard_normal((dim, dim)) * draw.uniform(0, 0.7)
    law = start = Law(draw.standard_normal(dim) * 2, factor @ factor.T + 0.02 * np.eye(dim))
    quality, steps = draw.uniform(0, 0.6), []
    for _ in range(int(draw.integers(1, 7))):
        gamma = float(np.exp(draw.uniform(-2, 1)))
        first, second = system.slope(law)
        # half implicit: y = x − γ(slope at x)/(1 + γ|slope|)
        size = 1 + gamma * float(np.abs(np.linalg.eigvalsh(second)).max(initial=0))
        matrix = np.eye(dim) - gamma * second / size
        if round_:
            matrix = matrix * draw.uniform(1 - quality / 2, 1 + quality / 2)
        else:
            matrix = matrix + quality * 0.3 * draw.standard_normal((dim, dim))
        if dim > 1 and draw.random() < 0.5:
            turn = draw.standard_normal((dim, dim)) * draw.uniform(0, 0.4)
            matrix = expm(turn - turn.T) @ matrix
        if np.linalg.eigvalsh(matrix + matrix.T)[0] <= 1e-3:
            continue
        steps.append(
            AffineStep(gamma, matrix, law.mean - gamma * first / size + quality * draw.standard_normal(dim))
        )
        law = steps[-1].after(law)
    return system, start, steps
