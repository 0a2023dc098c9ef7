"""Blocks as the settings of a run describe them."""

from __future__ import annotations

import inspect

import numpy as np
import torch

from jko.chain.chain import Reference, reference_log_prob
from jko.config import Config
from jko.core.errors import InputError
from jko.core.seeds import generator
from jko.energies.functional import (
    Entropy,
    Functional,
    PotentialEnergy,
    PowerEnergy,
    QuadraticInteraction,
    Term,
)
from jko.energies.scheme import LogDensity, Step
from jko.laws.densities import Density, DiagonalGaussian
from jko.laws.targets import TARGETS, Target
from jko.maps.contraction import ContractionField
from jko.maps.divergence import EXACT_LIMIT
from jko.maps.invertible import InvertibleBlock
from jko.maps.ode_block import Block, Solver
from jko.maps.residual_block import ResidualBlock
from jko.maps.velocity import VelocityField


def torch_dtype(config: Config) -> torch.dtype:
    """The dtype numbers are computed in."""
    return {"float32": torch.float32, "float64": torch.float64}[config.runtime.dtype]


def new_block(config: Config, k: int, dim: int, *, context: int = 0) -> InvertibleBlock:
    """Block k with the initial weights of its seed: the identity map.

    Args:
        config: settings of the run.
        k: index of the block, 1..N.
        dim: dimension d of the state.
        context: columns c of the context; a residual block takes none.

    Raises:
        InputError: its log-determinants are estimates, and the settings ask for what needs the density.
    """
    residual = config.network.kind == "residual"
    block = _residual_block(config, k, dim) if residual else _ode_block(config, k, dim, context)
    asked = {"correction": config.target.correction, "power": config.target.power}
    name = next((name for name, value in asked.items() if value), "")
    if name and block.draw_probes(torch.zeros(1, dim)) is not None:
        raise InputError(
            f"target.{name} = {asked[name]:g} needs exact log-determinants, and blocks of "
            f"this network in {dim} dimensions estimate theirs; set solver.divergence = exact"
        )
    return block.to(device=config.runtime.device, dtype=torch_dtype(config))


def _ode_block(config: Config, k: int, dim: int, context: int) -> InvertibleBlock:
    network = config.network_of(k)
    field = VelocityField(
        dim, network.hidden, network.activation, fourier=network.fourier,
        fourier_scale=network.fourier_scale, context=context, generator=generator(config.seed, k, "init"),
    )  # fmt: skip
    return Block(field, config.step_sizes[k - 1], solver_of(config, field))


def _residual_block(config: Config, k: int, dim: int) -> InvertibleBlock:
    network = config.network_of(k)
    field = ContractionField(
        dim, network.hidden, network.activation, lipschitz=network.lipschitz,
        generator=generator(config.seed, k, "init"),
    )  # fmt: skip
    return ResidualBlock(field, config.step_sizes[k - 1], residual_probes(config, dim), index=k)


def target_of(config: Config, dim: int) -> Target | None:
    """The law by its potential that the chain leads to; ``None`` without a potential.

    Raises:
        InputError: options that the target does not take, or another dimension than it has.
    """
    settings = config.target
    if settings.potential == "none":
        return None
    whole = {name: int(value) if value == int(value) else value for name, value in settings.options.items()}
    try:
        target = TARGETS[settings.potential](dim, **whole)
    except TypeError:
        known = list(inspect.signature(TARGETS[settings.potential]).parameters)[1:]
        raise InputError(
            f"target.options = {dict(settings.options)} is not allowed for {settings.potential}; "
            f"it takes {', '.join(known) or 'none'}"
        ) from None
    if target.dim != dim:
        raise InputError(
            f"target.potential = {settings.potential} has {target.dim} dimensions and data.mean {dim}"
        )
    return target


def functional_of(config: Config, dim: int) -> Functional | None:
    """The functional that the steps descend; ``None`` for KL to N(0, I)."""
    settings, target = config.target, target_of(config, dim)
    if settings.standard:
        return None
    terms: list[Term] = []
    if target is not None:
        name = f"potential of {settings.potential.replace('_', ' ')}"
        terms.append(PotentialEnergy(target.potential, target.convexity, name))
    if settings.interaction:
        terms.append(QuadraticInteraction(settings.interaction))
    if settings.entropy == "on":
        terms.append(Entropy())
    if settings.power is not None:
        terms.append(PowerEnergy(settings.power))
    return Functional(tuple(terms))


def step_of(config: Config, dim: int, log_density: LogDensity | None = None) -> Step:
    """What a block minimises; ``log_density`` is that of the law that enters it, where it is needed."""
    return Step(functional_of(config, dim), config.scheme, log_density)


def reference_of(config: Config, dim: int) -> Reference:
    """Log-density of the law that the chain leads to; up to log Z where that is unknown."""
    target = target_of(config, dim)
    if config.target.standard or target is None:
        return reference_log_prob
    constant = target.log_normaliser or 0.0
    return lambda z: -target.potential(z) - constant


def start_law(config: Config) -> Density | None:
    """The law that a chain to another target than N(0, I) starts from; ``None`` for a chain from data."""
    if config.target.standard:
        return None
    return DiagonalGaussian(np.array(config.data.mean), np.array(config.data.std))


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
