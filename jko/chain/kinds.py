"""Log-probabilities of rows whose columns have kinds, by draws of the noise that makes them real numbers.

A row's draws go by its cells and a seed, so that it has one log-probability wherever it stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from jko.chain.chain import Chain
from jko.chain.noise import DRAWS, PIECE, noisy
from jko.columns.column import Values
from jko.columns.schema import Encoded, Schema
from jko.core.seeds import counter_seed
from jko.maps.row_seeds import RowSeeds
from jko.preparation.table import Array

#: noise by which rows are told apart: the middle of a simplex, as of 0.5, would belong to all its corners
FIXED = 0.3


def log_probabilities(
    chain: Chain,
    schema: Schema,
    cells: Mapping[str, Values],
    context: Array,
    *,
    seed: int,
    draws: int = DRAWS,
) -> Array:
    r"""Log-probability of rows and its standard error over draws of the noise, nats.

    .. math:: \log \frac{1}{K} \sum_{i \le K} \exp\big(\log q(z_i) + \log|\det|_i\big)

    It is exact where the schema is and log-determinants are exact. Else its mean over the noise is at most
    the log-probability, and comes up to it as K grows (Burda, Grosse & Salakhutdinov 2016). The error is that
    of the mean of the K probabilities over this mean.

    Args:
        chain: of the encoded columns.
        schema: the kinds.
        cells: of the columns that samples hold, by name, all of their kinds, shape (n,) each.
        context: of the rows, data units, shape (n, c).
        seed: the chain's.
        draws: K, where there is noise; at least 2.

    Returns:
        Shape (n, 2); the error is 0 where there is no noise. Equal rows have equal values.
    """
    fixed = fixed_rows(schema, cells)
    if not len(fixed):
        return np.empty((0, 2))
    both = np.concatenate([fixed, context], axis=1) + 0.0  # -0 is 0
    unique, first, places = np.unique(both, axis=0, return_index=True, return_inverse=True)
    count = draws if schema.exactness == "bound" or noisy(chain, torch.from_numpy(unique[:1])) else 1
    step = max(1, PIECE // count)
    parts = []
    for start in range(0, len(unique), step):
        rows = first[start : start + step]
        own = {name: values[rows] for name, values in cells.items()}
        keys = [_key(row, seed) for row in unique[start : start + step]]
        parts.append(_scored(chain, schema, own, context[rows], keys=keys, draws=count))
    return np.concatenate(parts)[places.ravel()]


def one_draw(schema: Schema, cells: Mapping[str, Values], *, seed: int) -> Array:
    """Rows as real numbers with the first draw of their own noise, shape (n, d)."""
    return own_draws(schema, cells, seed=seed, draws=1).values


def own_draws(schema: Schema, cells: Mapping[str, Values], *, seed: int, draws: int = DRAWS) -> Encoded:
    """Rows as real numbers with draws of their own noise, shape (n draws, d): first those of the first row.

    Args:
        schema: the kinds.
        cells: of the columns that samples hold, by name, shape (n,) each.
        seed: the chain's.
        draws: of every row.
    """
    keys = [_key(row, seed) for row in fixed_rows(schema, cells) + 0.0]
    many = {name: np.repeat(values, draws) for name, values in cells.items()}
    return schema.encode_cells(many, _noise(schema, keys, draws))


def fixed_rows(schema: Schema, cells: Mapping[str, Values]) -> Array:
    """Rows as real numbers without randomness, different ones for different cells, shape (n, d)."""
    count = len(next(iter(cells.values()))) if cells else 0
    return schema.encode_cells(cells, np.full((count, schema.noise_width), FIXED)).values


def _key(row: Array, seed: int) -> int:
    return counter_seed(seed, "cells", row.astype("<f8").tobytes().hex())


def _noise(schema: Schema, keys: list[int], draws: int) -> Array:
    """Noise of every draw of every row, shape (n draws, noise_width)."""
    found = [np.random.default_rng(key).random((draws, schema.noise_width)) for key in keys]
    return np.concatenate(found) if found else np.empty((0, schema.noise_width))


def _scored(
    chain: Chain,
    schema: Schema,
    cells: Mapping[str, Values],
    context: Array,
    *,
    keys: list[int],
    draws: int,
) -> Array:
    """Log-probability and its standard error of distinct rows, shape (n, 2)."""
    many = {name: np.repeat(values, draws) for name, values in cells.items()}
    encoded = schema.encode_cells(many, _noise(schema, keys, draws))
    rows = np.concatenate([encoded.values, np.repeat(context, draws, axis=0)], axis=1)
    seeds = RowSeeds(tuple(counter_seed(key, "probes", i) for key in keys for i in range(draws)))
    found = chain.log_prob(torch.from_numpy(rows), seed=seeds)[0].double().cpu().numpy() + encoded.log_det
    return log_mean(found.reshape(len(keys), draws))


def log_mean(values: Array) -> Array:
    """Log of the mean of exp, and its standard error, of shape (n, K) to (n, 2)."""
    count = values.shape[1]
    if count == 1:
        return np.concatenate([values, np.zeros_like(values)], axis=1)
    largest = values.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a row too far out has none
        weights = np.exp(values - largest)
        mean = weights.mean(axis=1)
        error = weights.std(axis=1, ddof=1) / (mean * math.sqrt(count))
        return np.stack([largest[:, 0] + np.log(mean), error], axis=1)
