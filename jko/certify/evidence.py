"""What was measured of a block, as the certificates use it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jko.certify.above import Above
from jko.laws.densities import Estimate
from jko.measure.figures import StepFigures
from jko.statistics.upper_limit import upper_limit

#: standard errors by which every estimate is moved to its unfavourable side
MARGIN = 2.0


@dataclass(frozen=True)
class Evidence:
    """What was measured of one block on held-out particles, x before and y after it.

    Args:
        step_size: γ; infinite for a free block.
        potential_before: E|x|²/2.
        potential: E|y|²/2.
        movement: √E|y − x|².
        kl_drop: KL(p_{k−1}‖q) − KL(p_k‖q), nats.
        nll: of the chain cut after the block, nats, data units.
        epsilon_squared: ε², block pairing; ``None`` where it could not be estimated.
        fisher: E|∇V + ∇log p_k|²; ``None`` where it could not be estimated.
        kappa: asymmetry κ; ``None`` where sym ∇T is not positive at every sampled particle.
        kl_lower: Donsker–Varadhan lower bound on KL(p_k‖q), by a classifier.
        kl_lower_mixture: lower bound on KL(p_k‖q) by another model's NLL.
        kl_measured: NLL minus the data's entropy, where that is known.
        epsilon_squared_ot: ε², OT pairing, where it was asked for.
        moved_lower: lower bound of W2(p_{k−1}, p_k), for OT pairing.
        distance_lower: lower bound of W2(p_k, q), for OT pairing.
        exact_epsilon: whether ε² is an average of the exact score, or of a bound from above, and not a
            critic's estimate.
        exact_fisher: whether the Fisher information is.
        from_lowest: E|x − x*|² with x* the lowest point of the potential, under another functional than KL to
            N(0, I).
        fisher_before: E|∇δG/δρ|² under p_{k−1} by the exact score, under such a functional.
        missing: why ε and the Fisher information could not be estimated; empty where they could.
        margin: standard errors by which every estimate is moved to its unfavourable side.
    """

    step_size: float
    potential_before: Estimate
    potential: Estimate
    movement: Estimate
    kl_drop: Estimate
    nll: Estimate
    epsilon_squared: Estimate | None
    fisher: Estimate | None
    kappa: Estimate | None
    kl_lower: Estimate | None = None
    kl_lower_mixture: Estimate | None = None
    kl_measured: Estimate | None = None
    epsilon_squared_ot: Estimate | None = None
    moved_lower: float = 0.0
    distance_lower: float = 0.0
    exact_epsilon: bool = False
    exact_fisher: bool = False
    from_lowest: Estimate | None = None
    fisher_before: Estimate | None = None
    missing: str = ""
    margin: float = MARGIN

    def high(self, estimate: Estimate) -> float:
        """An upper limit of something that is not negative; more than the margin where few rows carry it."""
        return upper_limit(max(estimate.value, 0.0), estimate.se, estimate.tail, self.margin)

    def low(self, estimate: Estimate) -> float:
        """An estimate less the margin: of rows with a long upper tail the mean is seldom too high."""
        return estimate.value - self.margin * estimate.se

    @property
    def moved(self) -> float:
        """An upper limit of M; its tail is that of the squares."""
        return root_limit(self.movement, self.margin)

    @classmethod
    def of(cls, figures: StepFigures, *, entropy: Estimate | None = None) -> Evidence:
        """From the figures of a block.

        Exact figures, where the density of p_0 is known, take the place of the critic's.

        Args:
            figures: of the block.
            entropy: differential entropy of the data, nats, data units, where it is known.
        """

        def estimate(name: str) -> Estimate | None:
            value, se = figures.figure(name), figures.figure(f"{name}_se")
            return None if value is None or se is None else Estimate(value, se, tail(name))

        def present(name: str) -> Estimate:
            value, se = figures.figure(name), figures.figure(f"{name}_se")
            assert value is not None  # every block has it
            return Estimate(value, math.inf if se is None else se, tail(name))

        def tail(name: str) -> float:
            return figures.figure(f"{name}_tail") or 0.0

        nll = present("nll")
        gap = entropy and Estimate(nll.value - entropy.value, math.hypot(nll.se, entropy.se))
        return cls(
            step_size=math.inf if figures.step_size is None else figures.step_size,
            potential_before=present("potential_before"),
            potential=present("loss_potential"),
            movement=present("movement"),
            kl_drop=present("kl_drop"),
            nll=nll,
            epsilon_squared=estimate("epsilon_exact_squared") or estimate("epsilon_squared"),
            fisher=estimate("fisher_exact") or estimate("fisher"),
            kappa=estimate("kappa"),
            kl_lower=estimate("kl_lower_classifier"),
            kl_lower_mixture=estimate("kl_lower_mixture"),
            kl_measured=gap,
            epsilon_squared_ot=estimate("epsilon_ot_squared"),
            moved_lower=figures.moved_lower or 0.0,
            distance_lower=figures.distance_lower or 0.0,
            exact_epsilon=estimate("epsilon_exact_squared") is not None,
            exact_fisher=estimate("fisher_exact") is not None,
            from_lowest=estimate("from_lowest"),
            fisher_before=estimate("fisher_before"),
            missing=figures.epsilon_reason,
        )


def from_above(blocks: Sequence[Evidence], above: Above) -> list[Evidence]:
    """The evidence of all blocks with ε² and the Fisher information from above in place of a critic's.

    This is valid where rows were smoothed with noise that is known, and ``above`` is of test rows, which
    chose neither weights nor settings. Its ε² is of block pairing, and so goes into (A′) and (B′). Only
    chance error is left, whatever the law of the data. Averages of the exact score stay as they are.

    Args:
        blocks: of a chain to N(0, I).
        above: of the same blocks.
    """
    parts = above.epsilon_squared, above.epsilon_squared_se, above.fisher, above.fisher_se
    return [
        block
        if block.exact_epsilon and block.exact_fisher
        else replace(
            block, epsilon_squared=Estimate(square, square_se), fisher=Estimate(fisher, fisher_se),
            epsilon_squared_ot=None, exact_epsilon=True, exact_fisher=True, missing="",
        )
        for block, square, square_se, fisher, fisher_se in zip(blocks, *parts, strict=True)
    ]  # fmt: skip


def root_limit(root: Estimate, margin: float = MARGIN) -> float:
    """An upper limit of √E|·|², with the tail of the squares."""
    plain = root.value + margin * root.se
    return max(plain, math.sqrt(upper_limit(root.value**2, 0.0, root.tail, margin)))
