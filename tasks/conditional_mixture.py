"""Gaussian mixtures of a state given its context: the baselines of conditional chains."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

Array = NDArray[np.float64]
#: most distinct contexts that get a mixture each, and fewest rows of each of them
MOST_CONTEXTS, FEWEST_ROWS = 50, 4


class ConditionalMixture:
    r"""The density of x given u by Gaussian mixtures.

    Where few contexts are there, each with some rows (classes), one mixture for each; else from one mixture
    of (x, u) and the marginal of u that it implies,

    .. math:: \log p(x \mid u) = \log p(x, u) - \log p(u)

    With a single component the latter is a linear regression on u with Gaussian noise. Either is a density
    in x for every u, so its mean negative log-density is never below the conditional entropy.

    Args:
        dim: d, columns of the state.
        components: number of Gaussians, of each mixture.
        ridge: added to the covariances.
        seed: of the start.
    """

    def __init__(self, dim: int, components: int, *, ridge: float, seed: int) -> None:
        self.dim, self.options = dim, {"reg_covar": ridge, "random_state": seed, "max_iter": 100}
        self.components = components
        self.apart: Mapping[bytes, GaussianMixture] = {}
        self.whole: GaussianMixture | None = None
        self.marginal: GaussianMixture | None = None
        self.pooled: GaussianMixture | None = None

    def fit(self, rows: Array) -> ConditionalMixture:
        """Fit to rows of state and context, shape (rows, d + c).

        Raises:
            ValueError: too few rows for the covariances without more regularisation.
        """
        groups = groups_of(rows[:, self.dim :])
        if groups is not None:
            self.apart = {
                key: self._fitted(rows[own, : self.dim], min(self.components, len(own) // FEWEST_ROWS))
                for key, own in groups.items()
            }
            self.pooled = self._fitted(rows[:, : self.dim], 1)
            return self
        self.whole = self._fitted(rows, self.components)
        self.marginal = marginal(self.whole, slice(self.dim, None))
        return self

    def score_samples(self, rows: Array) -> Array:
        """Log-densities of the states given the contexts, nats, shape (rows,).

        A context that was never seen gets the Gaussian of all states.
        """
        if self.whole is not None and self.marginal is not None:
            return self.whole.score_samples(rows) - self.marginal.score_samples(rows[:, self.dim :])
        values = np.empty(len(rows))
        for key, own in keyed(rows[:, self.dim :]).items():
            mixture = self.apart.get(key, self.pooled)
            assert mixture is not None  # there is one since the fit
            values[own] = mixture.score_samples(rows[own, : self.dim])
        return values

    def score(self, rows: Array) -> float:
        """The mean log-density."""
        return float(self.score_samples(rows).mean())

    def _fitted(self, rows: Array, components: int) -> GaussianMixture:
        return GaussianMixture(components, **self.options).fit(rows)


def keyed(context: Array) -> dict[bytes, NDArray[np.int64]]:
    """Numbers of the rows of every distinct context, by its bytes in float32."""
    values, own = np.unique(np.ascontiguousarray(context, dtype=np.float32), axis=0, return_inverse=True)
    return {value.tobytes(): np.flatnonzero(own.ravel() == i) for i, value in enumerate(values)}


def groups_of(context: Array) -> dict[bytes, NDArray[np.int64]] | None:
    """Rows by context where few contexts are there and each has enough of them; else ``None``."""
    distinct = np.unique(context[:, 0]) if context.shape[1] == 1 else np.unique(context, axis=0)
    if len(distinct) > MOST_CONTEXTS:
        return None
    groups = keyed(context)
    return groups if min(map(len, groups.values())) >= FEWEST_ROWS else None


def marginal(mixture: GaussianMixture, columns: slice) -> GaussianMixture:
    """The mixture of some columns that a mixture of all implies."""
    found = GaussianMixture(mixture.n_components)
    found.weights_, found.means_ = mixture.weights_, mixture.means_[:, columns]
    found.covariances_ = mixture.covariances_[:, columns, columns]
    lower = np.linalg.cholesky(found.covariances_)
    found.precisions_cholesky_ = np.linalg.inv(lower).transpose(0, 2, 1)
    return found
