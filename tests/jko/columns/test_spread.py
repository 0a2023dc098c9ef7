"""Categories on a line and on a simplex: which loses less, as the module of levels says."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture

from jko.columns.levels import Categorical
from jko.columns.real import Continuous
from jko.columns.schema import Schema

LEVELS, DRAWS = 6, 8


def test_a_line_is_nearer_to_the_truth_than_a_simplex() -> None:
    """A Gaussian mixture of 20 parts on the encoded rows; both are bounds, so neither is above the truth."""
    rng = np.random.default_rng(LEVELS)
    shares = rng.dirichlet(np.full(LEVELS, 2.0))
    mean, spread = rng.normal(0, 2, LEVELS), np.exp(rng.normal(-0.5, 0.4, LEVELS))
    codes = rng.choice(LEVELS, 5000, p=shares)
    noise = rng.standard_normal(5000)
    table = {"c": codes, "x": mean[codes] + spread[codes] * noise}
    truth = np.log(shares[codes] / spread[codes]) - 0.5 * noise**2 - 0.5 * math.log(2 * math.pi)
    loss = {}
    for name in ("line", "simplex"):
        levels = tuple(int(level) for level in np.argsort(-shares))
        schema = Schema(columns=(Categorical(name="c", levels=levels, spread=name), Continuous(name="x")))
        draws = [schema.encode(table, draw=draw) for draw in range(DRAWS + 1)]
        model = GaussianMixture(20, reg_covar=1e-4, random_state=0).fit(draws[0].values[:2500])
        logs = [model.score_samples(one.values[2500:]) + one.log_det[2500:] for one in draws[1:]]
        loss[name] = truth[2500:] - (logsumexp(logs, axis=0) - math.log(DRAWS))
    error = {name: float(values.std() / math.sqrt(2500)) for name, values in loss.items()}
    means = {name: float(values.mean()) for name, values in loss.items()}
    assert 0 < means["line"] < 0.12
    assert means["simplex"] > means["line"] + 3 * math.hypot(*error.values())
