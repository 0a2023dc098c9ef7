"""The peers' densities are densities; only where the peers are installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.budget import Budget
from benchmarks.evaluate import Track, log_densities
from benchmarks.methods import METHODS
from benchmarks.problems import law_problem
from benchmarks.settings import SETTINGS
from jko.laws.densities import eight_gaussians


@pytest.mark.parametrize("name", ["nsf", "cnf", "ot_cfm"])
def test_the_mass_of_a_peer_is_one(name: str) -> None:
    method = METHODS[name]
    if method.missing:
        pytest.skip(f"{', '.join(method.missing)} not installed")
    problem = law_problem("tiny", "plane", eight_gaussians(), 0, rows=(2000, 50, 50))
    fit, budget = method.load(), Budget(0.7)
    density = fit(problem, budget, SETTINGS[name]["default"], 0, Track(problem, budget))
    axis = torch.from_numpy(((np.arange(50) + 0.5) / 50 * 10 - 5).astype(np.float32))
    mass = log_densities(density, torch.cartesian_prod(axis, axis)).exp().sum() * 0.2**2
    assert float(mass) == pytest.approx(1, abs=0.05)  # the grid is coarse against what little training leaves
