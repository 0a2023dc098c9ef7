"""ε² and the Fisher information on held-out rows: which class of critics they can carry, or why none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from jko.core.context import state_of
from jko.core.errors import InputError
from jko.energies.functional import Functional, gaussian_reference
from jko.measure.residual import EpsilonSquared, LinearCritic, residual_data

#: numbers that a critic's features may take: rows · features · d
CRITIC_BUDGET = 40_000_000
#: rows that every feature of a coordinate needs
ROWS_PER_FEATURE = 30
#: widths of the bumps that are tried, see :class:`jko.measure.residual.LinearCritic`; 0 for its own
WIDTHS = (0.0, 0.5, 0.25)


def measure_epsilon(
    x: Tensor,
    y: Tensor,
    step_size: float,
    centres: int,
    *,
    energy: Functional | None = None,
    log_density: Tensor | None = None,
) -> tuple[EpsilonSquared, EpsilonSquared]:
    """ε̂² and the relative Fisher information on held-out rows; nan with a reason where no critic fits.

    There are as many bumps as wanted, but for every feature :data:`ROWS_PER_FEATURE` rows: with fewer, the
    affine class alone, and with too few for that, no estimate. Of several widths each figure takes the one
    that shows most for sure: the largest ε̂² − 2 SE. Where ε is 0 this errs upwards, by less than one SE.

    Args:
        x: back(y), shape (rows, d).
        y: samples of p_k, shape (rows, d), or (rows, d + c) with the context that the critics may look at.
        step_size: γ_k.
        centres: number of Gaussian bumps wanted.
        energy: the functional; KL to N(0, I) by default.
        log_density: log p_k(y), nats, shape (rows,), where it needs that.
    """
    energy = energy or gaussian_reference()
    dim, features = x.shape[1], y.shape[1] + 1
    least = ROWS_PER_FEATURE * features
    affordable = CRITIC_BUDGET // (features * dim)
    if min(len(y), affordable) < least:
        few = EpsilonSquared.missing(_too_few(len(y), dim, least, affordable))
        return few, few
    # a row that a bump is centred at is used for nothing else
    bumps = max(0, min(centres, (len(y) - least) // (ROWS_PER_FEATURE + 1)))
    rows = min(len(y), CRITIC_BUDGET // ((features + bumps) * dim))
    x, y = x[:rows], y[:rows]
    try:
        critics = [
            LinearCritic(y, dim=dim, centres=bumps, width=width)
            for width in (WIDTHS if bumps else WIDTHS[:1])
        ]
    except InputError as error:
        none = EpsilonSquared.missing(str(error))
        return none, none
    y = state_of(y, dim)
    drift, weight = energy.drift(y), energy.pressure_ratio(at_first(log_density, y))
    return _surest(critics, residual_data(x, y, step_size, drift), weight), _surest(critics, drift, weight)


def at_first(log_density: Tensor | None, y: Tensor) -> Tensor:
    """The log-density at the first rows, or 0 where a constant makes no difference; like y, (rows,)."""
    return y.new_zeros(len(y)) if log_density is None else log_density[: len(y)].to(y)


def _too_few(rows: int, dim: int, least: int, affordable: int) -> str:
    if affordable < least:
        return f"no critic is affordable in dimension {dim}"
    return f"too few held-out rows for a critic in dimension {dim}: {rows}, and {least} are needed"


def _surest(critics: Sequence[LinearCritic], u: Tensor, weight: Tensor) -> EpsilonSquared:
    """The estimate that is largest for sure; one without a value only where none has one."""
    found = [critic.estimate(u, weight) for critic in critics]
    return max(found, key=lambda one: -math.inf if math.isnan(one.value) else one.value - 2 * one.se)
