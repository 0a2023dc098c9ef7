"""The two baselines of every report, fitted on the same training rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

#: added to the covariances of standardised rows, so that a component cannot collapse
REGULARISATION = (1e-6, 1e-2, 1e-1)


def baseline_log_densities(
    parts: Mapping[str, NDArray[np.float64]], components: Sequence[int], seed: int
) -> dict[str, NDArray[np.float64]]:
    """Log-densities of test rows under a Gaussian and a Gaussian mixture, nats, data units.

    Both have full covariances; regularisation, and for the mixture the number of components,
    are chosen by the likelihood of the validation rows.

    Args:
        parts: ``train``, ``validation``, ``test`` rows, data units.
        components: numbers of components to try.
        seed: of the mixture's start.
    """
    shift, scale = parts["train"].mean(axis=0), parts["train"].std(axis=0)
    rows = {name: (values - shift) / scale for name, values in parts.items()}
    log_det = np.log(scale).sum()
    usable = [count for count in components if count * 4 <= len(rows["train"])] or [1]
    return {
        "gaussian": _best(rows, [1], seed).score_samples(rows["test"]) - log_det,
        "mixture": _best(rows, usable, seed).score_samples(rows["test"]) - log_det,
    }


def _best(rows: Mapping[str, NDArray[np.float64]], components: Sequence[int], seed: int) -> GaussianMixture:
    """The mixture with the highest validation likelihood."""
    fitted = []
    # one thread: more of them wait for each other on matrices this small
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for count in components:
            for ridge in REGULARISATION:
                mixture = GaussianMixture(count, reg_covar=ridge, random_state=seed, max_iter=100)
                try:
                    mixture.fit(rows["train"][:20_000])
                except ValueError:
                    continue  # too few rows for this covariance without more regularisation
                fitted.append((mixture.score(rows["validation"][:5000]), -count, -ridge, mixture))
    return max(fitted, key=lambda entry: entry[:3])[3]
