"""How every figure of a certificate is known, and how figures are written."""

from __future__ import annotations

from jko.certify.certificates import Bound
from jko.certify.evidence import MARGIN
from jko.certify.records import ChainGuarantee, GuaranteedStep
from jko.certify.status import Cause, Status
from jko.core.display import DASH, figure, finite

PROVED, MEASURED, ESTIMATED, ASSUMED = Status.PROVED, Status.MEASURED, Status.ESTIMATED, Status.ASSUMED
#: how a figure is known, from the strongest to the weakest -> what that means
LEGEND = {
    PROVED: "a theorem or a known law; no data enter.",
    MEASURED: "an average over held-out rows or draws; only chance error remains, and in a bound two "
    "standard errors of it are added on the unfavourable side, and more where few rows carry the average.",
    ESTIMATED: "found by a search of limited reach, such as a critic's class or sampled particles: the truth "
    "can be worse than the figure, whatever its error bar.",
    ASSUMED: "taken for granted; nothing here checks it.",
}


def number(value: float | None) -> str:
    """Three significant digits, a dash for nothing."""
    if value is None or not finite(value):
        return DASH
    return figure(value, ",.0f" if 1000 <= abs(value) < 1e6 else ".3g")


def plus_minus(value: float | None, se: float | None) -> str:
    """An estimate with one standard error."""
    return f"{number(value)} ± {figure(se, '.2g')}" if finite(value) and finite(se) else number(value)


def epsilon_of(block: GuaranteedStep) -> tuple[str, str, str]:
    """Name of the ε² that the certificates of a block use, how it was found, and its label."""
    if block.pairing == "ot":
        return "epsilon_ot_squared", f"{block.epsilon_class}, OT pairing", ESTIMATED
    if block.epsilon_exact_squared is not None:
        return "epsilon_exact_squared", "exact score", MEASURED
    return "epsilon_squared", block.epsilon_class, ESTIMATED


def label_of(whole: ChainGuarantee, name: str) -> str:
    """How a figure of the chain is known; empty where there is none."""
    status = whole.statuses.get(name, Status.UNKNOWN)
    return status if status.holds else ""


def best_label(whole: ChainGuarantee) -> str:
    """How the smallest certificate is known; empty where none holds."""
    return whole.best.status if isinstance(whole.best, Bound) and whole.best.status.holds else ""


def best_value(whole: ChainGuarantee) -> float | None:
    """The smallest certificate, a bound or the estimate of one; ``None`` where none holds."""
    return whole.best.value if isinstance(whole.best, Bound) else None


def sign_of(status: str) -> str:
    """What stands before a bound of a status: ≲ where it is an estimate, from below, of one."""
    return "≲" if status == ESTIMATED else "≤"


def ratio(bound: float | None, whole: ChainGuarantee) -> str:
    """How many times the measured KL a bound is, where that is measured and clearly positive."""
    measured, se = whole.kl_measured, whole.kl_measured_se
    return "" if bound is None or measured is None or not clear(measured, se) else number(bound / measured)


def reference_of(whole: ChainGuarantee) -> str:
    """The law that the chain leads to."""
    return "the target" if whole.causes.get("kl_lower_bound") is Cause.ELSEWHERE else "N(0, I)"


def law_of(whole: ChainGuarantee) -> str:
    """The law that the guarantee speaks about."""
    return "law of the data" if whole.smoothing_w2 is None else "smoothed law of the data"


def clear(value: float | None, se: float | None) -> bool:
    """Whether an estimate is positive by more than its chance error."""
    return value is not None and se is not None and value > MARGIN * se
