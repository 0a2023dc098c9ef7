"""The certificates one by one, each a figure or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jko.certify.bounds import (
    StepBounds,
    entropy_interval,
    log_sobolev_bound,
    propagated_bound,
    sharp_bound,
    sharp_bound_block,
    sharp_steps,
    theorem_bound,
    theorem_bound_block,
    theorem_steps,
)
from jko.certify.certificates import Withheld
from jko.certify.evidence import MARGIN, Evidence
from jko.certify.status import Cause
from jko.laws.densities import Estimate

FREE = Withheld("a free block has no transport term; its law is certified by (C)", Cause.CONDITION)
ASYMMETRIC = Withheld(
    "the symmetric part of ∇T is not positive definite at every sampled particle", Cause.CONDITION
)
NEGATIVE = Withheld(
    "its inputs contradict each other (a negative bound): ε is underestimated", Cause.WITHDRAWN
)
EXCEEDED = Withheld(
    "the KL drops exceed an earlier bound: the critic's class is too small there", Cause.WITHDRAWN
)
LATER = Withheld("withdrawn: a later block contradicts it", Cause.WITHDRAWN)
ENDLESS = Withheld(
    "so few rows carry the mean of its inputs that these have no upper limit: more held-out rows are needed",
    Cause.UNSEEN,
)
NO_ERROR = Withheld("ε is zero, and the number of steps is finite for a positive one only", Cause.CONDITION)


def recursion(blocks: Sequence[Evidence], dim: int, name: str, *, ot: bool) -> StepBounds | Withheld:
    """(A) or (B) over all blocks; a block whose conditions fail restarts it from the coupling bound."""
    w2 = independent(blocks[0], blocks[0].potential_before, dim)
    result: StepBounds | Withheld = FREE  # there is a block at least
    for block in blocks:
        result = after_step(block, w2, name, ot=ot)
        free = independent(block, block.potential, dim)
        w2 = free if isinstance(result, Withheld) else min(free, result.w2)
        if isinstance(result, StepBounds):
            result = StepBounds(w2, result.kl)
    return result


def independent(block: Evidence, potential: Estimate, dim: int) -> float:
    """W2(P, N(0, I)) ≤ √(E|x|² + d), by independent draws."""
    return math.sqrt(2 * block.high(potential) + dim)


def after_step(
    block: Evidence, w2: float, name: str, *, ot: bool, convexity: float = 1.0
) -> StepBounds | Withheld:
    """(A) or (B) after one block, from a bound on the W2 before it."""
    if math.isinf(block.step_size):
        return FREE
    if ot:
        assert block.epsilon_squared_ot is not None  # asked for in every block
        epsilon = math.sqrt(block.high(block.epsilon_squared_ot))
        if name == "certificate_a":
            bound = theorem_bound(w2, block.step_size, epsilon, convexity=convexity)
        else:
            bound = sharp_bound(
                w2, block.step_size, epsilon, moved=block.moved_lower, distance=block.distance_lower,
                convexity=convexity,
            )  # fmt: skip
    elif block.epsilon_squared is None:
        return _unknown("ε", block)
    elif block.kappa is None:
        return ASYMMETRIC
    else:
        rule = theorem_bound_block if name == "certificate_a" else sharp_bound_block
        bound = rule(
            w2, block.step_size, math.sqrt(block.high(block.epsilon_squared)),
            movement=max(block.low(block.movement), 0.0), kappa=block.high(block.kappa),
            convexity=convexity,
        )  # fmt: skip
    if bound.kl < 0:
        return NEGATIVE
    return bound if math.isfinite(bound.kl) else ENDLESS


def _unknown(what: str, block: Evidence) -> Withheld:
    why = block.missing or "too few held-out rows for a critic"
    return Withheld(f"{what} could not be estimated: {why}", Cause.UNSEEN)


def log_sobolev(blocks: Sequence[Evidence], *, convexity: float = 1.0) -> float | Withheld:
    """(C) after the first block; what is left of it after the KL drops of the others must hold, too."""
    block = blocks[0]
    if block.fisher is None:
        return _unknown("the Fisher information", block)
    bound = log_sobolev_bound(block.high(block.fisher), convexity=convexity)
    if not math.isfinite(bound):
        return ENDLESS
    rest = bound
    for later in blocks[1:]:
        rest -= later.low(later.kl_drop)
        if contradiction(rest, later):
            return LATER
    return contradiction(bound, block) or bound


def contradiction(bound: float, block: Evidence) -> Withheld | None:
    """Why a bound on KL(p_k‖q) cannot hold; ``None`` if nothing measured contradicts it."""
    for what, estimate in (
        ("a classifier shows", block.kl_lower),
        ("a Gaussian mixture's NLL shows", block.kl_lower_mixture),
        ("NLL minus the known entropy shows", block.kl_measured),
    ):
        if estimate is not None and estimate.value - MARGIN * estimate.se > bound:
            return Withheld(
                f"withdrawn ({bound:.3g} nats): the critic's class is too small, since {what} "
                f"KL ≥ {estimate.value:.3g} ± {estimate.se:.2g} nats",
                Cause.WITHDRAWN,
            )
    return None


def triangle_bound(block: Evidence, *, convexity: float = 1.0) -> float | Withheld:
    """(C) with (ε + M/γ)² in place of the Fisher information."""
    if math.isinf(block.step_size):
        return FREE
    if block.epsilon_squared is None:
        return _unknown("ε", block)
    root = math.sqrt(block.high(block.epsilon_squared)) + block.moved / block.step_size
    bound = log_sobolev_bound(root**2, convexity=convexity)
    return bound if math.isfinite(bound) else ENDLESS


def propagated(blocks: Sequence[Evidence], fishers: Sequence[float | Withheld]) -> float | Withheld:
    """The error of a sum of drops is at most the sum of theirs, however they correlate."""
    bounds = [math.inf if isinstance(bound, Withheld) else bound for bound in fishers]
    if all(bound == math.inf for bound in bounds):
        return fishers[-1]
    bound = propagated_bound(bounds, [block.low(block.kl_drop) for block in blocks])
    return EXCEEDED if bound < 0 else bound


def steps_asked(
    blocks: Sequence[Evidence], start: float, *, ot: bool, convexity: float = 1.0
) -> tuple[int, int, float] | Withheld:
    """Numbers of steps that (A) and (B) ask for at the largest ε and the smallest γ, and that ε.

    Args:
        blocks: evidence of all blocks.
        start: W2(p_0, q) at most.
        ot: whether ε is of OT pairing.
        convexity: λ.
    """
    if any(math.isinf(block.step_size) for block in blocks):
        return FREE
    squares = [block.epsilon_squared_ot if ot else block.epsilon_squared for block in blocks]
    pairs = zip(blocks, squares, strict=True)
    known = [math.sqrt(block.high(square)) for block, square in pairs if square is not None]
    if len(known) < len(blocks):
        return _unknown("ε", next(block for block, square in zip(blocks, squares, strict=True) if not square))
    epsilon, gamma = max(known), min(block.step_size for block in blocks)
    if epsilon == 0:
        return NO_ERROR
    if not math.isfinite(epsilon):
        return ENDLESS
    theorem = theorem_steps(start, gamma, epsilon, convexity=convexity)
    return theorem, sharp_steps(start, gamma, epsilon, convexity=convexity), epsilon


def entropy_bracket(
    blocks: Sequence[Evidence], fishers: Sequence[float | Withheld]
) -> tuple[tuple[float | None, float], Withheld | None]:
    """Bracket of the data's entropy; without a lower end, with the reason."""
    bounds = [math.inf if isinstance(bound, Withheld) else bound for bound in fishers]
    low = entropy_interval(bounds, [block.low(block.nll) for block in blocks])[0]
    high = min(block.nll.value + block.margin * block.nll.se for block in blocks)
    last = fishers[-1]
    if low == -math.inf and isinstance(last, Withheld):
        return (None, high), Withheld(f"no lower end: {last.reason}", last.cause)
    return (low, high), None
