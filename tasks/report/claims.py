"""What a chain's certificate says: every figure with how it is known and what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jko.certify.certificates import CERTIFICATES, Bound, Withheld
from jko.certify.records import Certificate, CertifiedBlock, ChainGuarantee, Condition
from jko.certify.status import LEGEND as MARKS_MEAN
from jko.certify.status import Cause, Status
from jko.core.step_sizes import shown
from tasks.report.labels import (
    ESTIMATED,
    LEGEND,
    MEASURED,
    best_label,
    clear,
    epsilon_of,
    label_of,
    law_of,
    number,
    plus_minus,
    ratio,
    reference_of,
    sign_of,
)
from tasks.report.sentences import reading, remarks

#: certificate -> its short name and what it is
CLAIMS = {
    "certificate_a": (
        "(A)",
        "The convergence theorem, block by block: every step brings the particles closer to N(0, I), and its "
        "error ε takes a part of that back.",
    ),
    "certificate_b": (
        "(B)",
        "The same argument with the largest contraction that a step really has: the sharp recursion.",
    ),
    "certificate_c": (
        "(C)",
        "Looks only at the particles after the last block: half their Fisher information relative to N(0, "
        "I), by the log-Sobolev inequality.",
    ),
    "certificate_c_hwi": (
        "(C) by HWI",
        "(C), sharpened by what is known of the distance W2 to N(0, I).",
    ),
    "certificate_c_propagated": (
        "(C) propagated",
        "The best (C) after any block, less the KL that the blocks after it removed.",
    ),
    "certificate_c_triangle": (
        "(C) by triangle",
        "(C) with (ε + M/γ)² in place of the Fisher information, from the last block's ε and movement M.",
    ),
}
#: added to (A) and (B) with block pairing
OWN = " In the form for the block's own ε, which needs sym ∇T ≻ 0."
#: why there is no bound -> what to choose instead
REMEDIES = {
    Cause.UNFIT: "Data with data.smoothing have a density. A bound then holds for the smoothed law, and "
    "this page says how far in W2 that law is from the data. The NLL and the samples need no certificate.",
    Cause.UNSEEN: "More held-out rows (data.split.validation) or fewer columns would let a critic see them.",
    Cause.WITHDRAWN: "A larger critic (measure.critic_centres) and more held-out rows see more.",
}


@dataclass(frozen=True)
class Claim:
    """One row of a table of figures.

    Args:
        name: short name.
        value: the figure as text; empty where it does not hold.
        label: how it is known; empty where it does not hold.
        says: what it is, in one sentence.
        ratio: how many times the measured KL it is, as text; empty where unknown.
        reason: why it does not hold; empty where it does.
        truth: whether it is what the bounds bound.
    """

    name: str
    value: str
    label: str
    says: str
    ratio: str = ""
    reason: str = ""
    truth: bool = False


@dataclass(frozen=True)
class Assumption:
    """Something the certificates rest on.

    Args:
        mark: of its status, see :attr:`jko.certify.status.Status.mark`.
        label: how it is known; empty where it fails or is unknown.
        name: what is assumed.
        how: how it was established.
    """

    mark: str
    label: str
    name: str
    how: str


@dataclass(frozen=True)
class Panel:
    """The section of the page that says what is guaranteed.

    Args:
        verdict: the guarantee in one sentence.
        heading: what the bounds are of.
        label: how its KL bound is known; empty where there is none.
        reading: sentences on how to read it.
        obstacles: why no bound holds: names of certificates and their reason, every reason once.
        remedies: what to choose instead.
        bounds: the certificates and what they are compared with.
        distances: distances between laws.
        blocks: figures of every block, as text.
        assumptions: what all of it rests on.
        remarks: on what else is known: title, sentences, label.
        marks: what the marks of the assumptions mean.
    """

    verdict: str
    heading: str
    label: str
    reading: Sequence[str]
    obstacles: Sequence[tuple[str, str]]
    remedies: Sequence[str]
    bounds: Sequence[Claim]
    distances: Sequence[Claim]
    blocks: Sequence[Mapping[str, str]]
    assumptions: Sequence[Assumption]
    remarks: Sequence[tuple[str, str, str]]
    marks: str = MARKS_MEAN


def panel_of(certificate: Certificate, entropy: Mapping[str, float] | None) -> Panel:
    """Everything that the section shows.

    Args:
        certificate: content of ``DIR.certificate.json``, see :mod:`tasks.certify`.
        entropy: of the data, with its standard error, where it is known.
    """
    whole = certificate.chain
    label = best_label(whole)
    obstacles = [] if label else _obstacles(whole)
    reasons = [reason for _, reason in obstacles]
    causes = [whole.causes.get(name) for name in CERTIFICATES]
    given = [whole.reasons.get(name, "") for name in CERTIFICATES]
    return Panel(
        verdict=whole.mixed.says,
        heading=heading_of(whole),
        label=label,
        reading=reading(certificate, label),
        obstacles=obstacles,
        remedies=[text for cause, text in REMEDIES.items() if obstacles and cause in causes],
        bounds=[*(_certificates(certificate) if label else []), *_comparisons(whole)],
        distances=_distances(certificate),
        blocks=[_block(block) for block in certificate.blocks],
        assumptions=[_assumption(item, reasons) for item in whole.assumptions],
        remarks=remarks(certificate, entropy, given),
    )


def _obstacles(whole: ChainGuarantee) -> list[tuple[str, str]]:
    names: dict[str, list[str]] = {}
    for name in CERTIFICATES:
        if isinstance(bound := whole.bound(name), Withheld):
            names.setdefault(bound.reason, []).append(CLAIMS[name][0])
    return [(", ".join(which), reason) for reason, which in names.items()]


def _certificates(certificate: Certificate) -> list[Claim]:
    """The certificates in the order of the theory; a reason already given is not said again."""
    whole = certificate.chain
    claims: list[Claim] = []
    first: dict[str, str] = {}
    for name, (short, says) in CLAIMS.items():
        if name in ("certificate_a", "certificate_b") and whole.pairing == "block":
            says += OWN  # noqa: PLW2901
        bound = whole.bound(name)
        if isinstance(bound, Bound):
            label = bound.status if bound.status.holds else ""
            claims.append(
                Claim(
                    short,
                    f"{sign_of(bound.status)} {number(bound.value)}",
                    label,
                    says,
                    ratio(bound.value, whole),
                )
            )
            continue
        reason = bound.reason
        shown = f"for the same reason as {first[reason]}" if reason in first else reason
        first.setdefault(reason, short)
        claims.append(Claim(short, "", "", says, reason=shown))
    return claims


def _comparisons(whole: ChainGuarantee) -> list[Claim]:
    """What the certificates are compared with: bounds from below, and the truth where it is known."""
    claims = []
    low, se = whole.kl_lower_bound, whole.kl_lower_bound_se
    if low is not None:
        sure = clear(low, se) if whole.kl_lower_bound_sure is None else whole.kl_lower_bound_sure > 0
        says = (
            "What a classifier between held-out rows and draws of N(0, I), or a Gaussian mixture fitted to "
        )
        says += "the data, shows; a better one could show "
        says += "more." if sure else "more. Not clearly positive here, so it says nothing."
        value = f"≥ {plus_minus(low, se)}"
        claims.append(Claim("lower bound", value, MEASURED, says, ratio(low, whole) if sure else ""))
    if whole.kl_measured is not None:
        value = plus_minus(whole.kl_measured, whole.kl_measured_se)
        says = "KL itself: the NLL on held-out rows less the known entropy of the law."
        claims.append(Claim("measured gap", value, MEASURED, says, truth=True))
    return claims


def heading_of(whole: ChainGuarantee) -> str:
    """What the certificates bound."""
    if best_label(whole) and whole.tv is None:  # what the steps descend is no divergence
        return "G after the last block less its minimum"
    model = f"which is KL({law_of(whole)} ‖ model)"
    if defence := whole.defence:
        model += f" but for the {defence.price:.2g} nats that its broad part may add"
    return f"KL(particles after the last block ‖ {reference_of(whole)}), {model}"


def _distances(certificate: Certificate) -> list[Claim]:
    whole = certificate.chain
    rows = [
        ("W2 of data and smoothed data", whole.smoothing_w2, MEASURED,
         "What smoothing the data costs, from their second moment."),
        (f"W2 of particles and {reference_of(whole)}", whole.w2_bound, label_of(whole, "w2_bound"),
         "Between the law after the last block and the reference."),
        ("total variation", whole.tv if (whole.tv or 0) < 1 else None, best_label(whole),
         f"Between the model and the {law_of(whole)}, √(KL/2){_broad_share(whole)}."),
        ("W2 of model and computed samples", whole.inversion_w2_coupled, MEASURED,
         f"Numerical against exact inverse from the same {whole.inversion_rows} ends; at the "
         f"worst draw they differ by {number(whole.inversion_worst)}."),
        ("the same by Lipschitz constants", whole.inversion_w2_product, ESTIMATED,
         "Inverse errors of the blocks times Lipschitz constants, whose sampled values may be too small."),
        ("W2 of particles by the chain's solver and a finer one", whole.solver_w2, MEASURED,
         "The same held-out rows, through all blocks with their fixed steps and with eight times as many. "
         f"The sums of log-determinants differ by {_solver_words(whole)} nats in the mean."),
    ]  # fmt: skip
    return [
        Claim(name, f"{sign_of(how)} {number(value)}", how, says)
        for name, value, how, says in rows
        if value is not None
    ]


def _solver_words(whole: ChainGuarantee) -> str:
    return plus_minus(whole.solver_log_det, whole.solver_log_det_se)


def _broad_share(whole: ChainGuarantee) -> str:
    """What a defence adds to a total variation, in words."""
    defence = whole.defence
    return f" of the blocks and the share {defence.share:g} of the broad law" if defence else ""


def _block(block: CertifiedBlock) -> dict[str, str]:
    """The figures of a block as text."""
    name, how, label = epsilon_of(block)
    positive = "yes" if block.symmetric_part_positive else "no"
    return {
        "index": str(block.index), "step_size": shown(block.step_size),
        "epsilon": plus_minus(block.figure(name), block.figure(f"{name}_se")),
        "how": how, "label": "" if block.figure(name) is None else label,
        "kappa": number(block.kappa),
        "symmetric": f"{positive} ({number(block.symmetric_part_smallest)})",
        "movement": number(block.movement),
        "kl_drop": plus_minus(block.kl_drop, block.kl_drop_se),
        "a": number(block.certificate_a), "b": number(block.certificate_b),
        "c": number(block.certificate_c), "inverse": number(block.inversion_error_reference),
        "lipschitz": number(block.lipschitz_inverse),
    }  # fmt: skip


def _assumption(item: Condition, given: Sequence[str]) -> Assumption:
    how, status = item.how, item.status
    if status is Status.FAILS and how in given:
        how = "fails, for the reason above"
    return Assumption(status.mark, status if status in LEGEND else "", item.name, how)
