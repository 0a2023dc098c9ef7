"""Runs side by side as tables: settings that differ, figures, curves, paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from jko.core.display import with_error
from jko.statistics.heavy import rows_said
from jko.statistics.paired import LEVEL, Paired, paired_difference
from tasks.compare.record import Record
from tasks.headline import nll_warning

RULE = (
    f"up to {LEVEL:g} standard errors two runs are not distinguishable; beyond, by mean and trimmed mean "
    "alike, the smaller NLL is better; where a row, or few, are most of the error, the verdict is unreliable"
)
#: figures with a curve over JKO steps -> title and unit
CURVES = {
    "kl_drop": ("KL drop of each block", "nats"),
    "nll": ("held-out NLL after block k", "nats"),
    "epsilon": ("ε, error of the step", ""),
    "movement": ("movement √E|Tx − x|²", "standardised units"),
    "inversion_error": ("round trip √E|T⁻¹Tx − x|²", "standardised units"),
    "certificate_c": ("certificate (C)", "nats"),
    "kl_bound": ("best KL bound", "nats"),
    "kl_estimate": ("best KL bound, as a critic estimates it", "nats"),
}
#: densities of rows, comparable on the same rows only -> of which rows
SAME_ROWS = {
    "test/nll": "test", "test/nll_median": "test", "test/nll_trimmed": "test", "test/nll_worst": "test",
    "test/nll_gaussian": "test", "test/nll_mixture": "test", "step/nll": "data",
    "step/loss_potential": "data",
}  # fmt: skip
#: a number of a row: figures of this name have no difference
WORST_ROW = "test/nll_worst_row"
RESOLUTION = "chain/certified_resolution"
#: shown first, in this order; all other figures follow
FIRST = (
    "test/nll",
    "test/nll_median",
    "test/nll_trimmed",
    "test/nll_worst_share",
    "test/gap_to_entropy",
    "chain/kl_bound",
    "chain/kl_estimate",
    "chain/kl_measured",
    "step/nll",
    "steps",
)


@dataclass(frozen=True)
class Subject:
    """One of the runs compared.

    Args:
        label: short and unique among them.
        source: what it was read from, in words.
        record: what is known of it.
        run_id: of MLflow; empty if it is not tracked.
        data_version: the hash that DVC gives its data; empty where it is not known.
        git_commit: of the code, where it is known.
    """

    label: str
    source: str
    record: Record
    run_id: str = ""
    data_version: str = ""
    git_commit: str = ""


@dataclass(frozen=True)
class Pair:
    """A run against the baseline on test rows.

    Args:
        label: the run.
        baseline: the run it is compared with.
        paired: difference of their NLLs; ``None`` where there is none.
        reason: why there is none; empty where there is one.
        differences: log p_baseline − log p_run of every test row; empty where there is none.
    """

    label: str
    baseline: str
    paired: Paired | None
    reason: str
    differences: pd.Series

    @property
    def says(self) -> str:
        """The result in one sentence."""
        if self.paired is None:
            return f"{self.label} against {self.baseline}: no verdict; {self.reason}."
        own, beside, why = self.paired, "", self.unreliable
        if own.robust is not None:
            trimmed = with_error(own.robust.trimmed, own.robust.trimmed_se, "+.4f", ".2g")
            beside = f" (trimmed mean {trimmed}; {100 * (own.worse_share or 0):.0f} % of the rows worse)"
        return (
            f"{self.label} against {self.baseline}: {own.verdict}; test NLL "
            f"{with_error(own.difference, own.se, '+.4f', '.2g')} nats{beside}, "
            f"paired over the same {own.rows} test rows{why and f'; {why}'}."
        )

    @property
    def unreliable(self) -> str:
        """Why no verdict can rest on the mean difference, with the rows' numbers; empty if one can."""
        found = self.paired and self.paired.robust
        if not found or not self.paired:
            return ""
        numbers = [int(self.differences.index[i]) for i in found.dominating]
        if not numbers:
            return "mean and trimmed mean take opposite sides" if self.paired.verdict == "unreliable" else ""
        share = 100 * self.paired.share_of_error(self.differences.to_numpy())
        verb = "is" if len(numbers) == 1 else "are"
        first = float(self.differences.iloc[found.dominating[0]])
        which = "" if len(numbers) == 1 else "the first "
        return (
            f"{rows_said(numbers)} of the source {verb} {share:.0f} % of the squared standard error "
            f"({which}{first:+.5g} nats)"
        )


