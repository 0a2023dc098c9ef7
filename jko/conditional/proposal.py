r"""A Gaussian mixture that looks like a law, and what it says of some columns given the others.

Every column of y is carried to normal scores v by a monotone spline, and a mixture is fitted to v. Given the
held columns A, the free ones B are again a mixture, of which everything is known:

.. math:: h(v_B \mid v_A) = \sum_k r_k(v_A)\,N\bigl(v_B;\ m_k + G_k (v_A - \mu_{kA}),\ C_k\bigr),
    \quad r_k \propto w_k N(v_A; \mu_{kA}, \Sigma_{kAA})

It proposes rows and is never taken for the law itself. So that its tails are not too short, every component
has a share with a larger covariance, too.
"""

from __future__ import annotations

import math
import warnings
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from jko.maps.start_fit import fit_marginals
from jko.maps.start_map import Marginals
from jko.preparation.table import Array

Rows = NDArray[np.int64]
#: rows that splines are fitted to, and components at most
SPLINE_ROWS, COMPONENTS = 4000, 10
#: rows for each column and component at least
ROWS_PER_COLUMN = 30
#: added to covariances of normal scores
RIDGE = 1e-4
#: factors of the standard deviations of a component's parts, and their shares
WIDTHS, SHARES = np.array([1.0, 2.5]), np.array([0.85, 0.15])


@dataclass(frozen=True)
class Pattern:
    """What a mixture is given the held columns A, in arrays of full size with zeros elsewhere.

    Args:
        held: which columns are held, shape (d,).
        gain: G_k, shape (K, d, d).
        factor: Cholesky factors of C_k, shape (K, d, d).
        inverse: their inverses, shape (K, d, d).
        whiten: inverse Cholesky factors of Σ_kAA, shape (K, d, d).
        log_held: log w_k and the constant of N(·; μ_kA, Σ_kAA), shape (K,).
        log_free: the constant of N(·; ·, C_k), shape (K,).
    """

    held: NDArray[np.bool_]
    gain: Array
    factor: Array
    inverse: Array
    whiten: Array
    log_held: Array
    log_free: Array


@dataclass(frozen=True)
class Component:
    """One component for every row, chosen by what is held.

    Args:
        mean: of the free columns, and the held ones as they are, shape (n, d).
        factor: Cholesky factors, shape (n, d, d).
        inverse: their inverses, shape (n, d, d).
    """

    mean: Array
    factor: Array
    inverse: Array


