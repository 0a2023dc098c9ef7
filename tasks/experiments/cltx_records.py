"""What the experiment in :mod:`tasks.experiments.cltx` finds, as it is stored."""

from __future__ import annotations

from jko.core.records import Count, Number, Record


class Estimates(Record):
    """Every estimate of ε² for a step of size γ = .5, and the sizes of the parts of ξ.

    Args:
        gaussian: closed form from the fitted moments.
        critic_affine_ot: affine critic, the optimal map between the fitted Gaussians as map back.
        critic: affine critic, block pairing.
        critic_se: its standard error.
        critic_rbf: affine + 40 bumps, block pairing.
        critic_rbf_se: its standard error.
        paper_kde: see :class:`jko.statistics.kernel_statistic.KernelStatistic`.
        paper_kde_l2: the same.
        paper_gradient: the paper's statistic of ∇V + score, the score by kernels.
        paper_transport: of (back − Id)/γ, back by exact pairing.
        paper_score: of the score.
    """

    gaussian: Number
    critic_affine_ot: Number
    critic: Number
    critic_se: Number
    critic_rbf: Number
    critic_rbf_se: Number
    paper_kde: Number
    paper_kde_l2: Number
    paper_gradient: Number
    paper_transport: Number
    paper_score: Number


class Snapshot(Estimates):
    """A moment of somebody's training.

    Args:
        name: in the file.
    """

    name: str


class Moment(Estimates):
    """A moment of our training, with what the block's own density says.

    Args:
        iteration: of the training.
        percent: of it.
        exact: E|ξ|² in block pairing, the score by differentiating through the block.
        exact_se: its standard error.
        exact_gradient: E|∇V + score|².
        exact_gradient_se: its standard error.
        exact_transport: E|(back − Id)/γ|².
        exact_transport_se: its standard error.
        exact_score: E|score|².
        exact_score_se: its standard error.
    """

    iteration: Count
    percent: Number
    exact: Number
    exact_se: Number
    exact_gradient: Number
    exact_gradient_se: Number
    exact_transport: Number
    exact_transport_se: Number
    exact_score: Number
    exact_score_se: Number


class Level(Record):
    """The paper's statistic at an exact step: what it shows where ε is 0.

    Args:
        draws: fresh pairs of samples.
        paper_kde: mean over them.
        paper_kde_std: standard deviation from draw to draw.
        paper_gradient: mean of the statistic of ∇V + score.
        paper_transport: of (back − Id)/γ.
        paper_score: of the score.
    """

    draws: Count
    paper_kde: Number
    paper_kde_std: Number
    paper_gradient: Number
    paper_transport: Number
    paper_score: Number
