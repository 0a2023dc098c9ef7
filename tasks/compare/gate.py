"""Conditions under which a comparison fails: a small language, read with care."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from jko.core.errors import InputError
from jko.statistics.heavy import rows_said
from tasks.compare.comparison import Comparison, Pair, Subject, on_same_rows, pair_of

Unit = Literal["", "se", "%"]
FORM = re.compile(
    r"\s*(?P<metric>[A-Za-z][\w/]*(?:@\d*\.?\d+)?)\s*(?P<sign>[<>])\s*"
    r"(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>se|%)?\s*"
)
HOW = (
    'the form is "test/nll > +0.02", "test/nll > +2se", "time/train_cpu_s > +10%" '
    'or "bracket/upper@0.2 > 0.05"'
)
#: figures that say by themselves how far data and model are apart: a limit without a sign is of the figure
LEVELS = ("bracket/", "chain/certified_resolution")
#: with an error of the paired difference
PAIRED = ("test/nll",)
#: means of −log q over test rows, which row by row can be shown to hang on one
OF_ROWS = ("test/nll", "test/gap_to_entropy")
#: means of −log q over rows whose values are not kept
NOT_KEPT = ("step/nll", "step/kl_measured", "chain/kl_measured")
#: never negative, so that a percentage means something
POSITIVE = (
    "time/train_cpu_s", "time/wall_s", "steps", "test/nearest_training_row", "inversion_error_chain",
    "step/movement", "step/inversion_error", "step/inversion_error_reference", "step/epsilon",
    "step/certificate_c", "step/kl_bound", "step/kl_estimate", "step/loss_potential", "step/loss_transport",
    "chain/kl_bound", "chain/kl_estimate", "chain/inversion_w2_coupled",
)  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """``METRIC > LIMIT`` or ``METRIC < LIMIT`` on the difference candidate − baseline, or on the candidate.

    Args:
        text: as it was written.
        metric: name of a headline figure.
        above: whether a difference above the limit fails, else one below it.
        limit: signed, in the metric's unit, in standard errors of the paired difference, or per cent
            of the baseline's value.
        unit: which of these.
        level: whether the candidate's figure itself is judged and not the difference.
    """

    text: str
    metric: str
    above: bool
    limit: float
    unit: Unit
    level: bool = False

    def holds(self, difference: float) -> bool:
        """Whether it holds of a difference in its unit, or of a figure."""
        return difference > self.limit if self.above else difference < self.limit


@dataclass(frozen=True)
class Outcome:
    """A condition on one candidate.

    Args:
        condition: what was asked.
        candidate: label of the run.
        tripped: whether the comparison fails: the condition holds, or nothing reliable says that it does not.
        difference: candidate − baseline, in the condition's unit; of a level the candidate's figure.
        says: the numbers in one sentence.
        unreliable: whether it fails because mean and trimmed mean differ on it, or hang on few rows.
    """

    condition: Condition
    candidate: str
    tripped: bool
    difference: float
    says: str
    unreliable: bool = False

    @property
    def verdict(self) -> str:
        """In words."""
        if self.unreliable:
            return "gate failed as unreliable"
        return "gate failed" if self.tripped else "gate passed"


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        InputError: it has another form.
    """
    found = FORM.fullmatch(text)
    if found is None:
        raise InputError(f"--fail-if {text!r}: {HOW}")
    number = found["number"]
    level = found["metric"].startswith(LEVELS) and number[0] not in "+-" and not found["unit"]
    if not level and number[0] not in "+-" and float(number) != 0:
        raise InputError(
            f"--fail-if {text!r}: the limit is a difference candidate − baseline and needs its sign, "
            f"as in +{number} or -{number}"
        )
    unit: Unit = "se" if found["unit"] == "se" else "%" if found["unit"] == "%" else ""
    if abs(float(number)) == float("inf"):
        raise InputError(f"--fail-if {text!r}: the limit is no finite number")
    return Condition(text.strip(), found["metric"], found["sign"] == ">", float(number), unit, level)


def judge(comparison: Comparison, conditions: list[Condition]) -> list[Outcome]:
    """All conditions on every run but the baseline.

    Raises:
        InputError: a condition makes no sense for these runs.
    """
    baseline, *candidates = comparison.subjects
    for condition in conditions:
        _check(comparison, condition)
    return [_outcome(comparison, baseline, other, one) for other in candidates for one in conditions]


def _check(comparison: Comparison, condition: Condition) -> None:
    name, known = condition.metric, comparison.metric_names
    said = f"--fail-if {condition.text!r}"
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(known)}"
        raise InputError(f"{said}: no run compared has a figure {name!r}{hint}")
    if condition.unit == "se" and name not in PAIRED:
        raise InputError(
            f"{said}: no standard error of the difference is known for {name}; it is for {', '.join(PAIRED)}"
        )
    if condition.unit == "%" and name not in POSITIVE:
        raise InputError(
            f"{said}: {name} can be negative or zero, so a percentage of it means nothing; "
            "give a difference, as in +0.02"
        )


