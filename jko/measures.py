"""What is measured of a block and of a chain cut after it: one definition of each figure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.block import Block
from jko.chain import Chain, reference_log_prob
from jko.objective import potential
from jko.residual import EpsilonSquared, linear_critic, residual_data


@dataclass(frozen=True)
class BlockFigures:
    r"""Figures of block k on validation rows (x = x_{k−1}, y = x_k = T_k(x)).

    Args:
        kl_drop: ΔKL_k = E V(x) − E V(y) + E log|det ∇T_k(x)|, nats; an unbiased average.
        kl_drop_se: its standard error over rows, nats.
        nll: −E log q_0 of the chain cut after block k, nats, data units.
        nll_se: its standard error over rows, nats.
        movement: √E|y − x|², standardised units.
        inversion_error: √E|T_k⁻¹(y) − x|² with the block's own solver, standardised units.
        log_det_se: mean over rows of the standard error of log|det ∇T_k| over Hutchinson
            probes, nats; 0 where the divergence is exact.
        epsilon: √max(ε̂², 0), block pairing (see :mod:`jko.residual`); null with too few rows.
        epsilon_squared: ε̂² unclipped.
        epsilon_squared_se: its standard error.
        epsilon_class: the class of critics it was maximised over.
        loss_potential: E V(y), nats.
        loss_log_det: E log|det ∇T_k(x)|, nats.
        loss_transport: E|y − x|²/(2γ_k), nats.
    """

    kl_drop: float
    kl_drop_se: float
    nll: float
    nll_se: float
    movement: float
    inversion_error: float
    log_det_se: float
    epsilon: float
    epsilon_squared: float
    epsilon_squared_se: float
    epsilon_class: str
    loss_potential: float
    loss_log_det: float
    loss_transport: float


@torch.no_grad()
def measure_block(
    block: Block,
    x: Tensor,
    y: Tensor,
    *,
    log_det: Tensor,
    log_det_se: Tensor,
    total_log_det: Tensor,
    critic_centres: int = 0,
) -> BlockFigures:
    """Measure one block on held-out particles.

    Args:
        block: the trained block T_k.
        x: held-out samples of p_{k−1}, shape (rows, d).
        y: T_k(x) as stored, same rows in the same order.
        log_det: log|det ∇T_k(x)|, shape (rows,).
        log_det_se: its standard error over Hutchinson probes, shape (rows,).
        total_log_det: Σ_{j≤k} log|det ∇T_j| and the standardisation's, shape (rows,).
        critic_centres: Gaussian bumps of the critic that estimates ε.
    """
    error = measure_epsilon(block, x, y, critic_centres)
    drop = (potential(x).double() - potential(y).double()) + log_det.double()
    nll = -(reference_log_prob(y.double()) + total_log_det.double())
    moved = ((y - x).double() ** 2).sum(-1).mean()
    back = torch.cat([block.pull_back(rows) for rows in y.split(4096)])
    return BlockFigures(
        kl_drop=float(drop.mean()),
        kl_drop_se=standard_error(drop),
        nll=float(nll.mean()),
        nll_se=standard_error(nll),
        movement=float(moved.sqrt()),
        inversion_error=root_mean_square(back - x),
        log_det_se=float(log_det_se.mean()),
        epsilon=error.epsilon,
        epsilon_squared=error.value,
        epsilon_squared_se=error.se,
        epsilon_class=error.critic,
        loss_potential=float(potential(y).double().mean()),
        loss_log_det=float(log_det.double().mean()),
        loss_transport=float(moved / (2 * block.step_size)),
    )


def measure_epsilon(block: Block, x: Tensor, y: Tensor, centres: int) -> EpsilonSquared:
    """ε̂² of a block in block pairing on held-out rows; nan where they are too few for a critic.

    The bumps are left out where the affine class already asks for more than a twentieth of the rows.

    Args:
        block: the block T_k.
        x: held-out samples of p_{k−1}, shape (rows, d).
        y: T_k(x), same rows.
        centres: number of Gaussian bumps wanted.
    """
    rows, features = len(x), x.shape[1] + 1
    if rows < 2 * features:
        return EpsilonSquared(math.nan, math.nan, "too few rows")
    bumps = centres if rows >= 20 * (features + centres) else 0
    return linear_critic(y.cpu(), residual_data(x, y, block.step_size).cpu(), centres=bumps)


@torch.no_grad()
def chain_inversion_error(chain: Chain, x: Tensor) -> float:
    r"""Round trip of the whole chain, :math:`\sqrt{E|T^{-1}Tx - x|^2}`, standardised units.

    Args:
        chain: the chain, with its own solver and dtype.
        x: rows in data units, shape (rows, d).
    """
    back = chain.inverse(chain(x).x)
    return root_mean_square(chain.standardise(back) - chain.standardise(x))


def root_mean_square(difference: Tensor) -> float:
    """√E|difference|², rows along the first axis."""
    return float((difference.double() ** 2).sum(-1).mean().sqrt())


def standard_error(values: Tensor) -> float:
    """Standard error of a mean over rows; nan for a single row."""
    n = len(values)
    return float(values.double().std()) / math.sqrt(n) if n > 1 else math.nan
