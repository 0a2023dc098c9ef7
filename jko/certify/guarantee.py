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
from typing import Any

from jko.certify.bound_rules import (
    contradiction,
    entropy_bracket,
    log_sobolev,
    propagated,
    recursion,
    steps_asked,
    triangle_bound,
)
from jko.certify.bounds import Bound, hwi_bound, total_variation_bound
from jko.certify.evidence import MARGIN, Evidence
from jko.certify.status import Cause, Reason, Status, weakest
from jko.energies.functional import Functional


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
        causes: the same for scripts, a :class:`jko.certify.status.Cause`.
        statuses: for every bound, how it is known, a :class:`jko.certify.status.Status`; of one that is
        ``None``
            whether it fails or is unknown.
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
    causes: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)


CERTIFICATES = (
    "certificate_a", "certificate_b", "certificate_c", "certificate_c_hwi", "certificate_c_propagated",
    "certificate_c_triangle",
)  # fmt: skip
#: what follows from the certificates
DERIVED = ("kl_bound", "tv", "w2_bound")
#: what is said of the number of steps
COUNTS = ("theorem_steps", "sharp_steps", "epsilon_largest")
NOTHING = Reason("no certificate holds", Cause.CONDITION)
OTHER = Reason("it starts from a distance to N(0, I), and the target is another", Cause.ELSEWHERE)
NO_DIVERGENCE = Reason("the functional is no KL divergence", Cause.ELSEWHERE)
#: what a chain with another target cannot have
OF_THE_REFERENCE = (
    "certificate_a", "certificate_b", "certificate_c_hwi", "certificate_c_triangle", *COUNTS,
    "kl_lower_bound", "kl_lower_bound_se",
)  # fmt: skip


def certify(blocks: Sequence[Evidence], dim: int, *, unfit: str = "") -> Guarantee:
    """All certificates after the last of the blocks.

    Args:
        blocks: evidence of blocks 1..k.
        dim: dimension d.
        unfit: why the conditions of every certificate fail, such as an infinite Fisher information;
            empty if they hold.

    Source: (A) arXiv:2310.17582, the others derived, see theory.md.
    """
    last, never = blocks[-1], Reason(unfit, Cause.UNFIT) if unfit else None
    ot = all(block.epsilon_squared_ot is not None for block in blocks)
    steps = {name: never or recursion(blocks, dim, name, ot=ot) for name in CERTIFICATES[:2]}
    fishers = [never or log_sobolev(blocks[k:]) for k in range(len(blocks))]
    given: dict[str, float | Reason] = {}

    def keep(name: str, value: float | Reason) -> None:
        given[name] = value if isinstance(value, Reason) else contradiction(value, last) or float(value)

    for name, bound in steps.items():
        keep(name, bound if isinstance(bound, Reason) else bound.kl)
    keep("certificate_c", fishers[-1])
    w2s = [b.w2 for name, b in steps.items() if isinstance(b, Bound) and isinstance(given[name], float)]
    slope = given["certificate_c"]
    if isinstance(slope, Reason):
        given["certificate_c_hwi"] = slope
    else:
        w2s.append(math.sqrt(2 * slope))
        keep("certificate_c_hwi", hwi_bound(2 * slope, min(w2s)))
    keep("certificate_c_propagated", propagated(blocks, fishers))
    # the same critic at the same particles: it falls with (C)
    keep("certificate_c_triangle", fishers[-1] if isinstance(fishers[-1], Reason) else triangle_bound(last))
    counts = never or steps_asked(blocks, dim, ot=ot)
    interval, open_end = entropy_bracket(blocks, fishers)
    lowers = [found for found in (last.kl_lower, last.kl_lower_mixture) if found is not None]
    lower = max(lowers, key=lambda bound: bound.value - MARGIN * bound.se, default=None)
    best = _least(given)
    why = _reasons(given) | ({} if best is not None else dict.fromkeys(DERIVED, NOTHING))
    why |= dict.fromkeys(COUNTS, counts) if isinstance(counts, Reason) else {}
    why |= {} if open_end is None else {"entropy_interval": open_end}
    words = _words(given, why, _known(blocks, ot=ot))
    figures: dict[str, Any] = {name: _figure(given[name]) for name in CERTIFICATES}
    theorem, sharp, largest = (None, None, None) if isinstance(counts, Reason) else counts
    return Guarantee(
        **figures,
        certificate_c_estimate=None if last.fisher is None else last.fisher.value / 2,
        certificate_c_se=None if last.fisher is None else last.fisher.se / 2,
        kl_lower_bound=None if lower is None else lower.value,
        kl_lower_bound_se=None if lower is None else lower.se,
        kl_bound=best,
        w2_bound=min(w2s) if w2s and best is not None else None,
        tv=None if best is None else total_variation_bound(best),
        theorem_steps=theorem, sharp_steps=sharp, epsilon_largest=largest,
        entropy_interval=interval,
        pairing="ot" if ot else "block",
        reasons=words[0], causes=words[1], statuses=words[2],
    )  # fmt: skip


