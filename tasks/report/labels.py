"""How every figure of a certificate is known, and how figures are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jko.evidence import MARGIN
from jko.guarantee import CERTIFICATES, ELSEWHERE

Figures = Mapping[str, Any]

#: how a figure is known, from the strongest to the weakest
PROVED, MEASURED, ESTIMATED, ASSUMED = "proved", "measured", "estimated", "assumed"
#: label -> what it means
LEGEND = {
    PROVED: "a theorem or a known law; no data enter.",
    MEASURED: "an average over held-out rows or draws; only chance error remains, and in a bound two "
    "standard errors of it are added on the unfavourable side.",
    ESTIMATED: "found by a search of limited reach, such as a critic's class or sampled particles: the truth "
    "can be worse than the figure, whatever its error bar.",
    ASSUMED: "taken for granted; nothing here checks it.",
}
#: beginning of how an assumption was established -> its mark and label
ESTABLISHED = {
    "proved": ("✓", PROVED),
    "known law": ("✓", PROVED),
    "averages": ("✓", MEASURED),
    "estimated": ("○", ESTIMATED),
    "checked at sampled": ("○", ESTIMATED),
    "assumed": ("○", ASSUMED),
    "integrated": ("○", ASSUMED),
    "validation rows": ("○", ""),
}


def number(value: float | None) -> str:
    """Three significant digits, a dash for nothing."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def plus_minus(value: float | None, se: float | None) -> str:
    """An estimate with one standard error."""
    return number(value) if value is None or se is None else f"{number(value)} ± {se:.2g}"


def established(how: str) -> tuple[str, str]:
    """Mark and label of an assumption that holds, by how it was established."""
    return next((found for start, found in ESTABLISHED.items() if how.startswith(start)), ("✓", ""))


def epsilon_of(block: Figures) -> tuple[str, str, str]:
    """Name of the ε² that the certificates of a block use, how it was found, and its label."""
    if block["pairing"] == "ot":
        return "epsilon_ot_squared", f"{block['epsilon_class']}, OT pairing", ESTIMATED
    if block["epsilon_exact_squared"] is not None:
        return "epsilon_exact_squared", "exact score", MEASURED
    return "epsilon_squared", block["epsilon_class"], ESTIMATED


def label_of(certificate: Figures, name: str) -> str:
    """How the inputs of a certificate are known: the weakest of them decides."""
    blocks = certificate["blocks"]
    steps = all(epsilon_of(block)[2] == MEASURED for block in blocks)
    fishers = [block["fisher_exact"] is not None for block in blocks]
    known = {
        "certificate_a": steps,
        "certificate_b": steps,
        "certificate_c": fishers[-1],
        "certificate_c_hwi": steps and fishers[-1],
        "certificate_c_propagated": all(fishers),
        "certificate_c_triangle": blocks[-1]["epsilon_exact_squared"] is not None,
    }
    return MEASURED if known[name] else ESTIMATED


def best_label(certificate: Figures) -> str:
    """How the smallest certificate is known; empty where none holds."""
    whole = certificate["chain"]
    held = [name for name in CERTIFICATES if whole[name] is not None]
    return label_of(certificate, min(held, key=lambda name: whole[name])) if held else ""


def ratio(bound: float | None, whole: Figures) -> str:
    """How many times the measured KL a bound is, where that is measured and clearly positive."""
    measured, se = whole["kl_measured"], whole["kl_measured_se"]
    return "" if bound is None or measured is None or measured <= MARGIN * se else number(bound / measured)


def reference_of(whole: Figures) -> str:
    """The law that the chain leads to."""
    return "the target" if whole["reasons"].get("certificate_a") == ELSEWHERE else "N(0, I)"


def law_of(whole: Figures) -> str:
    """The law that the guarantee speaks about."""
    return "law of the data" if whole["smoothing_w2"] is None else "smoothed law of the data"


def clear(value: float | None, se: float | None) -> bool:
    """Whether an estimate is positive by more than its chance error."""
    return value is not None and se is not None and value > MARGIN * se
