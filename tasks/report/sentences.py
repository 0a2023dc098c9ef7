"""What a certificate says, in whole sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping

from jko.certify.records import FROM_ABOVE, Certificate, ChainGuarantee
from jko.core.display import figure, pair_of, with_error
from tasks.report.labels import (
    MEASURED,
    PROVED,
    best_label,
    best_value,
    clear,
    label_of,
    law_of,
    number,
    plus_minus,
    ratio,
    reference_of,
)

#: level of the two-sample test
LEVEL = 0.05


def reading(certificate: Certificate, label: str) -> list[str]:
    """How to read the verdict.

    Args:
        certificate: content of ``DIR.certificate.json``.
        label: how its KL bound is known; empty where there is none.
    """
    whole = certificate.chain
    found = [_gap(whole), _trust(certificate, label), _variation(whole)] if label else []
    return [text for text in (*found, _measured(whole), _samples(whole)) if text]


def _gap(whole: ChainGuarantee) -> str:
    if whole.tv is None:  # what the steps descend is no divergence
        return (
            f"G is the functional that the steps descend: if {_word(whole)} holds, no law whatever has a "
            f"G lower by more than {number(best_value(whole))} nats."
        )
    return (
        f"KL is the gap between the model's NLL, {pair_of(whole, 'nll', '.3f', '.2g')} nats on "
        f"{whole.held_out} rows, and the best possible one for the {law_of(whole)}: if {_word(whole)} holds, "
        f"no model whatever can have an NLL lower by more than {number(best_value(whole))} nats."
    )


def _word(whole: ChainGuarantee) -> str:
    """What the smallest certificate is."""
    return "the bound" if best_label(whole) in (PROVED, MEASURED) else "the estimate"


def _trust(certificate: Certificate, label: str) -> str:
    if label == MEASURED and certificate.chain.basis == FROM_ABOVE:
        return (
            "The bound needs no critic and no known law: test rows, which chose nothing, and the noise that "
            "smoothed them bound the mean squares in it from above. Only chance error remains, and two "
            "standard errors of it, or more, are added on the unfavourable side. What stands at single "
            "blocks is a critic's."
        )
    if label == MEASURED:
        return (
            "The law of the data is known, so the inputs of the bound are plain averages over held-out rows; "
            "only chance error remains, and two standard errors of it are added on the unfavourable side."
        )
    whole = certificate.chain
    low = (whole.kl_lower_bound, whole.kl_lower_bound_se)
    return (
        "This is an estimate, not a bound: its inputs were estimated from below, by a critic of limited "
        f"class ({certificate.blocks[-1].epsilon_class}). A richer critic could find larger ones, and then "
        "the estimate would be larger, too. "
    ) + (
        f"It agrees with what a classifier or a Gaussian mixture shows, KL ≥ {plus_minus(*low)}."
        if clear(*low)
        else "A classifier and a Gaussian mixture, which could expose a bound that is far too small, show "
        "nothing clear here."
    )


def _variation(whole: ChainGuarantee) -> str:
    if whole.tv is None:
        return ""
    if whole.tv >= 1:
        return "So large a bound says nothing about the total variation between the model and that law."
    return f"If it holds, the total variation between the model and that law is at most {number(whole.tv)}."


def _measured(whole: ChainGuarantee) -> str:
    if whole.kl_measured is None:
        return ""
    gap = plus_minus(whole.kl_measured, whole.kl_measured_se)
    times = ratio(best_value(whole), whole)
    return (
        f"Here the entropy of the law is known, so that the gap itself can be measured: {gap} nats"
        + (f"; {_word(whole)} is {times} times the measured gap." if times else ".")
    )  # fmt: skip


def _samples(whole: ChainGuarantee) -> str:
    if whole.inversion_w2_coupled is None:
        return ""
    return (
        "Computed samples differ from the model's by at most "
        f"{number(whole.inversion_w2_coupled)} in W2 (a root mean square distance in standardised units): "
        "the price of inverting the blocks numerically."
    )


def remarks(
    certificate: Certificate, entropy: Mapping[str, float] | None, given: list[str]
) -> list[tuple[str, str, str]]:
    """What else the certificate says: title, sentences and how that is known.

    Args:
        certificate: content of ``DIR.certificate.json``.
        entropy: of the data, with its standard error, where it is known.
        given: reasons that were given already.
    """
    whole = certificate.chain
    found = [
        ("Two-sample test", _two_sample(whole), MEASURED),
        ("Number of steps", _steps(whole, given), label_of(whole, "theorem_steps")),
        ("Entropy of the data", _entropy(whole, entropy), label_of(whole, "entropy_interval")),
        ("ε from above", _above(certificate), MEASURED),
        ("Constant of the target", _constant(whole), "" if whole.evidence is None else whole.evidence.status),
        ("End of the chain", f"By its stop rule: {whole.stopped}." if whole.stopped else "", ""),
    ]
    return [remark for remark in found if remark[1]]


def _above(certificate: Certificate) -> str:
    above = certificate.chain.above
    return "" if above is None else above.says(certificate.blocks[-1].epsilon_squared)


def _constant(whole: ChainGuarantee) -> str:
    z = whole.evidence
    if z is None:
        return ""
    ends = f"{plus_minus(z.elbo, z.elbo_se)} (ELBO, of {z.draws} fresh draws)"
    known = f" Its known value is {figure(z.known, '.3f')}." if z.known is not None else ""
    if z.gap is None:
        return f"log Z is at least {ends}; nothing bounds it from above: {z.reason}.{known}"
    return (
        f"log Z is between {ends} and {plus_minus(z.upper, z.upper_se)} nats (ELBO + I/(2λ), as it exceeds "
        f"the ELBO by KL, which (C) bounds by {plus_minus(z.gap, z.gap_se)}).{known}"
    )


def _two_sample(whole: ChainGuarantee) -> str:
    test = whole.two_sample
    if test is None:
        return ""
    law = reference_of(whole)
    told = test.p <= LEVEL
    return (
        f"p = {number(test.p)}: {test.rows} held-out particles after the last block "
        f"{'can' if told else 'cannot'} be told from {law} by the energy distance, which is "
        f"{number(test.statistic)}; true samples of {law} stay below {number(test.null_quantile)} in "
        f"95 of 100 cases. "
        + ("The chain has not reached its reference." if told else "That is no proof that they are equal.")
    )


def _steps(whole: ChainGuarantee, given: list[str]) -> str:
    theorem, epsilon = whole.theorem_steps, whole.epsilon_largest
    if theorem is None or epsilon is None:
        reason = whole.reasons["theorem_steps"]
        return "" if reason in given else f"Not known how many are asked for: {reason}."
    start = (
        f"The chain has {whole.steps}. With its largest ε, {number(epsilon)} (two standard errors up), "
        "and its smallest γ, "
    )
    if theorem == 0:
        return f"{start}none is asked for: so large an ε promises no more than the data have at the start."
    return (
        f"{start}theorem (A) asks for {theorem} steps to bring W2 to N(0, I) below √5 ε = "
        f"{number(math.sqrt(5) * epsilon)}, and the sharp recursion (B) for {whole.sharp_steps} steps to "
        f"bring it below 2 ε = {number(2 * epsilon)}."
    )


def _entropy(whole: ChainGuarantee, entropy: Mapping[str, float] | None) -> str:
    low, high = whole.entropy_interval
    known = (
        f" Its known value is {with_error(entropy['value'], entropy['se'], '.3f', '.2g')}." if entropy else ""
    )
    above = figure(high, ".3f")
    if low is None or high is None:
        return f"At most {above} nats, the smallest NLL after any block; no lower end without (C).{known}"
    below = figure(low, ".3f")
    if low > high:
        return (
            f"The ends {below} and {above} nats contradict each other: (C) is too small after some "
            f"block.{known}"
        )
    return f"Between {below} and {above} nats: an NLL less its (C), and the smallest NLL.{known}"
