"""Runs and chains compared: found by what people write, put side by side, judged, kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from flows.places import chain_at
from jko.certify.records import Measured
from jko.core.errors import InputError, JkoError
from jko.disk.damage import well_formed
from jko.disk.identity import data_fingerprint
from jko.disk.layout import Layout
from tasks.adapters.system.environment import platform_environment
from tasks.compare.comparison import RULE, Comparison, Pair, Subject, paired_figures
from tasks.compare.gate import Outcome, judge, parse_condition
from tasks.compare.page import write_results
from tasks.compare.record import RECORD, About, Record, read_record, record_of_chain

if TYPE_CHECKING:
    from tasks.adapters.mlflow.runs import Runs, TrackedRun

#: MLflow's folder of comparisons
PLACE = "compare"


@dataclass(frozen=True)
class Compared:
    """What came out of a comparison.

    Args:
        comparison: the runs side by side.
        outcomes: of the gate's conditions.
        page: where the page was written; ``None`` if it was not asked for.
        kept: what was kept with the tracked runs, in words.
    """

    comparison: Comparison
    outcomes: Sequence[Outcome]
    page: Path | None = None
    kept: str = ""

    @property
    def tripped(self) -> bool:
        """Whether any condition of the gate holds."""
        return any(outcome.tripped for outcome in self.outcomes)

    @property
    def repeated(self) -> list[str]:
        """Labels of runs that are the baseline once more, as where nothing was trained since."""
        baseline, *others = self.comparison.subjects
        same = [own for own in others if own.run_id and own.run_id == baseline.run_id]
        return [own.label for own in same]


class Store:
    """The tracked runs, opened when the first of them is asked for; chains need none."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._runs: Runs | None = None

    @property
    def runs(self) -> Runs:
        """The runs of the tracking store."""
        if self._runs is None:
            self._runs = open_runs(self.root)
        return self._runs


def open_runs(root: Path) -> Runs:
    """The tracked runs of a project."""
    from tasks.adapters.mlflow.tracking_store import has_store

    if has_store(root):  # a project without runs stays without a store
        platform_environment(root, writes=False)  # the store may be another's
    from tasks.adapters.mlflow.runs import Runs

    return Runs(root)


def compare_runs(
    root: Path,
    names: Sequence[str],
    conditions: Sequence[str],
    output: Path | None = None,
    *,
    track: bool = True,
) -> Compared:
    """Compare runs; the first is the baseline.

    Args:
        root: the project's folder.
        names: chain folders, run ids or their beginnings, ``tag:NAME``, ``@latest``; two or more.
        conditions: of the gate.
        output: folder for page and tables.
        track: whether these are kept with the tracked runs.

    Raises:
        InputError: a name, a condition or the folder cannot be used.
    """
    asked = [parse_condition(text) for text in conditions]
    if output is not None:
        check_folder(output)
    if len(names) < 2:
        raise InputError("two runs are needed; give chain folders, run ids, tag:NAME or @latest")
    store = Store(root)
    with TemporaryDirectory(prefix="jko-") as copies:
        found = [subject(store, name, Path(copies) / str(i)) for i, name in enumerate(names)]
    comparison = Comparison(unique(found))
    outcomes = judge(comparison, asked)
    if output is None:
        return Compared(comparison, outcomes)
    files = write_results(comparison, outcomes, output)
    return Compared(comparison, outcomes, files[0], keep(store, names, found, files) if track else "")


def check_folder(output: Path) -> None:
    """Refuse an output that is no folder, before any work is done."""
    folder = output.absolute().parent
    try:
        if output.exists() and not output.is_dir():
            raise InputError(f"-o {output}: this is a file; name a folder")
        if not folder.is_dir():
            raise InputError(f"-o {output}: the folder {folder} does not exist")
        if not os.access(output if output.exists() else folder, os.W_OK | os.X_OK):
            raise InputError(f"-o {output}: this folder may not be written")
    except OSError as error:
        raise InputError(f"-o {output}: no folder can be made there ({error.strerror})") from None


