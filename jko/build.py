"""Blocks as the settings of a run describe them."""

from __future__ import annotations

import torch

from jko.block import Block, Solver
from jko.config import Config
from jko.seeds import generator
from jko.velocity import VelocityField

#: dimension up to which ``auto`` takes the exact divergence of a field without trace formula
EXACT_LIMIT = 8


def torch_dtype(config: Config) -> torch.dtype:
    """The dtype numbers are computed in."""
    return {"float32": torch.float32, "float64": torch.float64}[config.runtime.dtype]


def new_block(config: Config, k: int, dim: int) -> Block:
    """Block k with the initial weights of its seed: the identity map.

    Args:
        config: settings of the run.
        k: index of the block, 1..N.
        dim: dimension d of the state.
    """
    network = config.network_of(k)
    field = VelocityField(
        dim, network.hidden, network.activation, fourier=network.fourier,
        fourier_scale=network.fourier_scale, generator=generator(config.seed, k, "init"),
    )  # fmt: skip
    block = Block(field, config.step_sizes[k - 1], solver_of(config, field))
    return block.to(device=config.runtime.device, dtype=torch_dtype(config))


def solver_of(config: Config, field: VelocityField) -> Solver:
    """The solver; ``auto`` takes the exact divergence where it is cheap."""
    settings = config.solver
    cheap = field.has_trace_formula or field.dim <= EXACT_LIMIT
    exact = settings.divergence == "exact" or (settings.divergence == "auto" and cheap)
    return Solver(settings.method, settings.steps, 0 if exact else settings.probes)
