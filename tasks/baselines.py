"""The two baselines of every report, fitted on the same training rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Tensor

from jko.certify.bracket import LogDensity, bracket
from jko.certify.resolution import Bracket
from jko.core.digest import Json, digest_of
from jko.core.errors import InputError
from jko.core.records import Number, Record
from jko.core.rows import at_most, drawn
from jko.disk.identity import MEASURES
from jko.disk.sealed import read_sealed, write_sealed
from tasks.adapters.store.chain_store import ChainStore
from tasks.bracket_rows import BracketRows, bracket_rows
from tasks.conditional_mixture import ConditionalMixture
from tasks.held_out import part_of

Array = NDArray[np.float64]
#: rows that a mixture is fitted to, and that its settings are chosen by
FITTED_ROWS, CHOOSING_ROWS = 20_000, 5000
#: rows scored at a time
PIECE = 100_000
#: added to the covariances of standardised rows, so that a component cannot collapse
REGULARISATION = (1e-6, 1e-2, 1e-1)


@dataclass(frozen=True)
class Baseline:
    """A fitted Gaussian or Gaussian mixture.

    Args:
        shift: origin of its units, shape (d + c,), data units.
        scale: their lengths, shape (d + c,), data units.
        mixture: in those units.
        dim: d.
    """

    shift: Array
    scale: Array
    mixture: GaussianMixture | ConditionalMixture
    dim: int

    def log_density(self, rows: Array) -> Array:
        """Log-densities of the state, given its context if there is one, nats, data units."""
        scored = _scores(self.mixture, (rows - self.shift) / self.scale)
        return scored - np.log(self.scale[: self.dim]).sum()

    def sample(self, count: int) -> Array | None:
        """Rows of the law, shape (count, d), data units; ``None`` where it is conditional."""
        if isinstance(self.mixture, ConditionalMixture):
            return None
        drawn: Array = self.mixture.sample(count)[0] * self.scale + self.shift
        return drawn


def fitted_baselines(
    parts: Mapping[str, Array], components: Sequence[int], seed: int, *, dim: int | None = None
) -> dict[str, Baseline]:
    """A Gaussian and a Gaussian mixture of the training rows.

    Both have full covariances; regularisation, and for the mixture the number of components,
    are chosen by the likelihood of the validation rows. With a context both are of the state given it
    (see :class:`tasks.conditional_mixture.ConditionalMixture`).

    Args:
        parts: ``train`` and ``validation`` rows, (rows, d + c), data units.
        components: numbers of components to try.
        seed: of the mixture's start.
        dim: d; all columns by default.
    """
    used = {
        "train": at_most(parts["train"], FITTED_ROWS),
        "validation": at_most(parts["validation"], CHOOSING_ROWS),
    }
    shift, scale = used["train"].mean(axis=0), used["train"].std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)  # a class may have no row among these, and a column one value
    rows = {name: (values - shift) / scale for name, values in used.items()}
    usable = _usable(components, len(parts["train"]))
    return {
        name: Baseline(shift, scale, _best(rows, counts, seed, dim=dim), dim or len(scale))
        for name, counts in (("gaussian", [1]), ("mixture", usable))
    }


def baseline_log_densities(
    parts: Mapping[str, Array], components: Sequence[int], seed: int, *, dim: int | None = None
) -> dict[str, Array]:
    """Log-densities of ``test`` rows under :func:`fitted_baselines`, nats, data units."""
    fitted = fitted_baselines(parts, components, seed, dim=dim)
    return {name: one.log_density(parts["test"]) for name, one in fitted.items()}


def baseline_brackets(fitted: Mapping[str, Baseline], store: ChainStore) -> dict[str, tuple[Bracket, ...]]:
    """KL of data and baselines at every resolution, by test rows and as many samples as of the chain.

    Of smoothed rows they are judged as the chain is, see :func:`tasks.bracket.how_far_apart`.
    """
    own, config = bracket_rows(store), store.config
    if own is None or store.facts.context or (own.blurred and store.facts.start is not None):
        return {}
    found = {}
    for name, one in fitted.items():
        drawn = one.sample(config.measure.samples)
        assert drawn is not None  # there is no context
        densities = {own.blurred: _in_units(one, own)} if own.blurred else {}
        found[name] = tuple(
            bracket(
                own.rows, own.of(torch.from_numpy(drawn)),
                resolutions=own.resolutions(config.measure.resolutions), densities=densities,
                blurred=own.blurred, seed=config.seed,
            )
        )  # fmt: skip
    return found


def _in_units(baseline: Baseline, own: BracketRows) -> LogDensity:
    """The log-density of a baseline, of rows in the units of a bracket."""
    centre, spread = own.units

    def log_density(rows: Tensor) -> Tensor:
        values = baseline.log_density(centre + spread * rows.double().numpy())
        return torch.from_numpy(values + np.log(spread).sum())

    return log_density


class LogDensities(Record):
    """Log-densities of rows, nats, data units."""

    log_density: list[Number]


def mixture_log_density(store: ChainStore) -> Array:
    """Log-densities of the rows that the chain is measured on under a Gaussian mixture, nats, data units.

    Its settings are chosen within the training rows, so that these rows stay held out.
    They are kept in the run folder, sealed: the same for every block.
    """
    facts = store.facts
    part = part_of(store.config, facts)
    settings: dict[str, Json] = {
        "part": part,
        "data": store.fingerprints[0], "components": store.config.evaluation.mixture_components,
        "seed": store.config.seed, "version": MEASURES,
    }  # fmt: skip
    identity = digest_of(settings)
    path = store.layout.run / "mixture" / f"{identity[:12]}.json"
    known = read_sealed(path, LogDensities, identity)
    if known is not None:
        return np.array(known.log_density)
    stored = store.samples(0, "train", facts.rows["source"])
    train = drawn(stored, FITTED_ROWS + CHOOSING_ROWS).astype(float)
    first = len(train) // 5  # those before are held out, if there are enough
    rows = {"train": train[first:], "validation": train[:first] if first >= 2 else train}
    usable = _usable(store.config.evaluation.mixture_components, len(rows["train"]))
    best = _best(rows, usable, store.config.seed, dim=facts.dim)
    held_out = store.samples(0, part).astype(float)
    values = _scores(best, held_out) + facts.log_det(held_out)
    write_sealed(path, LogDensities(log_density=values.tolist()), identity)
    return values


def _scores(mixture: GaussianMixture | ConditionalMixture, rows: Array) -> Array:
    """Log-densities, some rows at a time: a mixture keeps several numbers a row and component."""
    return np.concatenate([mixture.score_samples(rows[i : i + PIECE]) for i in range(0, len(rows), PIECE)])


def _usable(components: Sequence[int], rows: int) -> Sequence[int]:
    """Numbers of components that so many rows allow."""
    return [count for count in components if count * 4 <= rows] or [1]


def _best(
    rows: Mapping[str, Array], components: Sequence[int], seed: int, *, dim: int | None
) -> GaussianMixture | ConditionalMixture:
    """The mixture with the highest validation likelihood; of the first ``dim`` columns given the others."""
    conditional = dim is not None and dim < rows["train"].shape[1]
    fitted = []
    # one thread: more of them wait for each other on matrices this small
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for count in components:
            for ridge in REGULARISATION:
                mixture = (
                    ConditionalMixture(dim, count, ridge=ridge, seed=seed)
                    if dim is not None and conditional
                    else GaussianMixture(count, reg_covar=ridge, random_state=seed, max_iter=100)
                )
                try:
                    mixture.fit(rows["train"])
                except ValueError:
                    continue  # too few rows for this covariance without more regularisation
                fitted.append((mixture.score(rows["validation"]), -count, -ridge, mixture))
    if not fitted:
        raise InputError(
            "no Gaussian mixture can be fitted to the training rows: they are too few or too far apart; "
            "set evaluation.mixture_components to fewer, such as [1]"
        )
    return max(fitted, key=lambda entry: entry[:3])[3]
