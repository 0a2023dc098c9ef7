"""The tracked runs as a table: chosen, sorted, the best of each data version marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from jko.certify.status import Status
from jko.core.errors import InputError
from tasks.adapters.mlflow.runs import TrackedRun

#: columns of the table; a figure or setting of MLflow can be sorted by, too
COLUMNS = (
    "id", "name", "tags", "data", "data_version", "status", "blocks", "test/nll", "test/nll_se",
    "test/gap_to_entropy", "test/gap_to_entropy_se", "step/epsilon", "chain/kl_bound",
    "chain/kl_estimate", "seed", "time/wall_s", "started",
)  # fmt: skip
NUMBERS = tuple(name for name in COLUMNS if "/" in name)
NLL = "test/nll"
#: what a cell of the table holds
Cell = str | float | datetime | list[str] | bool | None


@dataclass(frozen=True)
class Choice:
    """Which runs, in which order.

    Args:
        preset: only runs of this preset or request name.
        data: only runs on data with this name or beginning of their version.
        tag: only the run with this tag.
        best: only so many of each data version, by test NLL.
        sort: column, figure or setting to sort by; the last opened first where it is empty.
        limit: at most so many.
    """

    preset: str = ""
    data: str = ""
    tag: str = ""
    best: int = 0
    sort: str = ""
    limit: int = 0


def runs_table(runs: Sequence[TrackedRun], choice: Choice) -> pd.DataFrame:
    """The runs chosen, one row each, with :data:`COLUMNS`, ``chain``, ``run_id``, ``preset`` and ``best``.

    NLLs of different data versions are of different rows, so ``best`` marks the smallest of each
    version (among all runs, chosen or not), and no order ranks across versions unless it was asked
    for by ``sort``. The mean decides: a row that explodes only counts against its run, so the best is none
    of those; ``--sort test/nll_median`` leaves such rows out.

    Raises:
        InputError: there is nothing of the name to sort by.
    """
    frame = pd.DataFrame(
        [_row(run) for run in runs], columns=[*COLUMNS, "chain", "run_id", "preset", "opened"]
    )
    frame = frame.astype(dict.fromkeys(NUMBERS, float))
    # a version without any finished run has no best one
    known = frame[(frame.data_version != "") & frame[NLL].notna()]
    frame["best"] = frame.index.isin(known.groupby("data_version")[NLL].idxmin())
    if choice.sort:
        frame = _sorted(frame, runs, choice.sort)
    if choice.preset:
        frame = frame[frame.preset == choice.preset]
    if choice.data:
        begins = frame.data_version.str.startswith(choice.data) & (len(choice.data) >= 4)
        frame = frame[begins | (frame.data == choice.data)]
    if choice.tag:
        frame = frame[[choice.tag in tags for tags in frame.tags]]
    if choice.best:
        frame = frame.dropna(subset=NLL)
        order = frame.sort_values([NLL], kind="stable")
        kept = order.groupby("data_version", sort=False).head(choice.best)
        newest = kept.groupby("data_version")["opened"].transform("max")
        frame = kept.assign(_newest=newest).sort_values(
            ["_newest", "data_version", NLL], ascending=[False, True, True], kind="stable"
        )
        frame = (frame if not choice.sort else _sorted(frame, runs, choice.sort)).drop(columns="_newest")
    return frame.head(choice.limit) if choice.limit else frame


def _row(run: TrackedRun) -> dict[str, Cell]:
    steps = run.metrics.get("steps")
    return {
        **{name: run.metrics.get(name) for name in NUMBERS},
        **_named(run),
        "id": run.short,
        "name": run.name,
        "tags": sorted(run.names),
        "data": run.tags.get("jko.data", ""),
        "data_version": run.tags.get("jko.data_version", ""),
        "status": run.status,
        "blocks": run.tags.get("jko.blocks", "" if steps is None else f"{steps:.0f}"),
        "seed": run.params.get("seed", ""),
        "started": run.started.astimezone(),
        "chain": run.tags.get("jko.chain", ""),
        "run_id": run.run_id,
        "preset": run.tags.get("jko.preset", run.name),
        "opened": run.opened,
    }


def _named(run: TrackedRun) -> dict[str, Cell]:
    """An estimate that an earlier version tracked as a bound, under its own name."""
    if run.tags.get("jko.kl_bound") != Status.ESTIMATED:
        return {}
    return {"chain/kl_bound": None, "chain/kl_estimate": run.metrics.get("chain/kl_bound")}


def _sorted(frame: pd.DataFrame, runs: Sequence[TrackedRun], key: str) -> pd.DataFrame:
    """Sorted by a column, figure or setting: numbers from the smallest, times from the latest."""
    descending = key.startswith("-")
    name = key.removeprefix("-")
    if name in frame.columns:
        values = frame[name]
        if name == "tags":
            values = values.map(", ".join)
    else:
        found = {run.run_id: run.metrics.get(name, run.params.get(name)) for run in runs}
        values = frame.run_id.map(found)
        if values.isna().all():
            raise InputError(
                f"--sort {key}: no run has a figure or setting of this name; columns: {', '.join(COLUMNS)}; "
                "figures such as time/train_cpu_s, settings such as steps.count; -NAME for descending"
            )
    numbers = pd.to_numeric(values, errors="coerce") if name not in ("started", "tags") else values
    by = numbers if numbers.notna().sum() == values.notna().sum() else values.astype(str)
    if name == "started":
        descending = not descending  # the latest first, as without --sort
    order = by.sort_values(ascending=not descending, kind="stable", na_position="last").index
    return frame.loc[order]


def as_json(frame: pd.DataFrame) -> list[dict[str, Cell]]:
    """The table for scripts: null where there is no value, times in ISO 8601."""
    records = frame.drop(columns=["id", "opened"]).to_dict("records")
    return [{str(key): _plain(value) for key, value in record.items()} for record in records]


def _plain(value: Cell) -> Cell:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124