def certify_functional(blocks: Sequence[Evidence], functional: Functional) -> Guarantee:
    r"""The certificates of a chain that descends another functional than KL to N(0, I).

    .. math:: G(p_N) - \min G \le \frac{1}{2\lambda} E\Big|\nabla\frac{\delta G}{\delta\rho}\Big|^2

    after each block, carried on by the drops of G. The others start from a distance to N(0, I).

    Args:
        blocks: evidence of blocks 1..k; ``fisher`` is the mean square of ∇δG/δρ.
        functional: G.

    Source: derived, see theory.md, sections 3 and 4.
    """
    last, lam, unfit = blocks[-1], functional.convexity or 0.0, functional.unfit
    if not unfit and lam <= 0:
        unfit = "no functional with λ > 0: (C) needs one"
    never = Reason(unfit, Cause.CONDITION) if unfit else None
    bounds = [never or log_sobolev(blocks[k:], convexity=lam) for k in range(len(blocks))]
    given: dict[str, float | Reason] = dict.fromkeys(CERTIFICATES, OTHER)
    given |= {"certificate_c": bounds[-1], "certificate_c_propagated": propagated(blocks, bounds)}
    best, is_kl = _least(given), functional.is_divergence
    why = _reasons(given) | dict.fromkeys(OF_THE_REFERENCE, OTHER)
    if best is None:
        why |= dict.fromkeys(DERIVED, NOTHING)
    elif not is_kl:
        why["tv"] = NO_DIVERGENCE
    slope = None if unfit else last.fisher
    words = _words(given, why, _known(blocks, ot=False))
    figures: dict[str, Any] = {name: _figure(given[name]) for name in CERTIFICATES}
    return Guarantee(
        **figures,
        certificate_c_estimate=None if slope is None else slope.value / (2 * lam),
        certificate_c_se=None if slope is None else slope.se / (2 * lam),
        kl_lower_bound=None, kl_lower_bound_se=None,
        kl_bound=best,
        w2_bound=None if best is None else math.sqrt(2 * best / lam),
        tv=total_variation_bound(best) if best is not None and is_kl else None,
        theorem_steps=None, sharp_steps=None, epsilon_largest=None,
        entropy_interval=(None, min(block.nll.value + MARGIN * block.nll.se for block in blocks)),
        pairing="block",
        reasons=words[0], causes=words[1], statuses=words[2],
    )  # fmt: skip


def _figure(value: float | Reason) -> float | None:
    return None if isinstance(value, Reason) else value


def _least(given: dict[str, float | Reason]) -> float | None:
    """The smallest certificate; ``None`` where none holds."""
    return min((value for value in given.values() if not isinstance(value, Reason)), default=None)


def _reasons(given: dict[str, float | Reason]) -> dict[str, Reason]:
    return {name: value for name, value in given.items() if isinstance(value, Reason)}


def _known(blocks: Sequence[Evidence], *, ot: bool) -> dict[str, Status]:
    """How the inputs of every certificate are known: the weakest of them decides."""

    def of(exact: bool) -> Status:
        return Status.MEASURED if exact else Status.ESTIMATED

    steps = of(not ot and all(block.exact_epsilon for block in blocks))
    fisher = of(blocks[-1].exact_fisher)
    return {
        "certificate_a": steps,
        "certificate_b": steps,
        "certificate_c": fisher,
        "certificate_c_hwi": weakest(steps, fisher),
        "certificate_c_propagated": of(all(block.exact_fisher for block in blocks)),
        "certificate_c_triangle": of(blocks[-1].exact_epsilon),
    }


def _words(
    given: dict[str, float | Reason], why: dict[str, Reason], known: dict[str, Status]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Reasons, causes and statuses: how every figure is known, or why it is not there."""
    held = {name: value for name, value in given.items() if not isinstance(value, Reason)}
    statuses = {**known, **dict.fromkeys(COUNTS, known["certificate_a"]), "kl_lower_bound": Status.MEASURED}
    statuses["entropy_interval"] = known["certificate_c_propagated"]
    if held:
        best = known[min(held, key=lambda name: held[name])]
        statuses |= {"kl_bound": best, "tv": best}
        statuses["w2_bound"] = weakest(known["certificate_a"], known["certificate_c"])
    statuses |= {name: reason.cause.status for name, reason in why.items()}
    if "entropy_interval" in why:  # its upper end is there, a plain average
        statuses["entropy_interval"] = Status.MEASURED
    return (
        {name: reason.text for name, reason in why.items()},
        {name: reason.cause.value for name, reason in why.items()},
        {name: status.value for name, status in statuses.items()},
    )