@dataclass(frozen=True)
class Comparison:
    """Two or more runs; the first is the baseline.

    Args:
        subjects: the runs.
    """

    subjects: Sequence[Subject]

    @property
    def labels(self) -> list[str]:
        """Names of the runs, in order."""
        return [subject.label for subject in self.subjects]

    @cached_property
    def about(self) -> pd.DataFrame:
        """What the runs are: one row a fact, one column a run, text."""
        return pd.DataFrame({subject.label: _facts(subject) for subject in self.subjects}, dtype=object)

    @cached_property
    def settings(self) -> pd.DataFrame:
        """Settings that differ: one row a setting, one column a run, text; empty where it has none."""
        frame = pd.DataFrame(
            {subject.label: subject.record.settings for subject in self.subjects}, dtype=object
        )
        frame = frame.map(lambda value: "" if value is None or value != value else str(value))  # noqa: PLR0124
        return frame[frame.nunique(axis=1) > 1].sort_index()

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Headline figures: one row a figure, one column a run; standard errors are rows ``<name>_se``."""
        frame = pd.DataFrame(
            {subject.label: dict(subject.record.metrics) for subject in self.subjects}, dtype=float
        )
        order = {name: place for place, name in enumerate(FIRST)}
        return frame.loc[sorted(frame.index, key=lambda name: (order.get(name, len(order)), name))]

    def metric(self, label: str, name: str) -> float | None:
        """A headline figure of a run; ``None`` where it has none."""
        value = self.metrics[label].get(name)
        return None if value is None or pd.isna(value) else float(value)

    def difference(self, label: str, name: str) -> float | None:
        """A figure of a run minus the baseline's; ``None`` where it would compare other rows."""
        if name == WORST_ROW:
            return None
        baseline, other = self.subjects[0], self.subjects[self.labels.index(label)]
        before, after = self.metric(baseline.label, name), self.metric(label, name)
        if before is None or after is None or not on_same_rows(baseline, other, name):
            return None
        return after - before

    @property
    def metric_names(self) -> list[str]:
        """Figures without their standard errors."""
        known = set(self.metrics.index)
        return [name for name in known_order(self.metrics) if not _is_error(name, known)]

    @property
    def shown_names(self) -> list[str]:
        """Figures for people: of the bracket its 95 % levels, at the finest resolution certified for all."""
        fine = [self.metric(label, RESOLUTION) for label in self.labels]
        at = "" if None in fine else f"_95@{max(one for one in fine if one is not None):g}"
        return [
            name
            for name in self.metric_names
            if not name.startswith("bracket/") or (at and name.endswith(at))
        ]

    @cached_property
    def steps(self) -> pd.DataFrame:
        """Figures of every block: long, ``run``, ``step``, ``name``, ``value``, ``se``."""
        frames = []
        for subject in self.subjects:
            wide = subject.record.steps
            known = set(wide.columns)
            for name in wide.columns:
                if not _is_error(name, known):
                    errors = wide.get(f"{name}_se")
                    frame = pd.DataFrame({"value": wide[name], "se": errors if errors is not None else None})
                    frames.append(frame.reset_index().assign(run=subject.label, name=name))
        columns = ["run", "step", "name", "value", "se"]
        if not frames:
            return pd.DataFrame(columns=columns)
        found = pd.concat([frame.astype({"se": float}) for frame in frames], ignore_index=True)
        return found.dropna(subset="value")[columns]

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every other run against the baseline."""
        return [pair_of(self.subjects[0], other) for other in self.subjects[1:]]

    @property
    def warnings(self) -> list[str]:
        """A sentence for every run of whose test NLL a row, or a few, are too large a part."""
        found = [(own.label, nll_warning(own.record.figures)) for own in self.subjects]
        return [f"{label}: {said}" for label, said in found if said]

    def long(self) -> pd.DataFrame:
        """Everything as one table: ``run``, ``kind``, ``name``, ``step``, ``value``, ``se``, ``text``.

        Kinds are ``about`` and ``setting`` (text), ``metric``, ``step``, and ``paired``: the
        difference against the baseline, whose verdict is the text.
        """
        texts = [
            frame.rename_axis("name")
            .reset_index()
            .melt("name", var_name="run", value_name="text")
            .assign(kind=kind)
            for kind, frame in (("about", self.about), ("setting", self.settings))
        ]
        rows = [
            {"run": label, "kind": "metric", "name": name, "value": self.metric(label, name),
             "se": self.metric(label, f"{name}_se")}
            for name in self.metric_names for label in self.labels if self.metric(label, name) is not None
        ]  # fmt: skip
        rows += [
            {"run": pair.label, "kind": "paired", "name": name, "value": value, "se": se,
             "text": pair.paired.verdict}
            for pair in self.pairs if pair.paired
            for name, (value, se) in paired_figures(pair.paired).items()
        ]  # fmt: skip
        empty = {
            "run": str,
            "kind": str,
            "name": str,
            "step": "Int64",
            "value": float,
            "se": float,
            "text": str,
        }
        frames = [*texts, pd.DataFrame(rows), self.steps.assign(kind="step")]
        found = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
        return found.reindex(columns=list(empty)).astype({"step": "Int64", "value": float, "se": float})


def pair_of(baseline: Subject, other: Subject) -> Pair:
    """The paired difference of two runs, or the reason why there is none."""
    reason = why_unpaired(baseline, other)
    if reason:
        return Pair(other.label, baseline.label, None, reason, pd.Series(dtype=float))
    one, two = (_log_density(subject.record) for subject in (baseline, other))
    try:
        paired = paired_difference(one.to_numpy(), two.to_numpy())
    except ValueError as error:
        return Pair(other.label, baseline.label, None, str(error), pd.Series(dtype=float))
    return Pair(other.label, baseline.label, paired, "", one - two)


def paired_figures(paired: Paired) -> dict[str, tuple[float, float]]:
    """Mean, median and trimmed mean of the differences of a pair with their standard errors, nats.

    These are of the differences, row by row: their median is not the difference of the medians.
    """
    found, own = {"test/nll": (paired.difference, paired.se)}, paired.robust
    if own is not None:
        found |= {
            "test/nll_median": (own.median, own.median_se), "test/nll_trimmed": (own.trimmed, own.trimmed_se)
        }  # fmt: skip
    return found


def on_same_rows(baseline: Subject, other: Subject, name: str) -> bool:
    """Whether a figure of two runs is of the same rows, if it is one for which that matters."""
    rows = SAME_ROWS.get(name)
    if rows == "test":
        return baseline.record.test_digest == other.record.test_digest != ""
    known = [own.record.about.data_digest for own in (baseline, other)]
    return rows is None or known[0] == known[1]


def why_unpaired(baseline: Subject, other: Subject) -> str:
    """Why log-densities of two runs cannot be compared row by row; empty if they can."""
    for subject in (baseline, other):
        record = subject.record
        if record.figures is None:
            blocks = f"{record.about.blocks} of {record.about.planned} blocks done"
            known = " kept" if "test/nll" in record.tracked else f" ({blocks})"
            return f"{subject.label} has no evaluation on test rows{known}"
        if record.test_rows is None or not record.test_digest:
            return (
                f"{subject.label} was evaluated by an earlier version, which kept too little of its test rows"
            )
    if baseline.record.test_digest != other.record.test_digest:
        return (
            "the runs are on other data (their test rows differ, by data set, version, seed or preparation), "
            "so their NLLs cannot be compared"
        )
    return ""


def _log_density(record: Record) -> pd.Series:
    assert record.test_rows is not None  # asked before
    return record.test_rows.set_index("row")["log_density"]


def known_order(frame: pd.DataFrame) -> list[str]:
    """Row names of a table as text."""
    return [str(name) for name in frame.index]


def _is_error(name: str, known: set[str]) -> bool:
    """Whether a figure is the standard error of another one."""
    return name.endswith("_se") and name.removesuffix("_se") in known


def _facts(subject: Subject) -> dict[str, str]:
    about = subject.record.about
    return {
        "read from": subject.source,
        "state": f"{about.state}, {about.blocks} of {about.planned} blocks",
        "chain digest": about.digest[:12],
        "data": about.data,
        "data version": (subject.data_version or about.data_digest)[:12],
        "test rows": subject.record.test_digest[:12],
        "seed": str(subject.record.settings.get("seed", "")),
        "code (git commit)": subject.git_commit[:12],
    }
