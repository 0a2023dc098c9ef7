"""The figures of a block: one name, one definition, one unit each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jko.certify.status import Status
from jko.core.display import DASH, figure, finite


@dataclass(frozen=True)
class BlockFigures:
    r"""Figures of block k on validation rows (x = x_{k−1}, y = x_k = T_k(x)).

    Args:
        kl_drop: ΔKL_k = E V(x) − E V(y) + E log|det ∇T_k(x)|, nats; an unbiased average.
        kl_drop_se: its standard error over rows, nats.
        nll: −E log q_0 of the chain cut after block k, nats, data units.
        nll_se: its standard error over rows, nats.
        movement: √E|y − x|², standardised units.
        movement_se: its standard error.
        inversion_error: √E|T_k⁻¹(y) − x|² with the block's own solver, standardised units.
        inversion_error_reference: ε_inv,k at y: the block's own inverse against a float64
            adaptive solve, standardised units.
        log_det_se: mean over rows of the standard error of log|det ∇T_k| over Hutchinson
            probes, nats; 0 where the divergence is exact.
        epsilon: √max(ε̂², 0), block pairing (see :mod:`jko.measure.residual`); null where it is infinite or
        no critic
            can be fitted.
        epsilon_squared: ε̂² unclipped.
        epsilon_squared_se: its standard error.
        epsilon_class: the class of critics it was maximised over; ``none`` without an estimate.
        epsilon_reason: why there is no estimate of ε and of the Fisher information; empty where there is.
        epsilon_exact: ε from the known density of p_0, block pairing; null where that is unknown.
        epsilon_exact_squared: its square, an average over rows.
        epsilon_exact_squared_se: standard error of the square.
        epsilon_ot: √max(ε̂², 0), OT pairing; null unless it was asked for.
        epsilon_ot_squared: its square, unclipped.
        epsilon_ot_squared_se: standard error of the square.
        fisher: relative Fisher information E|y + ∇log p_k|², by the same critic.
        fisher_se: its standard error.
        fisher_exact: the same from the known density of p_0; null where that is unknown.
        fisher_exact_se: its standard error.
        identity_mean: |(1+γ)E y − E x|, 0 for every exact step.
        identity_covariance: ‖(1+γ)Cov y − Cov(x, y) − γI‖ (Frobenius), 0 for every exact step.
        kappa: κ = E[log|det ∇T| − log det sym ∇T], nats; null where sym ∇T is not positive.
        kappa_se: its standard error.
        symmetric_part_positive: whether sym ∇T is positive definite at every sampled particle.
        symmetric_part_smallest: its smallest eigenvalue over sampled particles.
        lipschitz_inverse: largest 1/σ_min(∇T_k) over sampled particles: an estimate from below.
        lipschitz_inverse_q99: its 99 % quantile.
        kl_lower_classifier: lower bound on KL(p_k ‖ N(0, I)) by a classifier, nats; may be negative.
        kl_lower_classifier_se: its standard error.
        kl_lower_mixture: the same by another model of the data: NLL of the chain cut after block k
            minus that of a Gaussian mixture on the same rows, nats; null without such a model.
        kl_lower_mixture_se: its standard error, paired over rows.
        moved_lower: lower bound of W2(p_{k−1}, p_k) from moments; null without OT pairing.
        distance_lower: lower bound of W2(p_k, N(0, I)) from moments; null without OT pairing.
        loss_potential: E V(y), nats.
        loss_potential_se: its standard error.
        loss_log_det: E log|det ∇T_k(x)|, nats.
        loss_transport: E|y − x|²/(2γ_k), nats.
        potential_before: E V(x), nats.
        potential_before_se: its standard error.
    """

    kl_drop: float
    kl_drop_se: float
    nll: float
    nll_se: float
    movement: float
    movement_se: float
    inversion_error: float
    inversion_error_reference: float
    log_det_se: float
    epsilon: float
    epsilon_squared: float
    epsilon_squared_se: float
    epsilon_class: str
    epsilon_reason: str
    epsilon_exact: float
    epsilon_exact_squared: float
    epsilon_exact_squared_se: float
    epsilon_ot: float
    epsilon_ot_squared: float
    epsilon_ot_squared_se: float
    fisher: float
    fisher_se: float
    fisher_exact: float
    fisher_exact_se: float
    identity_mean: float
    identity_covariance: float
    kappa: float
    kappa_se: float
    symmetric_part_positive: bool
    symmetric_part_smallest: float
    lipschitz_inverse: float
    lipschitz_inverse_q99: float
    kl_lower_classifier: float
    kl_lower_classifier_se: float
    kl_lower_mixture: float
    kl_lower_mixture_se: float
    moved_lower: float
    distance_lower: float
    loss_potential: float
    loss_potential_se: float
    loss_log_det: float
    loss_transport: float
    potential_before: float
    potential_before_se: float


def bound_of(figures: Mapping[str, Any]) -> str:
    """The KL bound after a block as text; ≲ marks one whose inputs a critic estimated from below."""
    bound = figures.get("kl_bound")
    if not finite(bound):
        return DASH
    status = (figures.get("statuses") or {}).get("kl_bound", figures.get("kl_bound_status"))
    return f"{'≲ ' if status == Status.ESTIMATED else ''}{figure(bound)}"


def epsilon(figures: Mapping[str, Any]) -> float | None:
    """ε of a block: by the exact score where the law is known, else the critic's."""
    exact = figures.get("epsilon_exact")  # measures of an older version have none
    return figures.get("epsilon") if exact is None else exact