def _outcome(comparison: Comparison, baseline: Subject, other: Subject, condition: Condition) -> Outcome:
    said, name = f"--fail-if {condition.text!r}", condition.metric
    before, after = comparison.metric(baseline.label, name), comparison.metric(other.label, name)
    asked = ((other, after),) if condition.level else ((baseline, before), (other, after))
    for subject, value in asked:
        if value is None:
            raise InputError(f"{said}: {subject.label} has no {name} ({_state(subject)})")
    assert after is not None
    if condition.level:
        tripped, sign = condition.holds(after), ">" if condition.above else "<"
        word = "is" if tripped else "is not"
        says = f"{other.label}: {name} {after:.6g} {word} {sign} {condition.limit:g}"
        return Outcome(condition, other.label, tripped, after, says)
    assert before is not None
    _same_rows(said, name, baseline, other)
    difference, unit = after - before, ""
    shown, doubt = f"{after:.6g} against {before:.6g}", ""
    if condition.unit == "%":
        if before <= 0:
            raise InputError(f"{said}: {name} of {baseline.label} is {before:g}; no percentage of it")
        difference, unit = 100 * difference / before, " %"
    elif name in OF_ROWS:
        pair = pair_of(baseline, other)
        if pair.paired is not None:
            difference, unit = _in_unit(condition, pair.paired.difference, pair.paired.se)
            shown += f", paired difference {pair.paired.difference:+.6g} ± {pair.paired.se:.3g}"
            doubt = _doubt(condition, pair)
        else:
            doubt = "; ".join(filter(None, (few_rows(baseline), few_rows(other))))
    tripped, sign = condition.holds(difference), ">" if condition.above else "<"
    word = "is" if tripped else "is not"
    says = f"{other.label}: {name} {shown}; {difference:+.4g}{unit} {word} {sign} {condition.limit:+g}{unit}"
    if name in NOT_KEPT:
        says += (
            f"; one row can decide this mean, whose rows are not kept, and {PAIRED[0]} is judged row by row"
        )
    if doubt:
        says += f"; unreliable: {doubt}"
    return Outcome(condition, other.label, tripped or bool(doubt), difference, says, bool(doubt))


def _in_unit(condition: Condition, difference: float, se: float) -> tuple[float, str]:
    """A paired difference in the condition's unit, and that unit in words."""
    return (_ratio(difference, se), " standard errors") if condition.unit == "se" else (difference, "")


def _doubt(condition: Condition, pair: Pair) -> str:
    """Why the rows do not decide a condition; empty where they do.

    One row that explodes makes the mean large and its error as large, so that no number of standard errors
    is ever reached: mean and trimmed mean must say the same, and few rows must not be most of the error.
    """
    assert pair.paired is not None  # asked before
    found = pair.paired.robust
    if pair.unreliable or found is None:
        return pair.unreliable
    trimmed, unit = _in_unit(condition, found.trimmed, found.trimmed_se)
    mean, _ = _in_unit(condition, pair.paired.difference, pair.paired.se)
    if condition.holds(mean) == condition.holds(trimmed):
        return ""
    row = int(pair.differences.index[found.worst])
    return (
        f"the trimmed mean, {trimmed:+.4g}{unit}, says otherwise than the mean; row {row} of the source "
        f"counts most in the mean, with {found.worst_value:+.4g} nats"
    )


def few_rows(subject: Subject) -> str:
    """That the test NLL of a run hangs on few rows; empty where it does not, or is not known."""
    figures = subject.record.figures
    rows = () if figures is None else figures.test.dominating_rows
    if not rows:
        return ""
    verb = "is" if len(rows) == 1 else "are"
    return f"{rows_said(rows)} of the source {verb} most of the squared standard error of {subject.label}"


def _same_rows(said: str, name: str, baseline: Subject, other: Subject) -> None:
    """Refuse to compare densities of other rows."""
    if name in PAIRED:
        reason = pair_of(baseline, other).reason
    else:
        reason = "" if on_same_rows(baseline, other, name) else "the runs are on other data"
    if reason:
        raise InputError(f"{said}: {baseline.label} and {other.label}: {reason}")


def _ratio(difference: float, se: float) -> float:
    """A difference in standard errors; 0 where both are 0."""
    if difference == 0:
        return 0.0
    return difference / se if se > 0 else float("inf") * (1 if difference > 0 else -1)


def _state(subject: Subject) -> str:
    about = subject.record.about
    return f"{about.state}, {about.blocks} of {about.planned} blocks done"