class Proposal:
    """A mixture in normal scores, for some patterns of held columns.

    Args:
        rows: of the law, shape (m, d).
        seed: of the fit.
    """

    def __init__(self, rows: Array, seed: int) -> None:
        self.shift, self.scale = rows.mean(0), rows.std(0)
        self.scale = np.where(self.scale > 0, self.scale, 1.0)
        u = (rows - self.shift) / self.scale
        self.splines = fit_marginals(u[:SPLINE_ROWS], min(len(u), SPLINE_ROWS))
        scores = self.splines(torch.from_numpy(u))[0].numpy()
        self.weights, self.means, self.covariances = _mixture(scores, seed)
        self.patterns: list[Pattern] = []
        self._at_zero = np.array([self._slope_at_zero(j) for j in range(rows.shape[1])])

    def given(self, held: NDArray[np.bool_]) -> Proposal:
        """The same mixture for patterns of held columns, one a row of shape (P, d)."""
        found = copy(self)
        found.patterns = [self._pattern(own) for own in held]
        return found

    def scores(self, y: Array, held: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Normal scores v of rows, and log|dv_B/dy_B| over the free columns B, nats.

        Args:
            y: shape (n, d).
            held: which columns of each are held, shape (n, d).

        Returns:
            Shapes (n, d) and (n,).
        """
        u = (y - self.shift) / self.scale
        v = self.splines(torch.from_numpy(u))[0].numpy()
        log_det = self.splines(torch.from_numpy(np.where(held, 0.0, u)))[1].numpy()
        constant = np.where(held, self._at_zero, np.log(self.scale)).sum(1)
        return v, log_det - constant

    def rows(self, v: Array) -> Array:
        """The rows y of normal scores, shape (n, d)."""
        return np.asarray(self.splines.inverse(torch.from_numpy(v)).numpy() * self.scale + self.shift)

    def draw(self, v: Array, which: Rows, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw the free columns of rows given the held ones.

        Args:
            v: normal scores, of which the held ones count, shape (n, d).
            which: number of the pattern of each row, shape (n,).
            rng: the generator.

        Returns:
            Rows with free columns of h, shape (n, d), and log h of them, shape (n,).
        """
        chosen = self.component(v, which, rng)
        wide = WIDTHS[rng.choice(len(WIDTHS), p=SHARES, size=len(v))]
        noise = rng.standard_normal(v.shape) * wide[:, None]
        found = chosen.mean + np.einsum("nij,nj->ni", chosen.factor, noise)
        return found, self.log_density(found, which)

    def component(self, v: Array, which: Rows, rng: np.random.Generator) -> Component:
        """A component for each row, drawn by how likely it is given the held columns alone."""
        shape = v.shape
        mean, factor, inverse = np.empty(shape), np.empty((*shape, shape[1])), np.empty((*shape, shape[1]))
        for pattern, rows in self._grouped(which):
            log_r, means = self._given(pattern, v[rows])
            k = (log_r + rng.gumbel(size=log_r.shape)).argmax(1)
            mean[rows] = means[np.arange(len(rows)), k]
            factor[rows], inverse[rows] = pattern.factor[k], pattern.inverse[k]
        return Component(mean, factor, inverse)

    def log_density(self, v: Array, which: Rows) -> Array:
        """The log-density log h(v_B | v_A) in nats, shape (n,)."""
        found = np.empty(len(v))
        for pattern, rows in self._grouped(which):
            log_r, means = self._given(pattern, v[rows])
            away = np.einsum("kij,nkj->nki", pattern.inverse, v[rows][:, None] - means)
            squares, free = (away**2).sum(-1), int((~pattern.held).sum())
            parts = [
                log_r + pattern.log_free - 0.5 * squares / width**2 - free * math.log(width) + math.log(share)
                for width, share in zip(WIDTHS, SHARES, strict=True)
            ]
            found[rows] = logsumexp(np.concatenate(parts, axis=1), axis=1)
        return found

    def _grouped(self, which: Rows) -> list[tuple[Pattern, Rows]]:
        """Every pattern with the numbers of its rows."""
        order = np.argsort(which, kind="stable")
        ends = np.searchsorted(which[order], np.arange(len(self.patterns) + 1))
        parts = [order[ends[i] : ends[i + 1]] for i in range(len(self.patterns))]
        return [(pattern, rows) for pattern, rows in zip(self.patterns, parts, strict=True) if len(rows)]

    def _given(self, pattern: Pattern, v: Array) -> tuple[Array, Array]:
        """Log r_k of rows and the means of their components, shapes (n, K) and (n, K, d)."""
        away = np.where(pattern.held, v[:, None] - self.means, 0.0)
        white = np.einsum("kij,nkj->nki", pattern.whiten, away)
        log_r = pattern.log_held - 0.5 * (white**2).sum(-1)
        means = self.means + np.einsum("kij,nkj->nki", pattern.gain, away)
        return log_r - logsumexp(log_r, axis=1, keepdims=True), np.where(pattern.held, v[:, None], means)

    def _pattern(self, held: NDArray[np.bool_]) -> Pattern:
        count, dim = self.means.shape
        gain, factor, inverse, whiten = (np.zeros((count, dim, dim)) for _ in range(4))
        log_held, log_free = np.log(self.weights), np.zeros(count)
        a, b = np.flatnonzero(held), np.flatnonzero(~held)
        for k, covariance in enumerate(self.covariances):
            rest = covariance[np.ix_(b, b)]
            if len(a):
                lower = np.linalg.cholesky(covariance[np.ix_(a, a)])
                white = solve_triangular(lower, np.eye(len(a)), lower=True)
                half = white @ covariance[np.ix_(a, b)]
                gain[k][np.ix_(b, a)] = half.T @ white
                whiten[k][np.ix_(a, a)] = white
                log_held[k] += np.log(np.diag(white)).sum()
                rest = rest - half.T @ half
            if len(b):
                own = np.linalg.cholesky(rest + 0.1 * RIDGE * np.eye(len(b)))
                factor[k][np.ix_(b, b)] = own
                inverse[k][np.ix_(b, b)] = solve_triangular(own, np.eye(len(b)), lower=True)
                log_free[k] = -np.log(np.diag(own)).sum() - 0.5 * len(b) * math.log(2 * math.pi)
        return Pattern(held, gain, factor, inverse, whiten, log_held, log_free)

    def _slope_at_zero(self, j: int) -> float:
        tables = (self.splines.knots, self.splines.values, self.splines.slopes)
        alone = Marginals(*(table[j : j + 1] for table in tables))
        return float(alone(torch.zeros(1, 1, dtype=torch.float64))[1])


def _mixture(scores: Array, seed: int) -> tuple[Array, Array, Array]:
    """Weights, means and covariances of a Gaussian mixture; of few rows, of one Gaussian."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    rows, dim = scores.shape
    count = int(np.clip(rows // (ROWS_PER_COLUMN * dim), 1, COMPONENTS))
    if count == 1:  # few rows say little of a covariance: normal scores have about I
        own = np.atleast_2d(np.cov(scores, rowvar=False)) if rows > 1 else np.eye(dim)
        mixed = (rows * own + dim * np.eye(dim)) / (rows + dim) + RIDGE * np.eye(dim)
        return np.ones(1), scores.mean(0)[None], mixed[None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a proposal need not be the best one
        found = GaussianMixture(count, reg_covar=RIDGE, random_state=seed % 2**32, max_iter=60, tol=1e-3).fit(
            scores
        )
    return found.weights_, found.means_, found.covariances_
