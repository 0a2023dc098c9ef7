"""Blocks as the settings of a run describe them."""

from __future__ import annotations

import torch

from jko.block import Block, Solver
from jko.config import Config
from jko.contraction import ContractionField
from jko.invertible import InvertibleBlock
from jko.residual_block import ResidualBlock
from jko.seeds import generator
from jko.velocity import VelocityField

#: dimension up to which ``auto`` takes the exact divergence of a field without trace formula, and the exact
#: log-determinant of a residual block
EXACT_LIMIT = 8


def torch_dtype(config: Config) -> torch.dtype:
    """The dtype numbers are computed in."""
    return {"float32": torch.float32, "float64": torch.float64}[config.runtime.dtype]


def new_block(config: Config, k: int, dim: int) -> InvertibleBlock:
    """Block k with the initial weights of its seed: the identity map.

    Args:
        config: settings of the run.
        k: index of the block, 1..N.
        dim: dimension d of the state.
    """
    build = {"ode": _ode_block, "residual": _residual_block}[config.network.kind]
    return build(config, k, dim).to(device=config.runtime.device, dtype=torch_dtype(config))


def _ode_block(config: Config, k: int, dim: int) -> InvertibleBlock:
    network = config.network_of(k)
    field = VelocityField(
        dim, network.hidden, network.activation, fourier=network.fourier,
        fourier_scale=network.fourier_scale, generator=generator(config.seed, k, "init"),
    )  # fmt: skip
    return Block(field, config.step_sizes[k - 1], solver_of(config, field))


def _residual_block(config: Config, k: int, dim: int) -> InvertibleBlock:
    network = config.network_of(k)
    field = ContractionField(
        dim, network.hidden, network.activation, lipschitz=network.lipschitz,
        generator=generator(config.seed, k, "init"),
    )  # fmt: skip
    return ResidualBlock(field, config.step_sizes[k - 1], residual_probes(config, dim), index=k)


def solver_of(config: Config, field: VelocityField) -> Solver:
    """The solver; ``auto`` takes the exact divergence where it is cheap."""
    cheap = field.has_trace_formula or field.dim <= EXACT_LIMIT
    return Solver(config.solver.method, config.solver.steps, probes_of(config, cheap=cheap))


def residual_probes(config: Config, dim: int) -> int:
    """Number of probes of a residual block, 0 where its log-determinant is exact."""
    return probes_of(config, cheap=dim <= EXACT_LIMIT)


def probes_of(config: Config, *, cheap: bool) -> int:
    """Number of probes for the log-determinant, 0 where it is exact: on demand, or with ``auto`` if cheap."""
    exact = config.solver.divergence == "exact" or (config.solver.divergence == "auto" and cheap)
    return 0 if exact else config.solver.probes
