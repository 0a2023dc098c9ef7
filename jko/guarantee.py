r"""What the measured blocks of a chain guarantee: every certificate, or the reason why it does not hold.

Every estimate enters two standard errors on its unfavourable side, so that a certificate holds with
about 95 % confidence *as far as the critic's class can see*. No upper bound on ε or KL follows from
samples alone without an assumption on the law; where the density of p_0 is known, ε and the Fisher
information are plain averages and only their Monte-Carlo error remains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from jko.certificate import (
    Bound,
    entropy_interval,
    hwi_bound,
    log_sobolev_bound,
    propagated_bound,
    sharp_bound,
    sharp_bound_block,
    sharp_steps,
    theorem_bound,
    theorem_bound_block,
    theorem_steps,
    total_variation_bound,
)
from jko.densities import Estimate
from jko.evidence import MARGIN, Evidence, upper
from jko.functional import Functional


@dataclass(frozen=True)
class Guarantee:
    r"""Certificates after the last block given; ``None`` where one does not hold, with its reason.

    Args:
        certificate_a: KL ≤, the theorem (A), or (A′) with block pairing; nats.
        certificate_b: KL ≤, the sharp recursion (B), or (B′) with block pairing; nats.
        certificate_c: KL ≤ I/2, log-Sobolev, two standard errors up; nats.
        certificate_c_estimate: I/2 itself, unclipped.
        certificate_c_se: its standard error.
        certificate_c_hwi: KL ≤ w√I − w²/2 with the smaller of the known w and √I; nats.
        certificate_c_propagated: KL ≤ min_k [C_k − Σ_{j>k} ΔKL_j]; nats.
        certificate_c_triangle: KL ≤ (ε_N + M_N/γ_N)²/2; nats.
        kl_lower_bound: KL ≥, by a classifier or another model's NLL, whichever shows more; nats, an
            estimate that may be negative.
        kl_lower_bound_se: its standard error.
        kl_bound: the smallest of the certificates; nats.
        w2_bound: W2(p_N, q) ≤, standardised units.
        tv: total variation ≤ √(KL/2).
        theorem_steps: N that (A) asks for at the largest ε and the smallest γ of the chain.
        sharp_steps: N that (B) asks for.
        epsilon_largest: that ε, two standard errors up.
        entropy_interval: bracket of the data's entropy, nats, data units.
        pairing: of ε and movement in (A) and (B): ``block`` or ``ot``.
        reasons: for every name that is ``None``, why.
    """

    certificate_a: float | None
    certificate_b: float | None
    certificate_c: float | None
    certificate_c_estimate: float | None
    certificate_c_se: float | None
    certificate_c_hwi: float | None
    certificate_c_propagated: float | None
    certificate_c_triangle: float | None
    kl_lower_bound: float | None
    kl_lower_bound_se: float | None
    kl_bound: float | None
    w2_bound: float | None
    tv: float | None
    theorem_steps: int | None
    sharp_steps: int | None
    epsilon_largest: float | None
    entropy_interval: tuple[float | None, float]
    pairing: str
    reasons: dict[str, str] = field(default_factory=dict)


def certify(blocks: Sequence[Evidence], dim: int, *, unfit: str = "") -> Guarantee:
    """All certificates after the last of the blocks.

    Args:
        blocks: evidence of blocks 1..k.
        dim: dimension d.
        unfit: why the conditions of every certificate fail, such as an infinite Fisher information;
            empty if they hold.

    Source: (A) arXiv:2310.17582, the others derived, see theory.md.
    """
    last = blocks[-1]
    ot = all(block.epsilon_squared_ot is not None for block in blocks)
    reasons: dict[str, str] = {}
    steps = {
        name: unfit or _recursion(blocks, dim, name, ot=ot) for name in ("certificate_a", "certificate_b")
    }
    fishers = [unfit or _log_sobolev(blocks[k:]) for k in range(len(blocks))]
    # the same critic at the same particles: it falls with (C)
    triangle = fishers[-1] if isinstance(fishers[-1], str) else _triangle(last)
    found: dict[str, float | None] = {}

    def keep(name: str, value: float | str) -> None:
        why = value if isinstance(value, str) else _contradiction(value, last)
        found[name] = None if why else float(value)
        if why:
            reasons[name] = why

    for name, bound in steps.items():
        keep(name, bound if isinstance(bound, str) else bound.kl)
    keep("certificate_c", fishers[-1])
    w2s = [bound.w2 for name, bound in steps.items() if isinstance(bound, Bound) and found[name] is not None]
    if found["certificate_c"] is None:
        reasons["certificate_c_hwi"] = reasons["certificate_c"]
    else:
        fisher = 2 * found["certificate_c"]
        w2s.append(math.sqrt(fisher))
        keep("certificate_c_hwi", hwi_bound(fisher, min(w2s)))
    keep("certificate_c_propagated", _propagated(blocks, fishers))
    keep("certificate_c_triangle", triangle)
    bounds = [value for value in found.values() if value is not None]
    best = min(bounds) if bounds else None
    for name in ("kl_bound", "tv", "w2_bound"):
        if best is None:
            reasons[name] = "no certificate holds"
    counts = unfit or _steps(blocks, dim, ot=ot)
    if isinstance(counts, str):
        reasons |= dict.fromkeys(("theorem_steps", "sharp_steps", "epsilon_largest"), counts)
    lowers = [found for found in (last.kl_lower, last.kl_lower_mixture) if found is not None]
    lower = max(lowers, key=lambda bound: bound.value - MARGIN * bound.se, default=None)
    theorem, sharp, largest = (None, None, None) if isinstance(counts, str) else counts
    return Guarantee(
        **{name: found.get(name) for name in CERTIFICATES},
        certificate_c_estimate=None if last.fisher is None else last.fisher.value / 2,
        certificate_c_se=None if last.fisher is None else last.fisher.se / 2,
        kl_lower_bound=None if lower is None else lower.value,
        kl_lower_bound_se=None if lower is None else lower.se,
        kl_bound=best,
        w2_bound=min(w2s) if w2s and best is not None else None,
        tv=None if best is None else total_variation_bound(best),
        theorem_steps=theorem,
        sharp_steps=sharp,
        epsilon_largest=largest,
        entropy_interval=_entropy(blocks, fishers, reasons),
        pairing="ot" if ot else "block",
        reasons=reasons,
    )


def certify_functional(blocks: Sequence[Evidence], functional: Functional) -> Guarantee:
    r"""The certificates of a chain that descends another functional than KL to N(0, I).

    .. math:: G(p_N) - \min G \le \frac{1}{2\lambda} E\Big|\nabla\frac{\delta G}{\delta\rho}\Big|^2

    after each block, carried on by the drops of G. The others start from a distance to N(0, I).

    Args:
        blocks: evidence of blocks 1..k; ``fisher`` is the mean square of ∇δG/δρ.
        functional: G.

    Source: derived, see theory.md, sections 3 and 4.
    """
    last, lam = blocks[-1], functional.convexity
    unfit = functional.unfit or ("" if lam and lam > 0 else "no functional with λ > 0: (C) needs one")
    bounds = [unfit or _log_sobolev(blocks[k:], convexity=lam or 1.0) for k in range(len(blocks))]
    found = {"certificate_c": bounds[-1], "certificate_c_propagated": _propagated(blocks, bounds)}
    reasons = {name: value for name, value in found.items() if isinstance(value, str)}
    values = {name: value for name, value in found.items() if not isinstance(value, str)}
    best = min(values.values(), default=None)
    reasons |= dict.fromkeys(OF_THE_REFERENCE, ELSEWHERE)
    is_kl = functional.is_divergence
    if best is None:
        reasons |= dict.fromkeys(("kl_bound", "tv", "w2_bound"), "no certificate holds")
    elif not is_kl:
        reasons["tv"] = "the functional is no KL divergence"
    scale = None if unfit or last.fisher is None or lam is None else 2 * lam
    return Guarantee(
        **{name: values.get(name) for name in CERTIFICATES},
        certificate_c_estimate=last.fisher.value / scale if last.fisher and scale else None,
        certificate_c_se=last.fisher.se / scale if last.fisher and scale else None,
        kl_lower_bound=None, kl_lower_bound_se=None,
        kl_bound=best,
        w2_bound=None if best is None or not lam else math.sqrt(2 * best / lam),
        tv=total_variation_bound(best) if best is not None and is_kl else None,
        theorem_steps=None, sharp_steps=None, epsilon_largest=None,
        entropy_interval=(None, min(block.nll.value + MARGIN * block.nll.se for block in blocks)),
        pairing="block", reasons=reasons,
    )  # fmt: skip


ELSEWHERE = "it starts from a distance to N(0, I), and the target is another"
#: what a chain with another target cannot have
OF_THE_REFERENCE = (
    "certificate_a", "certificate_b", "certificate_c_hwi", "certificate_c_triangle", "theorem_steps",
    "sharp_steps", "epsilon_largest", "kl_lower_bound", "kl_lower_bound_se",
)  # fmt: skip
CERTIFICATES = (
    "certificate_a", "certificate_b", "certificate_c", "certificate_c_hwi", "certificate_c_propagated",
    "certificate_c_triangle",
)  # fmt: skip


FREE = "a free block has no transport term; its law is certified by (C)"


def _recursion(blocks: Sequence[Evidence], dim: int, name: str, *, ot: bool) -> Bound | str:
    """(A) or (B) over all blocks; a block whose conditions fail restarts it from the coupling bound."""
    w2 = _independent(blocks[0].potential_before, dim)
    result: Bound | str = "no block"
    for block in blocks:
        result = _step(block, w2, name, ot=ot)
        free = _independent(block.potential, dim)
        w2 = free if isinstance(result, str) else min(free, result.w2)
        if isinstance(result, Bound):
            result = Bound(w2, result.kl)
    return result


def _independent(potential: Estimate, dim: int) -> float:
    """W2(P, N(0, I)) ≤ √(E|x|² + d), by independent draws."""
    return math.sqrt(2 * upper(potential) + dim)


def _step(block: Evidence, w2: float, name: str, *, ot: bool) -> Bound | str:
    if math.isinf(block.step_size):
        return FREE
    if ot:
        assert block.epsilon_squared_ot is not None  # asked for in every block
        epsilon = math.sqrt(upper(block.epsilon_squared_ot))
        if name == "certificate_a":
            bound = theorem_bound(w2, block.step_size, epsilon)
        else:
            bound = sharp_bound(
                w2, block.step_size, epsilon, moved=block.moved_lower, distance=block.distance_lower
            )
    elif block.epsilon_squared is None:
        return _unknown("ε", block)
    elif block.kappa is None:
        return "the symmetric part of ∇T is not positive definite at every sampled particle"
    else:
        rule = theorem_bound_block if name == "certificate_a" else sharp_bound_block
        bound = rule(
            w2, block.step_size, math.sqrt(upper(block.epsilon_squared)),
            movement=max(block.movement.value - MARGIN * block.movement.se, 0.0), kappa=upper(block.kappa),
        )  # fmt: skip
    if bound.kl < 0:
        return "its inputs contradict each other (a negative bound): ε is underestimated"
    return bound


def _unknown(what: str, block: Evidence) -> str:
    return f"{what} could not be estimated: {block.missing or 'too few held-out rows for a critic'}"


def _log_sobolev(blocks: Sequence[Evidence], *, convexity: float = 1.0) -> float | str:
    """(C) after the first block; what is left of it after the KL drops of the others must hold, too."""
    block = blocks[0]
    if block.fisher is None:
        return _unknown("the Fisher information", block)
    bound = log_sobolev_bound(upper(block.fisher), convexity=convexity)
    rest = bound
    for later in blocks[1:]:
        rest -= _sure_drop(later)
        if _contradiction(rest, later):
            return "withdrawn: a later block contradicts it"
    return _contradiction(bound, block) or bound


def _sure_drop(block: Evidence) -> float:
    return block.kl_drop.value - MARGIN * block.kl_drop.se


def _contradiction(bound: float, block: Evidence) -> str:
    """Why a bound on KL(p_k‖q) cannot hold; empty if nothing measured contradicts it."""
    for what, estimate in (
        ("a classifier shows", block.kl_lower),
        ("a Gaussian mixture's NLL shows", block.kl_lower_mixture),
        ("NLL minus the known entropy shows", block.kl_measured),
    ):
        if estimate is not None and estimate.value - MARGIN * estimate.se > bound:
            return (
                f"withdrawn ({bound:.3g} nats): the critic's class is too small, since {what} "
                f"KL ≥ {estimate.value:.3g} ± {estimate.se:.2g} nats"
            )
    return ""


def _triangle(block: Evidence) -> float | str:
    if math.isinf(block.step_size):
        return FREE
    if block.epsilon_squared is None:
        return _unknown("ε", block)
    moved = block.movement.value + MARGIN * block.movement.se
    return 0.5 * (math.sqrt(upper(block.epsilon_squared)) + moved / block.step_size) ** 2


def _propagated(blocks: Sequence[Evidence], fishers: Sequence[float | str]) -> float | str:
    """The error of a sum of drops is at most the sum of theirs, however they correlate."""
    bounds = [math.inf if isinstance(bound, str) else bound for bound in fishers]
    if all(bound == math.inf for bound in bounds):
        return str(fishers[-1])
    bound = propagated_bound(bounds, [_sure_drop(block) for block in blocks])
    return (
        "the KL drops exceed an earlier bound: the critic's class is too small there" if bound < 0 else bound
    )


def _steps(blocks: Sequence[Evidence], dim: int, *, ot: bool) -> tuple[int, int, float] | str:
    if any(math.isinf(block.step_size) for block in blocks):
        return FREE
    squares = [block.epsilon_squared_ot if ot else block.epsilon_squared for block in blocks]
    known = [math.sqrt(upper(square)) for square in squares if square is not None]
    if len(known) < len(blocks):
        return _unknown("ε", next(block for block, square in zip(blocks, squares, strict=True) if not square))
    epsilon, gamma = max(known), min(block.step_size for block in blocks)
    if epsilon == 0:
        return "ε is zero, and the number of steps is finite for a positive one only"
    start = _independent(blocks[0].potential_before, dim)
    return theorem_steps(start, gamma, epsilon), sharp_steps(start, gamma, epsilon), epsilon


def _entropy(
    blocks: Sequence[Evidence], fishers: Sequence[float | str], reasons: dict[str, str]
) -> tuple[float | None, float]:
    bounds = [math.inf if isinstance(bound, str) else bound for bound in fishers]
    low = entropy_interval(bounds, [block.nll.value - MARGIN * block.nll.se for block in blocks])[0]
    high = min(block.nll.value + MARGIN * block.nll.se for block in blocks)
    if low == -math.inf:
        reasons["entropy_interval"] = f"no lower end: {fishers[-1]}"
        return None, high
    return low, high
