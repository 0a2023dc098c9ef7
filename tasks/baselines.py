"""The two baselines of every report, fitted on the same training rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from jko.config import Config
from tasks.adapters.commit import digest_of, read_json, write_json
from tasks.adapters.layout import Layout
from tasks.adapters.store import read_facts, read_samples

Array = NDArray[np.float64]
#: added to the covariances of standardised rows, so that a component cannot collapse
REGULARISATION = (1e-6, 1e-2, 1e-1)


def baseline_log_densities(
    parts: Mapping[str, Array], components: Sequence[int], seed: int
) -> dict[str, Array]:
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
    usable = _usable(components, rows["train"])
    return {
        "gaussian": _best(rows, [1], seed).score_samples(rows["test"]) - log_det,
        "mixture": _best(rows, usable, seed).score_samples(rows["test"]) - log_det,
    }


def mixture_log_density(config: Config, layout: Layout, chain: tuple[str, ...]) -> Array:
    """Log-densities of the validation rows under a Gaussian mixture of the data, nats, data units.

    Its settings are chosen within the training rows, so that the validation rows stay held out.
    They are kept in the run folder: the same for every block.
    """
    facts = read_facts(layout, chain[0])
    settings = {"data": chain[0], "components": config.evaluation.mixture_components, "seed": config.seed}
    path = layout.run / "mixture" / f"{digest_of(settings)[:12]}.json"
    known = read_json(path)
    if known is not None:
        return np.array(known)
    train = read_samples(layout, 0, chain[0], "train")[: facts.rows["source"]].astype(float)
    fitted, held_out = train[len(train) // 5 :], train[: len(train) // 5]
    rows = {"train": fitted, "validation": held_out}
    best = _best(rows, _usable(config.evaluation.mixture_components, fitted), config.seed)
    validation = read_samples(layout, 0, chain[0], "validation").astype(float)
    values = best.score_samples(validation) - np.log(facts.scale).sum()
    write_json(path, values.tolist())
    return values


def _usable(components: Sequence[int], rows: Array) -> Sequence[int]:
    """Numbers of components that so many rows allow."""
    return [count for count in components if count * 4 <= len(rows)] or [1]


def _best(rows: Mapping[str, Array], components: Sequence[int], seed: int) -> GaussianMixture:
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
