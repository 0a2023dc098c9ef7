"""Rows by how little a flow expects them, and a second opinion on each: a Gaussian mixture."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from jko.chain.chain import Chain
from jko.chain.kinds import log_mean, log_probabilities, own_draws
from jko.chain.noise import DRAWS, log_densities
from jko.columns.column import Values
from jko.core.threads import all_threads, torch_threads
from jko.flow import Flow
from jko.laws.manufactured import GaussianMixture
from jko.maps.start_fit import fit_mixture
from jko.statistics.disputed import differences, limit_of

Array = NDArray[np.float64]
#: what is said of a row
FIELDS = np.dtype([("score", float), ("rank", np.int64), ("score_mixture", float), ("disputed", bool)])
#: nats above the broad law's own part from which it makes no difference to whether a score is disputed
CARRIED = 1.0
#: numbers of rows, components and columns that are kept at a time
PIECE = 20_000_000
#: rows that are drawn several times at once
ROWS = 20_000


@dataclass(frozen=True)
class SecondOpinion:
    """A Gaussian mixture of the training rows.

    Args:
        shift: origin of its units, shape (d,), data units.
        scale: their lengths, shape (d,), data units.
        law: in those units.
    """

    shift: Tensor
    scale: Tensor
    law: GaussianMixture

    @classmethod
    def of(cls, rows: Array) -> SecondOpinion:
        """The mixture of rows; a fifth of them chooses its size (:func:`jko.maps.start_fit.fit_mixture`).

        Args:
            rows: training rows without copies, data units, shape (rows, d).
        """
        shift, scale = rows.mean(axis=0), rows.std(axis=0)
        with warnings.catch_warnings(), all_threads(1):
            # of a mixture that has not settled: held-out rows judge it
            warnings.simplefilter("ignore")
            found = fit_mixture((rows - shift) / scale)
        law = GaussianMixture.of(found.log_weights.exp(), found.means, found.factors @ found.factors.mT)
        return cls(torch.from_numpy(shift), torch.from_numpy(scale), law)

    def log_density(self, rows: Array) -> Array:
        """Log-densities of rows of shape (rows, d), nats, data units, shape (rows,)."""
        u = (torch.from_numpy(rows) - self.shift) / self.scale
        size = max(1, PIECE // self.law.means.numel())
        values = torch.cat([self.law.log_prob(part) for part in u.split(size)])
        return (values - self.scale.log().sum()).numpy()

    def tensors(self) -> dict[str, Tensor]:
        """All that it is made of, by name."""
        law = {name: getattr(self.law, name) for name in ("weights", "means", "covariances")}
        return {"shift": self.shift, "scale": self.scale, **law}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> SecondOpinion:
        """The mixture that :meth:`tensors` were taken from."""
        law = GaussianMixture(*(tensors[name] for name in ("weights", "means", "covariances")))
        return cls(tensors["shift"], tensors["scale"], law)


def densities(flow: Flow, chain: Chain, rows: Array) -> Array:
    """Log-densities of rows, nats, data units, as ``jko score`` has them.

    Args:
        flow: what the chain is of.
        chain: the flow's own, or one like it in another dtype or without the defence.
        rows: shape (rows, d), data units.
    """
    with torch_threads(flow.config.runtime.threads), torch.no_grad():
        return log_densities(chain, None, rows, flow.facts, seed=flow.config.seed)[:, 0]


def blocks_alone(flow: Flow, chain: Chain, rows: Array, model: Array) -> Array:
    """Log-densities without the defence; those of rows to which it adds little are the model's.

    Args:
        flow: what the chain is of.
        chain: a copy of the flow's, which loses its defence.
        rows: shape (rows, d), data units.
        model: what :func:`densities` says of them.
    """
    if chain.defence is None:
        return model
    share, broad = chain.defence.share, chain.broad_log_prob(torch.from_numpy(rows))
    assert broad is not None  # there is a defence
    chain.defence = None
    carried = model < broad.cpu().numpy() + math.log(share) + CARRIED
    found = model.copy()
    found[carried] = densities(flow, chain, rows[carried])
    return found


def cell_probabilities(flow: Flow, chain: Chain, cells: Mapping[str, Values]) -> Array:
    """Log-probabilities of rows of a table whose columns have kinds, nats, as ``jko score`` has them.

    Args:
        flow: what the chain is of.
        chain: the flow's own, or one like it in another dtype or without the defence.
        cells: by column, all of their kinds, shape (rows,) each.
    """
    schema = flow.facts.kinds
    assert schema is not None  # cells are of a table with kinds
    none = np.empty((len(next(iter(cells.values()))), 0))
    with torch_threads(flow.config.runtime.threads), torch.no_grad():
        return log_probabilities(chain, schema, cells, none, seed=flow.config.seed)[:, 0]


def cells_by_mixture(flow: Flow, opinion: SecondOpinion, cells: Mapping[str, Values]) -> Array:
    """Log-probabilities of the same rows under a mixture of the real columns that they become, nats."""
    schema, found = flow.facts.kinds, []
    assert schema is not None  # cells are of a table with kinds
    rows = len(next(iter(cells.values())))
    for start in range(0, rows, ROWS):
        part = {name: values[start : start + ROWS] for name, values in cells.items()}
        drawn = own_draws(schema, part, seed=flow.config.seed)
        values = opinion.log_density(drawn.values) + drawn.log_det
        found.append(log_mean(values.reshape(-1, DRAWS))[:, 0])
    return np.concatenate([np.empty(0), *found])


def anomaly_table(model: Array, blocks: Array, mixture: Array, columns: int) -> NDArray[np.void]:
    r"""What is said of every row.

    .. math:: score_i = -\log q(x_i), \quad
        disputed_i \Leftrightarrow |\log q_{chain}(x_i) - \log q_{mix}(x_i)| > L

    with L of :func:`jko.statistics.disputed.limit_of`.

    Args:
        model: log-densities of the rows under the model, nats, all three in the same units, shape (rows,).
        blocks: the same under its blocks without the defence.
        mixture: the same under the second opinion.
        columns: d.

    Returns:
        Shape (rows,), with the fields ``score`` (nats), ``rank`` (1 for the oddest row, equal for equal
        scores), ``score_mixture`` (nats) and ``disputed``.
    """
    found = np.empty(len(model), FIELDS)
    found["score"] = -model
    found["rank"] = rankdata(np.where(np.isnan(model), -math.inf, model), method="min")
    found["score_mixture"] = -mixture
    found["disputed"] = np.abs(differences(blocks, mixture)) > limit_of(columns)
    return found
