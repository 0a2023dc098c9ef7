"""Flow matching with batches paired by optimal transport, of the library torchcfm (arXiv:2302.00482)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchcfm.conditional_flow_matching import ExactOptimalTransportConditionalFlowMatcher
from torchcfm.models import MLP
from torchdiffeq import odeint

from benchmarks.budget import Budget
from benchmarks.evaluate import LogDensity, Track
from benchmarks.methods.training import Recipe, train
from benchmarks.problem import Problem
from jko.chain.chain import reference_log_prob
from jko.core.seeds import counter_seed
from jko.maps.divergence import exact_divergence

#: tolerance with which every model is judged; the mean log-density is within 1e-4 nats of that at 1e-6
TOLERANCE = 1e-4


def fit(problem: Problem, budget: Budget, setting: Mapping[str, Any], seed: int, track: Track) -> LogDensity:
    """Regress the velocity from noise to data; the density comes from the equation solved back.

    Args:
        problem: the set.
        budget: CPU seconds to spend.
        setting: ``sigma`` of the paths, ``width`` of the network, and the recipe's.
        seed: of the weights, the noise and the batches.
        track: called with the best model so far.
    """
    torch.manual_seed(counter_seed(seed, "ot_cfm"))  # the library draws from torch's own generator
    network = MLP(dim=problem.dim, w=setting["width"], time_varying=True)
    matcher = ExactOptimalTransportConditionalFlowMatcher(sigma=setting["sigma"])

    def loss(rows: Tensor, draw: torch.Generator) -> Tensor:
        noise = torch.randn(rows.shape, generator=draw)
        t, x, velocity = matcher.sample_location_and_conditional_flow(noise, rows)
        return ((network(torch.cat([x, t[:, None]], dim=-1)) - velocity) ** 2).mean()

    return train(
        network,
        loss,
        log_density,
        problem,
        budget,
        recipe=Recipe.of(setting),
        seed=seed,
        track=track,
        validation_rows=1000,  # each costs a solve
    )


def log_density(network: nn.Module) -> LogDensity:
    r"""The density of the flow at time 1, the exact divergence solved along.

    .. math:: \log p_1(x) = \log N(x(0)) - \int_0^1 \nabla\cdot v(x(t), t)\,dt, \quad x(1) = x

    Args:
        network: v, from rows (n, d + 1) with the time last to velocities (n, d).
    """

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        moved: Tensor = network(torch.cat([x, t.expand(len(x), 1)], dim=-1))
        return moved

    field = exact_divergence(velocity)

    def log_prob(rows: Tensor) -> Tensor:
        start = rows, torch.zeros(len(rows))
        x, divergence = odeint(
            lambda t, state: field(state[0], t), start, torch.tensor([1.0, 0.0]),
            method="dopri5", rtol=TOLERANCE, atol=TOLERANCE,
        )  # fmt: skip
        # solved backwards, the integral has the sign that the formula asks for
        return reference_log_prob(x[-1]) + divergence[-1]

    return log_prob
