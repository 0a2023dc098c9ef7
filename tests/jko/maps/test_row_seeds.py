"""Probes by rows: equal seeds give equal numbers, whoever stands beside them."""

from __future__ import annotations

import math

import pytest
import torch

from jko.build import new_block
from jko.chain.chain import Chain, push_in_batches
from jko.config import parse_config
from jko.maps.invertible import InvertibleBlock
from jko.maps.ode_block import Block, Solver
from jko.maps.row_seeds import RowSeeds, probe_source

DIM = 12


def block_of(kind: str) -> InvertibleBlock:
    config = parse_config(
        {"data": {"source": "moons"}, "steps": {"count": 1}, "network": {"hidden": [16], "kind": kind},
         "solver": {"divergence": "hutchinson", "probes": 2, "steps": 2}}
    )  # fmt: skip
    torch.manual_seed(0)
    block = new_block(config, 1, DIM)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return block.eval()


@pytest.mark.parametrize("kind", ["ode", "residual"])
@torch.no_grad()
def test_a_row_has_its_own_probes_in_any_order(kind: str) -> None:
    block, x = block_of(kind), torch.randn(20, DIM)
    seeds = tuple(range(100, 120))
    whole = push_in_batches(block, x, 7, probe_source(RowSeeds(seeds), 1)).log_det
    order = torch.randperm(20)
    mixed = RowSeeds(tuple(seeds[i] for i in order))
    found = push_in_batches(block, x[order], 4096, probe_source(mixed, 1)).log_det
    torch.testing.assert_close(found, whole[order], rtol=1e-4, atol=1e-4)
    other = push_in_batches(block, x, 7, probe_source(RowSeeds(tuple(range(20))), 1)).log_det
    assert (other - whole).abs().min() > 0


@pytest.mark.parametrize("kind", ["ode", "residual"])
@torch.no_grad()
def test_their_mean_is_the_log_determinant(kind: str) -> None:
    block, x = block_of(kind), torch.randn(1, DIM)
    chain = Chain([block], torch.zeros(DIM), torch.ones(DIM))
    found = chain(x.repeat(2000, 1), seed=RowSeeds(tuple(range(2000)))).log_det.double()
    exact = block.exact()(x.double()).log_det.item()
    assert abs(found.mean().item() - exact) < 4.5 * found.std().item() / math.sqrt(2000) + 1e-5


def test_exact_blocks_have_no_probes() -> None:
    block = block_of("ode")
    assert isinstance(block, Block)
    block.solver = Solver(probes=0)
    assert RowSeeds((1, 2)).probes(1, block, torch.zeros(2, DIM)) is None
