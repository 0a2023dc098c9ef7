"""Optimal transport between samples: exact pairing, the affine map, bounds on W2 from moments."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Pairing = Literal["emd", "affine"]
#: the exact pairing takes about a second for so many rows, and grows with their cube
MOST_PAIRED_ROWS = 2000
FOLDS = 20


def optimal_back(x: Tensor, y: Tensor, how: Pairing) -> tuple[Tensor, Tensor]:
    """Samples y of p' with back(y), the optimal map to p as far as samples tell.

    The samples y are coupled with their own preimages (the same rows), never with an independent
    draw: that would measure the distance between two samples instead.

    Args:
        x: samples of p, shape (rows, d).
        y: the samples of p' that the rows of x were mapped to, shape (rows, d).
        how: ``emd``, exact on the first :data:`MOST_PAIRED_ROWS` rows; ``affine``, the optimal
            map between Gaussians with the samples' moments.

    Returns:
        y and back(y), float64, shape (rows used, d).
    """
    x, y = x.double(), y.double()
    if how == "affine":
        return y, affine_transport(y, x)
    x, y = x[:MOST_PAIRED_ROWS], y[:MOST_PAIRED_ROWS]
    return y, x[optimal_pairing(y, x)]


def optimal_pairing(y: Tensor, x: Tensor) -> Tensor:
    """The permutation j with the least Σ|y_i − x_{j(i)}|², shape (rows,)."""
    import ot  # here, since it loads every array library it finds

    cost = torch.cdist(y.double(), x.double()).cpu().numpy() ** 2
    uniform = np.full(len(y), 1 / len(y))
    plan = ot.emd(uniform, uniform, cost, numItermax=10_000_000)
    return torch.from_numpy(plan.argmax(axis=1))


def affine_transport(y: Tensor, x: Tensor) -> Tensor:
    r"""The rows y under the optimal map between Gaussians with the moments of y and of x.

    .. math:: m_x + A(y - m_y), \quad A = S_y^{-1/2} (S_y^{1/2} S_x S_y^{1/2})^{1/2} S_y^{-1/2}

    Args:
        y: samples to map, shape (rows, d).
        x: samples of the law to map to, shape (rows, d).
    """
    half = _power(torch.cov(y.T).reshape(y.shape[1], -1), 0.5)
    inverse = torch.linalg.pinv(half, hermitian=True)  # a law on a plane is moved within it
    middle = _power(half @ torch.cov(x.T).reshape(half.shape) @ half, 0.5)
    return x.mean(0) + (y - y.mean(0)) @ (inverse @ middle @ inverse)


def gelbrich_squared(x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""Squared Gelbrich distance of two samples, which no W2² undercuts for exact moments.

    .. math:: |m - m'|^2 + \mathrm{tr}\,(S + S' - 2 (S^{1/2} S' S^{1/2})^{1/2})

    Args:
        x: samples, shape (rows, d).
        y: samples, shape (rows, d); ``None`` for the reference N(0, I).
    """
    dim = x.shape[1]
    ours = torch.cov(x.T).reshape(dim, dim)
    mean, cov = (
        (y.mean(0), torch.cov(y.T).reshape(dim, dim)) if y is not None else (0.0, torch.eye(dim).to(x))
    )
    half = _power(ours, 0.5)
    cross = _power(half @ cov @ half, 0.5)
    return ((x.mean(0) - mean) ** 2).sum() + (ours + cov - 2 * cross).trace()


def gelbrich_lower(x: Tensor, y: Tensor | None = None) -> float:
    """A lower bound of W2 from moments: jackknifed, two standard errors below, at least 0.

    Args:
        x: samples, shape (rows, d).
        y: samples of the other law, row i belonging to row i of x; ``None`` for N(0, I).
    """
    x = x.double()
    whole = gelbrich_squared(x, None if y is None else y.double())
    fold = torch.arange(len(x)) % FOLDS
    left_out = torch.stack(
        [gelbrich_squared(x[fold != i], None if y is None else y.double()[fold != i]) for i in range(FOLDS)]
    )
    value = FOLDS * whole - (FOLDS - 1) * left_out.mean()
    error = (left_out.std(correction=0) ** 2 * (FOLDS - 1)).sqrt()
    return float((value - 2 * error).clamp(min=0).sqrt())


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0) ** exponent) @ vectors.T
