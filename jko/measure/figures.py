"""The figures of a block: one name, one definition, one unit each."""

from __future__ import annotations

from jko.core.records import Count, Figure, Number, Record


class BlockFigures(Record):
    r"""Figures of block k on held-out rows (x = x_{k−1}, y = x_k = T_k(x)).

    What is not a number is null; so is what measures of an older version do not have. A figure
    ``<name>_tail`` says how much of a mean few rows carry: 0 for light tails, and 1 where a single row is all
    of it (:func:`jko.statistics.tails.tail_of`). Upper limits take it beside the standard error.

    Args:
        kl_drop: ΔKL_k = E V(x) − E V(y) + E log|det ∇T_k(x)|, nats; an unbiased average.
        kl_drop_se: its standard error over rows, nats.
        nll: −E log q_0 of the chain cut after block k, nats, data units.
        nll_se: its standard error over rows, nats.
        movement: √E|y − x|², standardised units.
        movement_se: its standard error.
        movement_tail: of the squares.
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
        epsilon_squared_tail: of what the rows add to it.
        epsilon_class: the class of critics it was maximised over; ``none`` without an estimate.
        epsilon_reason: why there is no estimate of ε and of the Fisher information; empty where there is.
        epsilon_exact: ε from the known density of p_0, block pairing; null where that is unknown.
        epsilon_exact_squared: its square, an average over rows.
        epsilon_exact_squared_se: standard error of the square.
        epsilon_exact_squared_tail: of the squares.
        epsilon_ot: √max(ε̂², 0), OT pairing; null unless it was asked for.
        epsilon_ot_squared: its square, unclipped.
        epsilon_ot_squared_se: standard error of the square.
        epsilon_ot_squared_tail: of what the rows add to it.
        fisher: relative Fisher information E|y + ∇log p_k|², by the same critic.
        fisher_se: its standard error.
        fisher_tail: of what the rows add to it.
        fisher_exact: the same from the known density of p_0; null where that is unknown.
        fisher_exact_se: its standard error.
        fisher_exact_tail: of the squares.
        identity_mean: |(1+γ)E y − E x|, 0 for every exact step.
        identity_mean_se: root mean square error of the vector: about what an exact step shows.
        identity_covariance: ‖(1+γ)Cov y − Cov(x, y) − γI‖ (Frobenius), 0 for every exact step.
        identity_covariance_se: root mean square error of the matrix: about what an exact step shows.
        kappa: κ = E[log|det ∇T| − log det sym ∇T], nats; null where sym ∇T is not positive. Under another
            functional each row counts by P(ρ)/ρ at its image, which is 0 without internal energy.
        kappa_se: its standard error.
        kappa_tail: of the particles.
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
        loss_potential_tail: of the rows.
        loss_log_det: E log|det ∇T_k(x)|, nats.
        loss_transport: E|y − x|²/(2γ_k), nats.
        potential_before: E V(x), nats.
        potential_before_se: its standard error.
        potential_before_tail: of the rows.
        from_lowest: E|x − x*|² with x* the lowest point of the potential, squared standardised units; null
            for KL to N(0, I), and for a functional without λ > 0.
        from_lowest_se: its standard error.
        fisher_before: E|∇δG/δρ|² under p_{k−1}, from the known density of p_0; null where the one above is,
            or that density is unknown.
        fisher_before_se: its standard error.
    """

    kl_drop: Number
    kl_drop_se: Figure = None
    nll: Number
    nll_se: Figure = None
    movement: Number
    movement_se: Figure = None
    movement_tail: Figure = None
    inversion_error: Figure = None
    inversion_error_reference: Figure = None
    log_det_se: Figure = None
    epsilon: Figure = None
    epsilon_squared: Figure = None
    epsilon_squared_se: Figure = None
    epsilon_squared_tail: Figure = None
    epsilon_class: str = ""
    epsilon_reason: str = ""
    epsilon_exact: Figure = None
    epsilon_exact_squared: Figure = None
    epsilon_exact_squared_se: Figure = None
    epsilon_exact_squared_tail: Figure = None
    epsilon_ot: Figure = None
    epsilon_ot_squared: Figure = None
    epsilon_ot_squared_se: Figure = None
    epsilon_ot_squared_tail: Figure = None
    fisher: Figure = None
    fisher_se: Figure = None
    fisher_tail: Figure = None
    fisher_exact: Figure = None
    fisher_exact_se: Figure = None
    fisher_exact_tail: Figure = None
    identity_mean: Figure = None
    identity_mean_se: Figure = None
    identity_covariance: Figure = None
    identity_covariance_se: Figure = None
    kappa: Figure = None
    kappa_se: Figure = None
    kappa_tail: Figure = None
    symmetric_part_positive: bool | None = None
    symmetric_part_smallest: Figure = None
    lipschitz_inverse: Figure = None
    lipschitz_inverse_q99: Figure = None
    kl_lower_classifier: Figure = None
    kl_lower_classifier_se: Figure = None
    kl_lower_mixture: Figure = None
    kl_lower_mixture_se: Figure = None
    moved_lower: Figure = None
    distance_lower: Figure = None
    loss_potential: Number
    loss_potential_se: Figure = None
    loss_potential_tail: Figure = None
    loss_log_det: Number
    loss_transport: Figure = None
    potential_before: Number
    potential_before_se: Figure = None
    potential_before_tail: Figure = None
    from_lowest: Figure = None
    from_lowest_se: Figure = None
    fisher_before: Figure = None
    fisher_before_se: Figure = None


class StepFigures(BlockFigures):
    r"""The figures of a block with its step size, and of a block with a correction what that adds.

    Behind a correction ``nll`` is of the law there: E[log p_k − log q] plus the entropy of p_0.

    Args:
        step_size: γ_k; null for a free block.
        movement_validation: √E|y − x|² on validation rows, by which steps may be planned anew; standardised.
        kl: E[log p_k − log q] over the corrected rows: KL(p_k ‖ q) where log Z is known, else up to log Z.
        kl_se: its standard error, those of all acceptances in it.
        kl_drop_correction: KL before the correction less KL behind it, nats, beside ``kl_drop``.
        kl_drop_correction_se: its standard error.
        redrawn: share of rows drawn again.
        acceptance: mean probability of a row to be kept, ᾱ.
        acceptance_se: its standard error.
        bracket_upper_95: KL of data and the chain so far at most, nats, at the resolution of the stop rule,
            on validation rows; one-sided, at 95 % for all blocks together; null where no rule asks for it.
        bracket_looks: for how many blocks together, those of the plan: each has 5 % over that.
    """

    step_size: Figure = None
    movement_validation: Figure = None
    kl: Figure = None
    kl_se: Figure = None
    kl_drop_correction: Figure = None
    kl_drop_correction_se: Figure = None
    redrawn: Figure = None
    acceptance: Figure = None
    acceptance_se: Figure = None
    bracket_upper_95: Figure = None
    bracket_looks: Count | None = None

    @property
    def best_epsilon(self) -> float | None:
        """ε of the block: by the exact score where the law is known, else the critic's."""
        return self.epsilon if self.epsilon_exact is None else self.epsilon_exact
