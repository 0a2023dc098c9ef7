r"""(A), (B) and what needs them, for chains that descend any λ-convex functional.

Only the first line of the step's inequality knows the functional: with S and R optimal from p_{k−1} to p_k
and to the law q where G is least, convexity along generalized geodesics says

.. math:: G(q) \ge G(p_k) + E\langle\nabla\tfrac{\delta G}{\delta\rho}(S), R - S\rangle
          + \tfrac\lambda2 E|R - S|^2,

and all else is :math:`2\langle S - Id, R - S\rangle = |R - Id|^2 - |S - Id|^2 - |R - S|^2`. So (A) and
(B) bound G(p_k) − min G as they bound KL. With a block's own map in the place of S, V and a convex W need
nothing more, and an internal energy whose P(r)/r does not fall (entropy, and powers above 1) pays

.. math:: \kappa = E\Big[\frac{P(p_k)}{p_k}(Tx)\,
          \Big(\log|\det\nabla T| - \log\det \mathrm{sym}\nabla T\Big)\Big].

Source: the theorem is that of arXiv:2310.17582, stated for a general G; the rest derived, see theory.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from jko.certify.bound_rules import after_step, steps_asked, triangle_bound
from jko.certify.bounds import StepBounds, hwi_bound
from jko.certify.certificates import Withheld
from jko.certify.evidence import Evidence
from jko.certify.status import Cause
from jko.energies.ground import Ground

NO_START = Withheld("nothing measured bounds W2 of the law before the block to the least one", Cause.UNSEEN)
#: which two are recursions over the blocks
RECURSIONS = ("certificate_a", "certificate_b")


@dataclass(frozen=True)
class Descent:
    """What the steps of a chain say of G(p_N) − min G.

    Args:
        bounds: certificate → its value, nats, or why there is none.
        w2: bounds on W2(p_N, q), one for each recursion that holds.
        counts: numbers of steps that (A) and (B) ask for and the ε they are for, or why there are none.
    """

    bounds: dict[str, float | Withheld]
    w2: list[float] = field(default_factory=list)
    counts: tuple[int, int, float] | Withheld = NO_START


def descent(
    blocks: Sequence[Evidence],
    ground: Ground,
    slope: float | Withheld,
    *,
    ot: bool = False,
    corrected: bool = False,
) -> Descent:
    """The certificates besides (C) of a chain that descends a λ-convex functional.

    Args:
        blocks: evidence of blocks 1..k.
        ground: where the functional is least.
        slope: (C) after the last block, nats.
        ot: whether ε of OT pairing is taken.
        corrected: whether rows are drawn again between blocks. That never raises KL, but it may raise W2,
            which is then at most √(2 KL/λ).
    """
    lam, last = ground.convexity, blocks[-1]
    steps = {name: recursion(blocks, ground, name, ot=ot, corrected=corrected) for name in RECURSIONS}
    w2 = [bound.w2 for bound in steps.values() if isinstance(bound, StepBounds)]
    bounds = {name: bound if isinstance(bound, Withheld) else bound.kl for name, bound in steps.items()}
    if isinstance(slope, Withheld):
        bounds |= {"certificate_c_hwi": slope, "certificate_c_triangle": slope}
    else:
        nearest = min([*w2, math.sqrt(2 * slope / lam)])
        bounds["certificate_c_hwi"] = hwi_bound(2 * lam * slope, nearest, convexity=lam)
        bounds["certificate_c_triangle"] = triangle_bound(last, convexity=lam)
    start = start_bound(blocks[0], ground)
    counts = NO_START if start is None else steps_asked(blocks, start, ot=ot, convexity=lam)
    # rows drawn again behind the last block are of another law than its images
    return Descent(bounds, [] if corrected else w2, counts)


def recursion(
    blocks: Sequence[Evidence], ground: Ground, name: str, *, ot: bool, corrected: bool
) -> StepBounds | Withheld:
    """(A) or (B) over all blocks; before each the smaller of what the steps and what measures say."""
    lam = ground.convexity
    w2, result = math.inf, StepBounds(math.inf, math.inf)
    found: StepBounds | Withheld = NO_START  # there is a block at least
    for block in blocks:
        measured = start_bound(block, ground)
        w2 = min(w2, math.inf if measured is None else measured)
        found = after_step(block, w2, name, ot=ot, convexity=lam) if math.isfinite(w2) else NO_START
        if isinstance(found, Withheld):
            w2 = math.inf
        else:
            result = StepBounds(min(found.w2, math.sqrt(2 * found.kl / lam)), found.kl)
            w2 = math.sqrt(2 * found.kl / lam) if corrected else result.w2
    return found if isinstance(found, Withheld) else result


def start_bound(block: Evidence, ground: Ground) -> float | None:
    r"""W2 of the law before a block to the least one, from what is measured of that law alone.

    .. math:: W_2(p, q) \le \min\Big\{\frac{\sqrt{I(p)}}\lambda,\ \sqrt{E|x - x^*|^2} + \sqrt{c d/\lambda},\
              \sqrt{\tfrac2\lambda (G(p) - \underline G)}\Big\}, \qquad
              I(p) = E_p\Big|\nabla\tfrac{\delta G}{\delta\rho}\Big|^2

    The first needs the score of p, the second no internal energy besides entropies, the third G itself, which
    is measured where the density is known because an internal energy needs it.

    Args:
        block: its evidence.
        ground: where the functional is least.

    Returns:
        The smallest, every estimate moved up; ``None`` where there is none.

    Source: λ-convexity at the least law; derived, see theory.md.
    """
    lam, found = ground.convexity, []
    if block.fisher_before is not None:
        found.append(math.sqrt(block.high(block.fisher_before)) / lam)
    if ground.spread is None and math.isfinite(ground.floor):
        above = upper_signed(block) - ground.floor
        found.append(math.sqrt(2 * max(above, 0.0) / lam))
    if ground.spread is not None and block.from_lowest is not None:
        found.append(math.sqrt(block.high(block.from_lowest)) + ground.slack + ground.spread)
    known = [value for value in found if math.isfinite(value)]
    return min(known, default=None)


def upper_signed(block: Evidence) -> float:
    """G before the block, moved up by the margin; of any sign."""
    return block.potential_before.value + block.margin * block.potential_before.se
