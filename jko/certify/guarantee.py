r"""What the measured blocks of a chain guarantee: every certificate, or the reason why it does not hold.

Every estimate enters two standard errors on its unfavourable side, so that a certificate holds with
about 95 % confidence *as far as the critic's class can see*. No upper bound on ε or KL follows from
samples alone without an assumption on the law; where the density of p_0 is known, ε and the Fisher
information are plain averages and only their Monte-Carlo error remains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from jko.certify.bound_rules import (
    contradiction,
    entropy_bracket,
    independent,
    log_sobolev,
    propagated,
    recursion,
    steps_asked,
    triangle_bound,
)
from jko.certify.bounds import StepBounds, hwi_bound, total_variation_bound
from jko.certify.certificates import CERTIFICATES, Bound, Guarantee, Withheld
from jko.certify.evidence import MARGIN, Evidence
from jko.certify.functionals import Descent, descent
from jko.certify.status import Cause, Status, weakest
from jko.energies.functional import Functional
from jko.energies.ground import Ground

#: what follows from the certificates
DERIVED = ("kl_bound", "tv", "w2_bound")
#: what is said of the number of steps
COUNTS = ("theorem_steps", "sharp_steps", "epsilon_largest")
NOTHING = Withheld("no certificate holds", Cause.CONDITION)
OTHER = Withheld("it compares with N(0, I), and the target is another", Cause.ELSEWHERE)
NO_DIVERGENCE = Withheld("the functional is no KL divergence", Cause.ELSEWHERE)
#: what a chain with another target cannot have
OF_THE_REFERENCE = ("kl_lower_bound", "kl_lower_bound_se")


def certify(blocks: Sequence[Evidence], dim: int, *, unfit: str = "") -> Guarantee:
    """All certificates after the last of the blocks.

    Args:
        blocks: evidence of blocks 1..k.
        dim: dimension d.
        unfit: why the conditions of every certificate fail, such as an infinite Fisher information;
            empty if they hold.

    Source: (A) arXiv:2310.17582, the others derived, see theory.md.
    """
    last, never = blocks[-1], Withheld(unfit, Cause.UNFIT) if unfit else None
    ot = all(block.epsilon_squared_ot is not None for block in blocks)
    steps = {name: never or recursion(blocks, dim, name, ot=ot) for name in CERTIFICATES[:2]}
    fishers = [never or log_sobolev(blocks[k:]) for k in range(len(blocks))]
    known = _known(blocks, ot=ot)
    given: dict[str, Bound | Withheld] = {}

    def keep(name: str, value: float | Withheld) -> None:
        given[name] = _bound(value, known[name])
        if not isinstance(value, Withheld):
            given[name] = contradiction(value, last) or given[name]

    for name, bound in steps.items():
        keep(name, bound if isinstance(bound, Withheld) else bound.kl)
    keep("certificate_c", fishers[-1])
    w2s = [b.w2 for name, b in steps.items() if isinstance(b, StepBounds) and isinstance(given[name], Bound)]
    slope = given["certificate_c"]
    if isinstance(slope, Withheld):
        given["certificate_c_hwi"] = slope
    else:
        w2s.append(math.sqrt(2 * slope.value))
        keep("certificate_c_hwi", hwi_bound(2 * slope.value, min(w2s)))
    keep("certificate_c_propagated", propagated(blocks, fishers))
    # the same critic at the same particles: it falls with (C)
    keep("certificate_c_triangle", fishers[-1] if isinstance(fishers[-1], Withheld) else triangle_bound(last))
    counts = never or steps_asked(blocks, independent(blocks[0].potential_before, dim), ot=ot)
    interval, open_end = entropy_bracket(blocks, fishers)
    lowers = [found for found in (last.kl_lower, last.kl_lower_mixture) if found is not None]
    lower = max(lowers, key=lambda bound: bound.value - MARGIN * bound.se, default=None)
    best = _least(given)
    why = dict.fromkeys(COUNTS, counts) if isinstance(counts, Withheld) else {}
    why |= {} if open_end is None else {"entropy_interval": open_end}
    theorem, sharp, largest = (None, None, None) if isinstance(counts, Withheld) else counts
    words = _words(given, best, why, known)
    return Guarantee(
        **_values(given),
        certificate_c_estimate=None if last.fisher is None else last.fisher.value / 2,
        certificate_c_se=None if last.fisher is None else last.fisher.se / 2,
        kl_lower_bound=None if lower is None else lower.value,
        kl_lower_bound_se=None if lower is None else lower.se,
        kl_bound=_value(best),
        w2_bound=min(w2s) if w2s and isinstance(best, Bound) else None,
        tv=total_variation_bound(best.value) if isinstance(best, Bound) else None,
        theorem_steps=theorem, sharp_steps=sharp, epsilon_largest=largest,
        entropy_interval=interval,
        pairing="ot" if ot else "block",
        reasons=words[0], causes=words[1], statuses=words[2],
    )  # fmt: skip


def certify_functional(
    blocks: Sequence[Evidence], functional: Functional, ground: Ground | None, *, corrected: bool = False
) -> Guarantee:
    r"""The certificates of a chain that descends another functional than KL to N(0, I).

    .. math:: G(p_N) - \min G \le \frac{1}{2\lambda} E\Big|\nabla\frac{\delta G}{\delta\rho}\Big|^2

    after each block, carried on by the drops of G; and (A), (B) from a bound on W2 of the start to the law
    where G is least, see :mod:`jko.certify.functionals`.

    Args:
        blocks: evidence of blocks 1..k; ``fisher`` is the mean square of ∇δG/δρ.
        functional: G.
        ground: where it is least; ``None`` where no λ > 0 is known.
        corrected: whether rows are drawn again between blocks.

    Source: (A) arXiv:2310.17582, the others derived, see theory.md, sections 3 and 4.
    """
    last, unfit = blocks[-1], functional.unfit
    if not unfit and ground is None:
        unfit = "no functional with λ > 0: every bound needs one"
    never = Withheld(unfit, Cause.CONDITION) if unfit else None
    lam = 1.0 if ground is None else ground.convexity
    ot = all(block.epsilon_squared_ot is not None for block in blocks)
    slopes = [never or log_sobolev(blocks[k:], convexity=lam) for k in range(len(blocks))]
    more = Descent({}) if ground is None else descent(blocks, ground, slopes[-1], ot=ot, corrected=corrected)
    known = _known(blocks, ot=ot)
    values = {**more.bounds, "certificate_c": slopes[-1],
              "certificate_c_propagated": propagated(blocks, slopes)}  # fmt: skip
    given: dict[str, Bound | Withheld] = {}
    for name in CERTIFICATES:
        given[name] = never or _bound(values[name], known[name])
        if isinstance(bound := given[name], Bound):
            given[name] = contradiction(bound.value, last) or bound
    best, counts = _least(given), never or more.counts
    why = dict.fromkeys(OF_THE_REFERENCE, OTHER)
    why |= dict.fromkeys(COUNTS, counts) if isinstance(counts, Withheld) else {}
    tv = NO_DIVERGENCE if isinstance(best, Bound) and not functional.is_divergence else best
    if isinstance(tv, Withheld):
        why["tv"] = tv
    slope = None if unfit else last.fisher
    theorem, sharp, largest = (None, None, None) if isinstance(counts, Withheld) else counts
    words = _words(given, best, why, known)
    return Guarantee(
        **_values(given),
        certificate_c_estimate=None if slope is None else slope.value / (2 * lam),
        certificate_c_se=None if slope is None else slope.se / (2 * lam),
        kl_lower_bound=None, kl_lower_bound_se=None,
        kl_bound=_value(best),
        w2_bound=min([math.sqrt(2 * best.value / lam), *more.w2]) if isinstance(best, Bound) else None,
        tv=total_variation_bound(tv.value) if isinstance(tv, Bound) else None,
        theorem_steps=theorem, sharp_steps=sharp, epsilon_largest=largest,
        entropy_interval=(None, min(block.nll.value + MARGIN * block.nll.se for block in blocks)),
        pairing="ot" if ot else "block",
        reasons=words[0], causes=words[1], statuses=words[2],
    )  # fmt: skip


def _bound(value: float | Withheld, status: Status) -> Bound | Withheld:
    return value if isinstance(value, Withheld) else Bound(float(value), status)


def _value(bound: Bound | Withheld) -> float | None:
    return bound.value if isinstance(bound, Bound) else None


def _values(given: Mapping[str, Bound | Withheld]) -> dict[str, float | None]:
    return {name: _value(given[name]) for name in CERTIFICATES}


def _least(given: Mapping[str, Bound | Withheld]) -> Bound | Withheld:
    """The smallest certificate; withheld where none holds."""
    held = [bound for bound in given.values() if isinstance(bound, Bound)]
    return min(held, key=lambda bound: bound.value, default=NOTHING)


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
    given: Mapping[str, Bound | Withheld],
    best: Bound | Withheld,
    why: Mapping[str, Withheld],
    known: Mapping[str, Status],
) -> tuple[dict[str, str], dict[str, Cause], dict[str, Status]]:
    """Reasons, causes and statuses: how every figure is known, or why it is not there."""
    statuses = {**known, **dict.fromkeys(COUNTS, known["certificate_a"]), "kl_lower_bound": Status.MEASURED}
    statuses["entropy_interval"] = known["certificate_c_propagated"]
    withheld = {name: bound for name, bound in given.items() if isinstance(bound, Withheld)}
    if isinstance(best, Bound):
        statuses |= {"kl_bound": best.status, "tv": best.status}
        statuses["w2_bound"] = weakest(known["certificate_a"], known["certificate_c"])
    else:
        withheld |= dict.fromkeys(DERIVED, best)
    withheld |= why
    statuses |= {name: bound.status for name, bound in withheld.items()}
    if "entropy_interval" in why:  # its upper end is there, a plain average
        statuses["entropy_interval"] = Status.MEASURED
    return (
        {name: bound.reason for name, bound in withheld.items()},
        {name: bound.cause for name, bound in withheld.items() if bound.cause is not None},
        statuses,
    )
