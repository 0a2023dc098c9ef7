"""Random chains of affine maps between Gaussians, with every quantity of a certificate exact."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm, sqrtm


@dataclass(frozen=True)
class Law:
    """N(mean, cov)."""

    mean: np.ndarray
    cov: np.ndarray

    @property
    def kl(self) -> float:
        return 0.5 * (
            self.mean @ self.mean + np.trace(self.cov) - len(self.mean) - np.linalg.slogdet(self.cov)[1]
        )

    @property
    def fisher(self) -> float:
        slope = np.eye(len(self.mean)) - np.linalg.inv(self.cov)
        return float(self.mean @ self.mean + np.trace(slope @ self.cov @ slope.T))


REFERENCE = {d: Law(np.zeros(d), np.eye(d)) for d in range(1, 9)}


def root(matrix: np.ndarray) -> np.ndarray:
    return np.real(sqrtm(matrix))


def w2(one: Law, other: Law) -> float:
    half = root(one.cov)
    cross = root(half @ other.cov @ half)
    squared = np.sum((one.mean - other.mean) ** 2) + np.trace(one.cov + other.cov - 2 * cross)
    return math.sqrt(max(float(squared), 0.0))


def transport(one: Law, other: Law) -> np.ndarray:
    """Matrix of the optimal map from one to other."""
    half = root(one.cov)
    inverse = np.linalg.inv(half)
    return inverse @ root(half @ other.cov @ half) @ inverse


def epsilon(after: Law, back: np.ndarray, target: np.ndarray, gamma: float) -> float:
    """ε of an affine step whose map back is y ↦ target + back (y − mean)."""
    d = len(after.mean)
    constant = after.mean - (target - after.mean) / gamma
    slope = np.eye(d) - np.linalg.inv(after.cov) - (back - np.eye(d)) / gamma
    return math.sqrt(float(constant @ constant + np.trace(slope @ after.cov @ slope.T)))


def chain(seed: int) -> tuple[np.random.Generator, Law, list[tuple[float, np.ndarray, np.ndarray]]]:
    """A random start and random steps (γ, matrix, new mean), from nearly exact to bad."""
    draw = np.random.default_rng(seed)
    d = int(draw.integers(1, 9))
    factor = draw.standard_normal((d, d)) * draw.uniform(0.2, 1.5) + np.eye(d) * draw.uniform(0.3, 1.5)
    law = Law(draw.standard_normal(d) * 2, factor @ factor.T + 0.02 * np.eye(d))
    quality, steps, current = draw.uniform(0, 0.6), [], law
    for _ in range(int(draw.integers(1, 7))):
        gamma = float(np.exp(draw.uniform(-2, 1)))
        values, vectors = np.linalg.eigh(current.cov)
        s = np.sqrt(values)
        best = (s + np.sqrt(s**2 + 4 * gamma * (1 + gamma))) / (2 * (1 + gamma)) / s
        matrix = vectors @ np.diag(best) @ vectors.T + quality * 0.3 * draw.standard_normal((d, d))
        if draw.random() < 0.3:  # turned as well
            turn = draw.standard_normal((d, d)) * draw.uniform(0, 0.4)
            matrix = expm(turn - turn.T) @ matrix
        if np.linalg.eigvalsh(matrix + matrix.T)[0] <= 1e-3:
            continue
        mean = current.mean / (1 + gamma) + quality * draw.standard_normal(d)
        steps.append((gamma, matrix, mean))
        current = Law(mean, matrix @ current.cov @ matrix.T)
    return draw, law, steps
