"""The gate on trained chains: one that was made worse on purpose never passes, one trained again does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from jko.chain.chain import push_in_batches, reference_log_prob
from jko.config.sections import Training
from jko.core.seeds import generator
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField
from jko.training.block_trainer import fit_block
from tasks.compare.comparison import Comparison
from tasks.compare.gate import judge, parse_condition
from tests.tasks.test_gate import subject, with_rows

STEPS = (0.5, 2.0)
GOOD, BAD = 400, 30
GATE = parse_condition("test/nll > +2se")


def orders(rows: int, seed: int) -> Tensor:
    """Amounts with a heavy tail beside what grows with them, standardised."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((rows, 2))
    x = np.stack([np.exp(z[:, 0]), z[:, 0] + 0.3 * rng.standard_t(4, rows) + z[:, 1] ** 2], axis=1)
    return torch.from_numpy((x - [1.65, 1.0]) / [2.16, 1.9]).float()


def log_density(iterations: int, seed: int, test: Tensor) -> np.ndarray:
    """Log-density of test rows under a chain of two blocks, each trained so many iterations."""
    train, validation, y = orders(1500, 0), orders(200, 1), test
    total = torch.zeros(len(test), dtype=torch.float64)
    settings = Training(
        flow_matching_iterations=iterations, flow_matching_learning_rate=0.01, iterations=0, batch_size=128,
        validate_every=iterations,
    )  # fmt: skip
    for k, gamma in enumerate(STEPS, start=1):
        block = Block(VelocityField(2, (32,), generator=generator(seed, k, "init")), gamma, Solver(steps=2))
        fit_block(block, train, validation, settings, seed=seed, index=k)
        with torch.no_grad():
            pushed = push_in_batches(block, y, 4096, generator(seed, k, "probes"))
            y, total = pushed.x, total + pushed.log_det.double()
            train, validation = block.push_forward(train), block.push_forward(validation)
    return (reference_log_prob(y.double()) + total).numpy()


@pytest.fixture(scope="module")
def champion() -> np.ndarray:
    return log_density(GOOD, 0, orders(400, 2))


def passes(champion: np.ndarray, candidate: np.ndarray) -> bool:
    runs = [with_rows(subject(name, 1.0), rows) for name, rows in (("a", champion), ("b", candidate))]
    (found,) = judge(Comparison(runs), [GATE])
    return not found.tripped


def test_a_chain_made_worse_on_purpose_never_passes(champion: np.ndarray) -> None:
    """Twenty tries of other seeds; the mean alone lets some of them pass if a row explodes."""
    test = orders(400, 2)
    for seed in range(1, 21):
        candidate = log_density(BAD, seed, test)
        assert not passes(champion, candidate)
        candidate[seed] -= 10 ** (2 + seed % 4)  # and with a row that explodes
        assert not passes(champion, candidate)


def test_the_same_chain_passes(champion: np.ndarray) -> None:
    assert passes(champion, champion)
