"""What is measured of a block and of a chain cut after it: one definition of each figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from jko.chain.chain import Chain, reference_log_prob
from jko.config.sections import Measure
from jko.energies.functional import Functional, gaussian_reference
from jko.laws.densities import Estimate
from jko.laws.score import Score, mean_square, score_after
from jko.maps.invertible import InvertibleBlock
from jko.maps.jacobian import asymmetry
from jko.measure.epsilon import at_first, measure_epsilon
from jko.measure.figures import BlockFigures
from jko.measure.inversion import block_inversion_error
from jko.measure.residual import EpsilonSquared, residual_data
from jko.statistics.tails import tail_of
from jko.statistics.transport import gelbrich_lower, optimal_back
from jko.statistics.two_sample import kl_lower_bound

__all__ = [
    "HeldOut",
    "chain_inversion_error",
    "measure_block",
    "measure_epsilon",
    "root_mean_square",
    "standard_error",
]

#: figures by name
Named = dict[str, float | str | bool]
#: Jacobian entries per coordinate that are affordable: rows · d
JACOBIAN_BUDGET = 4096
#: rows at which the exact score is taken back through the chain
EXACT_ROWS = 1000
FEWEST_ROWS = 40


class Known(TypedDict):
    """What is given to a critic beside the particles."""

    energy: Functional
    log_density: Tensor | None


@dataclass(frozen=True)
class HeldOut:
    """Held-out particles of a block, with their context where there is one; all on one device.

    Args:
        x: samples of p_{k−1}, shape (rows, d + c).
        y: T_k(x) as stored, same rows in the same order.
        log_det: log|det ∇T_k(x)|, shape (rows,).
        log_det_se: its standard error over Hutchinson probes, shape (rows,).
        total_log_det: Σ_{j≤k} log|det ∇T_j| and the standardisation's, shape (rows,).
        rival: log-density of the rows under another model of the data, nats, data units, shape
            (rows,); its own NLL is never below the entropy.
        log_reference: log q(y) where q is not N(0, I), nats, up to a constant, shape (rows,).
        log_density: log p_k(y), nats, shape (rows,); for an internal energy that needs it.
        lowest: x*, where the potential of a λ-convex functional is least, shape (d,); with it the distance of
            x to it is measured, and the Fisher information of p_{k−1}.
    """

    x: Tensor
    y: Tensor
    log_det: Tensor
    log_det_se: Tensor
    total_log_det: Tensor
    rival: Tensor | None = None
    log_reference: Tensor | None = None
    log_density: Tensor | None = None
    lowest: Tensor | None = None


@torch.no_grad()
def measure_block(
    blocks: Sequence[InvertibleBlock],
    rows: HeldOut,
    settings: Measure,
    *,
    score: Score | None = None,
    seed: int = 0,
    functional: Functional | None = None,
    index: int | None = None,
    unfit: str = "",
) -> BlockFigures:
    """Measure the last of some blocks on held-out particles.

    Under another functional G than KL to N(0, I) the potential has the interaction's energy with it, and an
    internal energy's that needs the density; the KL drop is that of G, ε and the Fisher information are of
    the gradient of δG/δρ, and what speaks of N(0, I) only is not a number. With a context every figure is of
    the laws given the context, averaged over it.

    Args:
        blocks: T_j … T_k; those before the last are needed only with ``score``.
        rows: held-out particles before and after block k.
        settings: how many rows, which critic and pairing.
        score: ∇log p_{j−1} in standardised units, where it is known; called at the first rows
            in order.
        seed: of the draws of the reference.
        functional: G; ``None`` for KL to N(0, I).
        index: k, for errors; the number of blocks by default.
        unfit: why ε and the Fisher information are infinite, such as jumps of the density; empty where they
            are not. What is infinite is not estimated.
    """
    block, x, y = blocks[-1], rows.x, rows.y
    energy = functional or gaussian_reference()
    start, end = block.state_of(x), block.state_of(y)
    before, after, drop = _energies(energy, start.double(), end.double(), rows)
    known = rows.log_reference
    reference = reference_log_prob(end.double()) if known is None else known.double()
    nll = -(reference + rows.total_log_det.double())
    moved = ((y - x).double() ** 2).sum(-1)
    movement = float(moved.mean().sqrt())
    back = torch.cat([block.pull_back(part) for part in y.split(4096)])
    few = y[: settings.reference_rows]
    found: Named = {
        "kl_drop": float(drop.mean()),
        "kl_drop_se": standard_error(drop),
        "nll": float(nll.mean()),
        "nll_se": standard_error(nll),
        "movement": movement,
        "movement_se": standard_error(moved) / (2 * movement) if movement else 0.0,
        "movement_tail": tail_of(moved),
        "inversion_error": root_mean_square(back - x),
        "inversion_error_reference": block_inversion_error(block, few, index=index or len(blocks)),
        "log_det_se": float(rows.log_det_se.mean()),
        **_residuals(block, x, y, settings, energy, log_density=rows.log_density, unfit=unfit),
        **_exact(blocks, x, y, None if unfit else score, energy, log_density=rows.log_density),
        **_identities(start.double(), end.double(), block.step_size if functional is None else math.nan),
        **_shape(block, x, None if functional is None else _weight(energy, rows)),
        **_before(blocks[:-1], rows, start.double(), None if unfit else score, energy),
        **_classified(y if functional is None else y[:0], start.shape[1], seed),
        **_against(rows.rival if functional is None else None, nll),
        **_moments(start, end, settings, standard=functional is None),
        "loss_potential": float(after.mean()),
        "loss_potential_se": standard_error(after),
        "loss_potential_tail": tail_of(after),
        "loss_log_det": float(rows.log_det.double().mean()),
        "loss_transport": float(moved.mean() / (2 * block.step_size)),
        "potential_before": float(before.mean()),
        "potential_before_se": standard_error(before),
        "potential_before_tail": tail_of(before),
    }
    return BlockFigures.model_validate(found)


def _energies(energy: Functional, x: Tensor, y: Tensor, rows: HeldOut) -> tuple[Tensor, Tensor, Tensor]:
    """The functional's values before and after, row by row, and its drop; of the entropy only the drop.

    An internal energy that needs the density is in all three. With the entropy beside it log ρ is, too, and
    the drop is the same.
    """
    if rows.log_density is not None and energy.needs_density:
        after = rows.log_density.double()
        values = energy.per_row(x, after + rows.log_det.double()), energy.per_row(y, after)
        return *values, values[0] - values[1]
    zero = x.new_zeros(len(x))
    before, behind = energy.per_row(x, zero), energy.per_row(y, zero)
    return before, behind, before - behind + energy.pressure_ratio(zero) * rows.log_det.double()


def _residuals(
    block: InvertibleBlock,
    x: Tensor,
    y: Tensor,
    settings: Measure,
    energy: Functional,
    *,
    log_density: Tensor | None,
    unfit: str,
) -> Named:
    """ε² in the pairings wanted and the Fisher information, by critics of one class."""
    x, y = x.cpu().double(), y.cpu().double()
    known = Known(energy=energy, log_density=log_density)
    error = fisher = ot = EpsilonSquared.missing(unfit)
    if not unfit:
        error, fisher = measure_epsilon(
            block.state_of(x), y, block.step_size, settings.critic_centres, **known
        )
    if settings.pairing != "block" and not error.reason:
        end, back = optimal_back(x, y, settings.pairing)
        ot = measure_epsilon(back, end, block.step_size, settings.critic_centres, **known)[0]
    return {
        "epsilon": error.epsilon,
        "epsilon_squared": error.value,
        "epsilon_squared_se": error.se,
        "epsilon_squared_tail": error.tail,
        "epsilon_class": error.critic,
        "epsilon_reason": error.reason,
        "epsilon_ot": ot.epsilon,
        "epsilon_ot_squared": ot.value,
        "epsilon_ot_squared_se": ot.se,
        "epsilon_ot_squared_tail": ot.tail,
        "fisher": fisher.value,
        "fisher_se": fisher.se,
        "fisher_tail": fisher.tail,
    }


def _exact(
    blocks: Sequence[InvertibleBlock],
    x: Tensor,
    y: Tensor,
    score: Score | None,
    energy: Functional,
    *,
    log_density: Tensor | None,
) -> Named:
    if score is None:
        names = ("epsilon_exact", "epsilon_exact_squared", "fisher_exact")
        ends = ("_se", "_tail")
        return dict.fromkeys([*names, *(name + end for name in names[1:] for end in ends)], math.nan)
    x, y = x[:EXACT_ROWS].double(), y[:EXACT_ROWS].double()
    slope = score_after(blocks, y, score) * energy.score_weight(at_first(log_density, y))[:, None]
    drift = energy.drift(y)
    error = mean_square(residual_data(x, y, blocks[-1].step_size, drift) + slope)
    fisher = mean_square(drift + slope)
    return {
        "epsilon_exact": math.sqrt(error.value),
        "epsilon_exact_squared": error.value,
        "epsilon_exact_squared_se": error.se,
        "epsilon_exact_squared_tail": error.tail,
        "fisher_exact": fisher.value,
        "fisher_exact_se": fisher.se,
        "fisher_exact_tail": fisher.tail,
    }


def _identities(x: Tensor, y: Tensor, step_size: float) -> Named:
    r"""Both identities of every exact JKO step from any law, with the errors of these norms.

    Of a mean of rows g_i, a vector or a matrix, the norm is off by at most the norm of the mean's error,
    whose root mean square is :math:`\sqrt{E|g - Eg|^2/(n-1)}`. At an exact step the norm itself shows that.

    Source: derived, see theory.md.
    """
    count = len(y)
    mean = (1 + step_size) * y.mean(0) - x.mean(0)
    inner, slope = y - y.mean(0), (1 + step_size) * (y - y.mean(0)) - (x - x.mean(0))
    product = slope.T @ inner / count
    cov = product - step_size * torch.eye(y.shape[1]).to(y)
    spread = (slope**2).sum(1).mean(), ((slope**2).sum(1) * (inner**2).sum(1)).mean() - (product**2).sum()
    errors = [math.sqrt(max(float(own), 0.0) / (count - 1)) if count > 1 else math.nan for own in spread]
    return {
        "identity_mean": float(mean.norm()),
        "identity_mean_se": errors[0],
        "identity_covariance": float(cov.norm()),
        "identity_covariance_se": errors[1],
    }


def _weight(energy: Functional, rows: HeldOut) -> Tensor:
    """P(ρ)/ρ at the images, by which asymmetry counts."""
    return energy.pressure_ratio(at_first(rows.log_density, rows.y.new_zeros(len(rows.y)).double()))


def _before(
    blocks: Sequence[InvertibleBlock], rows: HeldOut, x: Tensor, score: Score | None, energy: Functional
) -> Named:
    """How far the law that enters the block, behind those given, is from where the functional is least."""
    names = ("from_lowest", "from_lowest_se", "fisher_before", "fisher_before_se")
    found: Named = dict.fromkeys(names, math.nan)
    if rows.lowest is None:
        return found
    away = mean_square(x - rows.lowest.to(x))
    found |= {"from_lowest": away.value, "from_lowest_se": away.se}
    if score is not None:
        first = x[:EXACT_ROWS]
        density = None if rows.log_density is None else rows.log_density.double() + rows.log_det.double()
        weight = energy.score_weight(at_first(density, first[:, 0]))
        slope = mean_square(
            energy.drift(first) + weight[:, None] * score_after(blocks, first, score).to(first)
        )
        found |= {"fisher_before": slope.value, "fisher_before_se": slope.se}
    return found


def _shape(block: InvertibleBlock, x: Tensor, weight: Tensor | None) -> Named:
    few = x[: max(2, JACOBIAN_BUDGET // block.state_of(x).shape[1])]
    found = asymmetry(block, few, None if weight is None else weight[: len(few)])
    return {
        "kappa": found.kappa,
        "kappa_se": found.kappa_se,
        "kappa_tail": found.kappa_tail,
        "symmetric_part_positive": found.smallest > 0,
        "symmetric_part_smallest": found.smallest,
        "lipschitz_inverse": found.lipschitz_inverse,
        "lipschitz_inverse_q99": found.lipschitz_inverse_q99,
    }


def _classified(y: Tensor, dim: int, seed: int) -> Named:
    kl = kl_lower_bound(y, dim=dim, seed=seed) if len(y) >= FEWEST_ROWS else Estimate(math.nan, math.nan)
    return {"kl_lower_classifier": kl.value, "kl_lower_classifier_se": kl.se}


def _against(rival: Tensor | None, nll: Tensor) -> Named:
    """KL(p_0‖q_0) = NLL − H, and no model's NLL is below the entropy H."""
    excess = None if rival is None else nll + rival.double()
    return {
        "kl_lower_mixture": math.nan if excess is None else float(excess.mean()),
        "kl_lower_mixture_se": math.nan if excess is None else standard_error(excess),
    }


def _moments(x: Tensor, y: Tensor, settings: Measure, *, standard: bool) -> Named:
    wanted = settings.pairing != "block"
    return {
        "moved_lower": gelbrich_lower(x.cpu(), y.cpu()) if wanted else math.nan,
        "distance_lower": gelbrich_lower(y.cpu()) if wanted and standard else math.nan,
    }


@torch.no_grad()
def chain_inversion_error(chain: Chain, x: Tensor) -> float:
    r"""Round trip of the whole chain, :math:`\sqrt{E|T^{-1}Tx - x|^2}`, standardised units.

    Args:
        chain: the chain, with its own solver and dtype.
        x: rows in data units, shape (rows, d + c).
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