def is_folder(name: str) -> bool:
    """Whether a name is that of a folder; one that no file system takes is not."""
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):
        return False


def subject(store: Store, name: str, copies: Path) -> Subject:
    """One of the runs to compare.

    Args:
        store: the tracked runs.
        name: a chain's folder, or what :meth:`tasks.adapters.mlflow.runs.Runs.find` understands.
        copies: folder for artefacts that lie elsewhere.

    Raises:
        InputError: there is no such run, or nothing is known of it.
    """
    if is_folder(name):
        layout = chain_at(Path(name), store.root)
        with well_formed(layout):
            record = record_of_chain(layout)
            _ = record.metrics, record.steps
        refuse_unmeasured(layout, record)
        return Subject(
            Path(name).resolve().name, f"chain {name}", record, data_version=_version(layout, record)
        )
    run = store.runs.find(name)
    copies.mkdir()
    folder = store.runs.folder(run.run_id, RECORD, copies)
    kept = read_record(folder) if folder else None
    shown = f"run {run.short} ({run.status})"
    if kept is None:
        shown += ", without files"
        kept = from_metrics(store.runs, run)
    return Subject(
        run.name or run.short, shown, kept, run.run_id,
        run.tags.get("jko.data_version", ""), run.tags.get("jko.git_commit", ""),
    )  # fmt: skip


def refuse_unmeasured(layout: Layout, record: Record) -> None:
    """Refuse a chain whose last blocks have no figures: those of an earlier one would stand for them."""
    done, planned = record.about.blocks, record.about.planned
    if record.about.state == "complete" and isinstance(planned, int) and done < planned:
        raise InputError(
            f"{layout.chain}: the figures of block {done + 1} are missing or damaged; "
            f"run jko resume {layout.chain}"
        )


def from_metrics(runs: Runs, run: TrackedRun) -> Record:
    """What MLflow's metrics alone tell of a run that kept no record: killed early, or an older one."""
    settings: dict[str, Any] = {}
    for key, text in run.params.items():
        inside = settings
        *path, last = key.split(".")
        for part in path:
            inside = inside.setdefault(part, {})
        inside[last] = None if text == "None" else text
    curves = {
        key.removeprefix("step/"): runs.history(run.run_id, key)
        for key in run.metrics
        if key.startswith("step/")
    }
    count = max((step for curve in curves.values() for step in curve), default=0)
    # of the figures of a block MLflow has the headline ones
    known = [{name: curve[k] for name, curve in curves.items() if k in curve} for k in range(1, count + 1)]
    measures = [Measured.model_construct(set(own), **own) for own in known]
    about = About(
        state="partial", blocks=count, planned=run.params.get("steps.count", "?"),
        digest=run.tags.get("jko.digest", ""), data=run.tags.get("jko.data", ""),
        data_digest=run.tags.get("jko.data_version", ""), columns=[], image_shape=None,
        entropy=None, config=settings,
    )  # fmt: skip
    whole = all("nll" in own.model_fields_set for own in measures)
    return Record(about, measures if whole else [], tracked=run.metrics)


def _version(layout: Layout, record: Record) -> str:
    """The hash that DVC gives a chain's data; empty where they are not there."""
    folder = layout.block(0, data_fingerprint(record.about.data_digest))
    if not folder.is_dir():
        return ""
    from tasks.adapters.dvc.versions import data_version

    return data_version(folder)


def unique(subjects: Sequence[Subject]) -> list[Subject]:
    """Subjects with labels of their own: the run's short id where names are equal, else a number."""
    labels: list[str] = []
    for own in subjects:
        label = own.label
        if sum(other.label == own.label for other in subjects) > 1 and own.run_id:
            label = f"{label} {own.run_id[:8]}"
        same = [known for known in labels if known == label or known.startswith(f"{label} #")]
        labels.append(f"{label} #{len(same) + 1}" if same else label)
    return [replace(own, label=label) for own, label in zip(subjects, labels, strict=True)]


