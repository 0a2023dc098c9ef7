"""Figures of a toy chain, stored: whoever changes them must raise ``NUMERICS``."""

from __future__ import annotations

import torch

from jko.config import NUMERICS
from jko.config.sections import Training
from jko.core.seeds import generator
from jko.maps.ode_block import Block
from jko.maps.velocity import VelocityField
from jko.training.block_trainer import fit_block

#: NUMERICS -> best validation objective of three blocks, nats
STORED = {1: (1.189092, 0.991802, 0.871485)}


def test_training_computes_what_it_computed_when_numerics_was_last_raised() -> None:
    x = torch.randn(300, 2, generator=generator(0, "toy"), dtype=torch.float64) * 0.5 + 1
    settings = Training(
        flow_matching_iterations=30, iterations=20, batch_size=64, jitter=0.1, validate_every=10
    )
    found = []
    for k in (1, 2, 3):
        field = VelocityField(2, (8, 8), generator=generator(0, k, "init")).double()
        block = Block(field, 0.4)
        found.append(fit_block(block, x[:200], x[200:], settings, seed=0, index=k).best.objective)
        with torch.no_grad():
            x = block.push_forward(x)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(STORED[NUMERICS]), rtol=0, atol=1e-5)
