r"""What the measured blocks of a chain guarantee: every certificate, or the reason why it does not hold.

Every estimate enters two standard errors on its unfavourable side (more where few rows carry it, see
:mod:`jko.statistics.upper_limit`), so that a certificate holds with a confidence of about .977 *as far as
the critic's class can see*. Where the best of several limits is taken, such as the smallest certificate,
each is kept at the margin at which all of them hold at once (Bonferroni). The standard errors of the
estimates in one certificate add up, which is at least the standard error of the whole. No upper bound on ε
or KL follows from samples alone without an assumption on the law; where the density of p_0 is known, ε and
the Fisher information are plain averages and only their Monte-Carlo error remains.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

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
from jko.statistics.upper_limit import margin_of

#: what follows from the certificates
DERIVED = ("kl_bound", "kl_estimate", "tv", "w2_bound")
#: what is said of the number of steps
COUNTS = ("theorem_steps", "sharp_steps", "epsilon_largest")
NOTHING = Withheld("no certificate holds", Cause.CONDITION)
OTHER = Withheld("it compares with N(0, I), and the target is another", Cause.ELSEWHERE)
ONLY_ESTIMATES = Withheld(
    "every certificate that holds is an estimate from below, given as kl_estimate", Cause.UNSEEN
)
SURE = Withheld("a certificate is known for sure, given as kl_bound", Cause.ELSEWHERE)
#: what is said of the old name of an estimate
OLD_NAME = (
    "here kl_bound repeats kl_estimate, an estimate from below and no bound; from the next version on it is "
    "null where every certificate is estimated: read kl_estimate"
)
NO_DIVERGENCE = Withheld("the functional is no KL divergence", Cause.ELSEWHERE)
#: what a chain with another target cannot have
OF_THE_REFERENCE = ("kl_lower_bound", "kl_lower_bound_se", "kl_lower_bound_sure")


class _Named(TypedDict):
    """The smallest certificate as a guarantee keeps it."""

    kl_bound: float | None
    kl_estimate: float | None
    deprecated: dict[str, str]


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
    known = _known(blocks, ot=ot)
    given = _each(blocks, dim, known, ot=ot, never=never)[0]
    counts = never or steps_asked(blocks, independent(blocks[0], blocks[0].potential_before, dim), ot=ot)
    # an end is the best of as many limits as there are blocks
    ends = _at(blocks, margin_of(len(blocks)))
    interval, open_end = entropy_bracket(ends, [never or log_sobolev(ends[k:]) for k in range(len(ends))])
    lowers = [found for found in (last.kl_lower, last.kl_lower_mixture) if found is not None]
    margin = margin_of(len(lowers))
    lower = max(lowers, key=lambda bound: bound.value - margin * bound.se, default=None)
    # the smallest of many limits is too low too often: each is kept so much farther out
    wide, w2s = _each(_at(blocks, margin_of(candidates(len(blocks)))), dim, known, ot=ot, never=never)
    best = _least(wide[name] for name in CERTIFICATES if isinstance(given[name], Bound))
    w2 = best
    if isinstance(best, Bound):  # N(0, I) has W2² ≤ 2 KL (Talagrand)
        w2 = _least([*w2s, Bound(math.sqrt(2 * best.value), best.status)])
    why = dict.fromkeys(COUNTS, counts) if isinstance(counts, Withheld) else {}
    why |= {} if open_end is None else {"entropy_interval": open_end}
    theorem, sharp, largest = (None, None, None) if isinstance(counts, Withheld) else counts
    words = _words(given, {"kl": best, "w2": w2}, why, known)
    return Guarantee(
        **_values(given),
        certificate_c_estimate=None if last.fisher is None else last.fisher.value / 2,
        certificate_c_se=None if last.fisher is None else last.fisher.se / 2,
        kl_lower_bound=None if lower is None else lower.value,
        kl_lower_bound_se=None if lower is None else lower.se,
        kl_lower_bound_sure=None if lower is None else lower.value - margin * lower.se,
        **_named(best),
        w2_bound=_value(w2),
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
    known = _known(blocks, ot=ot)

    def at(margin: float) -> tuple[dict[str, Bound | Withheld], Descent]:
        return _descended(_at(blocks, margin), ground, known, ot=ot, corrected=corrected, never=never)

    given, more = at(MARGIN)
    counts = never or more.counts
    wide, far = at(margin_of(candidates(len(blocks))))
    best = _least(wide[name] for name in CERTIFICATES if isinstance(given[name], Bound))
    w2s = [Bound(value, known["certificate_a"]) for value in far.w2]
    w2 = best
    if isinstance(best, Bound):
        w2 = _least([*w2s, Bound(math.sqrt(2 * best.value / lam), best.status)])
    why = dict.fromkeys(OF_THE_REFERENCE, OTHER)
    why |= dict.fromkeys(COUNTS, counts) if isinstance(counts, Withheld) else {}
    tv = NO_DIVERGENCE if isinstance(best, Bound) and not functional.is_divergence else best
    if isinstance(tv, Withheld):
        why["tv"] = tv
    slope = None if unfit else last.fisher
    theorem, sharp, largest = (None, None, None) if isinstance(counts, Withheld) else counts
    words = _words(given, {"kl": best, "w2": w2}, why, known)
    return Guarantee(
        **_values(given),
        certificate_c_estimate=None if slope is None else slope.value / (2 * lam),
        certificate_c_se=None if slope is None else slope.se / (2 * lam),
        kl_lower_bound=None, kl_lower_bound_se=None, kl_lower_bound_sure=None,
        **_named(best),
        w2_bound=_value(w2),
        tv=total_variation_bound(tv.value) if isinstance(tv, Bound) else None,
        theorem_steps=theorem, sharp_steps=sharp, epsilon_largest=largest,
        entropy_interval=(None, min(block.nll.value + MARGIN * block.nll.se for block in blocks)),
        pairing="ot" if ot else "block",
        reasons=words[0], causes=words[1], statuses=words[2],
    )  # fmt: skip


def candidates(blocks: int) -> int:
    """Of how many limits the smallest certificate is the best, with so many blocks.

    (A) and (B) may start again after every block, (C) propagated may be cut after every block, and at the
    last one it is (C); HWI and the triangle are two more.
    """
    return 3 * blocks + 2


def _at(blocks: Sequence[Evidence], margin: float) -> list[Evidence]:
    """The blocks, every estimate to be moved so many standard errors."""
    return [replace(block, margin=margin) for block in blocks]


def _each(
    blocks: Sequence[Evidence],
    dim: int,
    known: Mapping[str, Status],
    *,
    ot: bool,
    never: Withheld | None,
) -> tuple[dict[str, Bound | Withheld], list[Bound]]:
    """Every certificate at the margin of the blocks, and bounds on W2 that go with them.

    What is the best of several limits by itself gets the margin that this asks for, if it is the larger.
    """
    last, margin = blocks[-1], blocks[-1].margin

    def of(count: int) -> list[Evidence]:
        return _at(blocks, max(margin, margin_of(count)))

    given: dict[str, Bound | Withheld] = {}

    def keep(name: str, value: float | Withheld) -> None:
        given[name] = _bound(value, known[name])
        if not isinstance(value, Withheld):
            given[name] = contradiction(value, last) or given[name]

    count = len(blocks)
    steps = {name: never or recursion(of(count), dim, name, ot=ot) for name in CERTIFICATES[:2]}
    for name, bound in steps.items():
        keep(name, bound if isinstance(bound, Withheld) else bound.kl)
    keep("certificate_c", never or log_sobolev(blocks[-1:]))
    w2s = [
        Bound(own.w2, known[name])
        for name, own in steps.items()
        if isinstance(own, StepBounds) and isinstance(given[name], Bound)
    ]
    slope = given["certificate_c"]
    if isinstance(slope, Withheld):
        given["certificate_c_hwi"] = slope
    else:
        w2s.append(Bound(math.sqrt(2 * slope.value), slope.status))
        keep("certificate_c_hwi", hwi_bound(2 * slope.value, min(own.value for own in w2s)))
    cuts = of(count)
    fishers = [never or log_sobolev(cuts[k:]) for k in range(count)]
    keep("certificate_c_propagated", propagated(cuts, fishers))
    # the same critic at the same particles: it falls with (C)
    fails = fishers[-1] if isinstance(fishers[-1], Withheld) else None
    keep("certificate_c_triangle", fails or triangle_bound(last))
    return given, w2s


def _descended(
    blocks: Sequence[Evidence],
    ground: Ground | None,
    known: Mapping[str, Status],
    *,
    ot: bool,
    corrected: bool,
    never: Withheld | None,
) -> tuple[dict[str, Bound | Withheld], Descent]:
    """Every certificate of a chain to a functional at the margin of the blocks, as in :func:`_each`."""
    lam, last, count = 1.0 if ground is None else ground.convexity, blocks[-1], len(blocks)
    wide = _at(blocks, max(last.margin, margin_of(count)))
    own = never or log_sobolev(blocks[-1:], convexity=lam)
    slopes = [never or log_sobolev(wide[k:], convexity=lam) for k in range(count)]
    more = Descent({}) if ground is None else descent(wide, ground, slopes[-1], ot=ot, corrected=corrected)
    values = {**more.bounds, "certificate_c": own, "certificate_c_propagated": propagated(wide, slopes)}
    given: dict[str, Bound | Withheld] = {}
    for name in CERTIFICATES:
        given[name] = never or _bound(values[name], known[name])
        if isinstance(bound := given[name], Bound):
            given[name] = contradiction(bound.value, last) or bound
    return given, more


def _bound(value: float | Withheld, status: Status) -> Bound | Withheld:
    return value if isinstance(value, Withheld) else Bound(float(value), status)


def _value(bound: Bound | Withheld) -> float | None:
    return bound.value if isinstance(bound, Bound) else None


def _values(given: Mapping[str, Bound | Withheld]) -> dict[str, float | None]:
    return {name: _value(given[name]) for name in CERTIFICATES}


def _least(given: Iterable[Bound | Withheld]) -> Bound | Withheld:
    """The smallest of those known for sure, else the smallest estimate; withheld where none holds."""
    held = [bound for bound in given if isinstance(bound, Bound)]
    sure = [bound for bound in held if bound.status.sure]
    return min(sure or held, key=lambda bound: bound.value, default=NOTHING)


def _named(best: Bound | Withheld) -> _Named:
    """The smallest certificate by its name; an estimate has its old name, too, with a warning."""
    if not isinstance(best, Bound):
        return _Named(kl_bound=None, kl_estimate=None, deprecated={})
    if best.status.sure:
        return _Named(kl_bound=best.value, kl_estimate=None, deprecated={})
    return _Named(kl_bound=best.value, kl_estimate=best.value, deprecated={"kl_bound": OLD_NAME})


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
    derived: Mapping[str, Bound | Withheld],
    why: Mapping[str, Withheld],
    known: Mapping[str, Status],
) -> tuple[dict[str, str], dict[str, Cause], dict[str, Status]]:
    """Reasons, causes and statuses: how every figure is known, or why it is not there."""
    statuses = {**known, **dict.fromkeys(COUNTS, known["certificate_a"]), "kl_lower_bound": Status.MEASURED}
    statuses["entropy_interval"] = known["certificate_c_propagated"]
    withheld = {name: bound for name, bound in given.items() if isinstance(bound, Withheld)}
    best, w2 = derived["kl"], derived["w2"]
    if isinstance(best, Bound) and isinstance(w2, Bound):  # one is there with the other
        statuses |= {"kl_bound": best.status, "tv": best.status, "w2_bound": w2.status}
        statuses |= {} if best.status.sure else {"kl_estimate": best.status}
    elif isinstance(best, Withheld):
        withheld |= dict.fromkeys(DERIVED, best)
    withheld |= why
    statuses |= {name: bound.status for name, bound in withheld.items()}
    if isinstance(best, Bound):  # the other name has a reason, though nothing fails
        withheld |= {"kl_estimate": SURE} if best.status.sure else {"kl_bound": ONLY_ESTIMATES}
    if "entropy_interval" in why:  # its upper end is there, a plain average
        statuses["entropy_interval"] = Status.MEASURED
    return (
        {name: bound.reason for name, bound in withheld.items()},
        {name: bound.cause for name, bound in withheld.items() if bound.cause is not None},
        statuses,
    )