def keep(store: Store, names: Sequence[str], subjects: Sequence[Subject], files: Sequence[Path]) -> str:
    """Keep page and tables with every tracked run compared; a failure is a sentence, never an error.

    Args:
        store: the tracked runs.
        names: what was asked for: a chain's folder stands for the run that tracks it.
        subjects: what was found, in the same order.
        files: what to keep.

    Returns:
        What was done; empty if no run is tracked.
    """
    try:
        ids = [own.run_id or tracked_by(store, name) for own, name in zip(subjects, names, strict=True)]
        known = sorted(set(filter(None, ids)))
        parts = [run_id[:8] or own.label for run_id, own in zip(ids, subjects, strict=True)]
        place = f"{PLACE}/{'-'.join(parts)}"[:80]
        for run_id in known:
            store.runs.store(run_id, files, place)
    except JkoError as error:
        return f"warning: the comparison was not kept with its runs: {error}"
    return f"kept with {len(known)} tracked run{'s' if len(known) > 1 else ''} as {place}" if known else ""


def tracked_run(store: Store, name: str) -> TrackedRun:
    """The tracked run that a name stands for; of a chain's folder, the run that tracks it.

    Raises:
        InputError: there is none.
    """
    if is_folder(name):
        run_id = tracked_by(store, name)
        if not run_id:
            raise InputError(f"{name}: no tracked run is of this chain")
        return store.runs.find(run_id)
    return store.runs.find(name)


def as_json(done: Compared) -> dict[str, object]:
    """A comparison for scripts."""
    comparison = done.comparison
    steps = comparison.steps.astype(object)
    return {
        "baseline": comparison.labels[0],
        "runs": [
            {
                "label": own.label, "source": own.source, "run_id": own.run_id or None,
                "state": own.record.about.state, "digest": own.record.about.digest,
                "data": own.record.about.data, "data_version": own.data_version,
                "test_digest": own.record.test_digest, "metrics": own.record.metrics,
            }
            for own in comparison.subjects
        ],
        "settings": comparison.settings.to_dict("index"),
        "steps": steps.where(steps.notna(), None).to_dict("records"),
        "paired": [
            {
                "run": pair.label, "baseline": pair.baseline, "reason": pair.reason or None,
                **(paired_json(pair) if pair.paired else {"verdict": None}),
            }
            for pair in comparison.pairs
        ],
        "rule": RULE,
        "warnings": comparison.warnings,
        "gate": [
            {"condition": one.condition.text, "run": one.candidate, "tripped": one.tripped,
             "unreliable": one.unreliable, "difference": one.difference, "says": one.says}
            for one in done.outcomes
        ],
        "page": str(done.page) if done.page else None,
    }  # fmt: skip


def paired_json(pair: Pair) -> dict[str, JsonValue]:
    """A paired difference for scripts: mean, median and trimmed mean of the rows' differences, nats."""
    paired = pair.paired
    if paired is None:
        return {}
    names = {"test/nll": "difference", "test/nll_median": "median", "test/nll_trimmed": "trimmed"}
    found: dict[str, JsonValue] = {}
    for name, (value, se) in paired_figures(paired).items():
        found |= {names[name]: value, "se" if name == "test/nll" else f"{names[name]}_se": se}
    rows = paired.robust.dominating if paired.robust else ()
    return {
        **found, "rows": paired.rows, "worse_share": paired.worse_share,
        "worse_share_se": paired.worse_share_se, "verdict": paired.verdict,
        "unreliable": pair.unreliable or None,
        "dominating_rows": [int(pair.differences.index[i]) for i in rows],
    }  # fmt: skip


def tracked_by(store: Store, chain: str) -> str:
    """The id of the run that tracks a chain; empty if it is not tracked."""
    layout = chain_at(Path(chain), store.root)
    return (store.runs.of_chain(layout) or "") if (layout.run / "tracking").is_dir() else ""
