"""What the cells of the study say: every certificate and every bracket beside the measured KL."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd

from jko.certify.evidence import MARGIN, Evidence
from jko.certify.guarantee import CERTIFICATES, Guarantee, certify
from jko.certify.resolution import certified
from jko.certify.status import Cause
from jko.measure.figures import StepFigures
from tasks.experiments.study import Figures, StudyCell, known

DIM = 2
#: KL below which a ratio to it says nothing, nats
SMALLEST_KL = 1e-3
WAYS = ("exact score", "critic")
STATUSES = ["holds", "violated", "withdrawn", "not applicable"]
GUARDS = ("kl_lower_classifier", "kl_lower_mixture")


def table(stored: Sequence[StudyCell], hidden: Sequence[str] = ()) -> pd.DataFrame:
    """One row a certificate after a block: measured KL, the bound, and what became of it.

    Args:
        stored: the cells of :func:`tasks.experiments.study.study`.
        hidden: names of figures that are not to be used, such as a guard's.

    Returns:
        ``bound`` is null where the certificate was withdrawn or does not apply; ``unguarded`` is what it
        would be without any guard; ``looseness`` is the bound over the KL, where that is large enough.
    """
    rows = []
    for whole, way in itertools.product(stored, WAYS):
        cell, evidence = whole.cell, []
        unused = [*hidden, *(("epsilon_exact", "fisher_exact") if way == "critic" else ())]
        unguarded = []
        for k, block in enumerate(whole.blocks, start=1):
            evidence.append(Evidence.of(StepFigures.model_validate(_without(block, unused))))
            unguarded.append(Evidence.of(StepFigures.model_validate(_without(block, [*unused, *GUARDS]))))
            found, free = certify(evidence, DIM), certify(unguarded, DIM)
            same = {key: cell[key] for key in ("target", "step_size", "effort")}
            same |= {"score": way, "block": k, "kl": block["kl"], "kl_se": block["kl_se"]}
            for name in CERTIFICATES:
                own = _row(name, found, block)
                rows.append(same | own | {"unguarded": getattr(free, name)})
    return pd.DataFrame(rows)


def _without(block: Figures, names: Sequence[str]) -> Figures:
    """Figures with those whose name starts in one of these ways set to null."""
    return {key: None if key.startswith(tuple(names)) else value for key, value in block.items()}


def _row(name: str, found: Guarantee, block: Figures) -> Figures:
    status, value, kl = "holds", getattr(found, name), known(block, "kl")
    if value is None:
        status = "withdrawn" if found.causes[name] == Cause.WITHDRAWN else "not applicable"
    elif value < kl - MARGIN * known(block, "kl_se"):
        status = "violated"
    ratio = None if value is None or kl <= SMALLEST_KL else value / kl
    return {"certificate": name, "bound": value, "looseness": ratio, "status": status,
            "reason": found.reasons.get(name, "")}  # fmt: skip


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Every certificate by the way the score was found: looseness, and what became of it.

    Returns:
        ``median`` and ``max`` of the looseness of those that stand, the median of each target, and how
        many stand, are violated, withdrawn and not applicable.
    """
    groups = rows.groupby(["certificate", "score"], sort=False)
    ratios = groups.looseness.agg(["median", "max"])
    targets = rows.pivot_table(index=["certificate", "score"], columns="target", values="looseness",
                               aggfunc="median")  # fmt: skip
    counts = groups.status.value_counts().unstack(fill_value=0).reindex(columns=STATUSES, fill_value=0)
    return ratios.join(targets).join(counts).loc[list(CERTIFICATES)]


def guards(stored: Sequence[StudyCell]) -> pd.DataFrame:
    """What became of the critic's certificates under no guard, either one, and both."""
    hidden = {"none": GUARDS, "classifier": GUARDS[1:], "mixture": GUARDS[:1], "both": ()}
    counts = {}
    for name, unused in hidden.items():
        rows = table(stored, unused)
        counts[name] = rows[rows.score == "critic"].status.value_counts()
    return pd.DataFrame(counts).T.reindex(columns=STATUSES).fillna(0).astype(int).rename_axis("guard")


def brackets(stored: Sequence[StudyCell]) -> pd.DataFrame:
    """One row a block and a resolution: KL there, the bracket, and whether its levels hold.

    Returns:
        A level holds where it is on its side of the KL. ``above`` is U less the KL, ``below`` the KL less L;
        ``certified`` tells the finest resolution at which the bracket is narrow.
    """
    rows = []
    for whole in stored:
        about = {key: whole.cell[key] for key in ("target", "step_size", "effort")}
        for k, judged in enumerate(whole.brackets, start=1):
            fine = certified([each.bracket for each in judged])
            for each in judged:
                one, kl = each.bracket, each.kl
                rows.append({
                    **about, "block": k, "resolution": one.resolution, "kl": kl, "kl_error": each.kl_error,
                    "lower_95": one.lower_95, "lower": one.lower, "upper": one.upper,
                    "upper_95": one.upper_95, "width": one.width,
                    "above": (one.upper or 0.0) - kl, "below": kl - (one.lower or 0.0),
                    "upper_holds": (one.upper_95 or 0.0) >= kl, "lower_holds": (one.lower_95 or 0.0) <= kl,
                    "certified": one is fine,
                })  # fmt: skip
    return pd.DataFrame(rows)


def bracket_summary(rows: pd.DataFrame) -> pd.DataFrame:
    """The brackets by resolution, and those at the certified ones: how often they hold, how loose they are.

    Args:
        rows: of :func:`brackets`.

    Returns:
        ``blocks``; how many upper and lower 95 % levels hold; medians of U less the KL, of the KL less L and
        of the upper level over the KL, nats, where the KL is large enough for a ratio.
    """
    known = rows.assign(ratio=(rows.upper_95 / rows.kl).where(rows.kl > SMALLEST_KL))
    groups = {f"{s:g}": own for s, own in known.groupby("resolution")}
    groups |= {"certified": known[known.certified], "all": known}
    return pd.DataFrame({
        name: {
            "blocks": len(own), "upper holds": own.upper_holds.sum(), "lower holds": own.lower_holds.sum(),
            "U - KL": own.above.median(), "KL - L": own.below.median(), "width": own.width.median(),
            "upper level / KL": own.ratio.median(),
        }
        for name, own in groups.items()
    }).T.rename_axis("resolution")  # fmt: skip
