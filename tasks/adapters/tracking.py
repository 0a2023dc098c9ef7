"""MLflow: one run per chain, reopened after a kill; a failure costs a warning, never a result.

Every metric is first appended to a journal with its timestamp. Opening a run replays the
journal: MLflow drops entries it already has, so replay is harmless.
"""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from tasks.adapters.commit import read_json, write_json
from tasks.adapters.environment import without_password
from tasks.adapters.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

EXPERIMENT = "jko"
CURVE_POINTS = 200
log = logging.getLogger("jko.tracking")
P = ParamSpec("P")


@dataclass(frozen=True)
class Entry:
    """One metric value of the journal.

    Args:
        key: name.
        value: finite value.
        step: JKO step k.
        timestamp: milliseconds since the epoch.
    """

    key: str
    value: float
    step: int
    timestamp: int


class Journal:
    """Metrics of one run on disk; equal entries are kept once, with their first timestamp."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[tuple[str, int], Entry] = {}
        for line in path.read_text().splitlines() if path.is_file() else []:
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the line a kill cut off
            self.entries[entry.key, entry.step] = entry

    def add(self, values: Mapping[str, float | None], step: int) -> list[Entry]:
        """Append new values; returns the entries to send."""
        now = time.time_ns() // 1_000_000
        new = []
        for key, value in values.items():
            known = self.entries.get((key, step))
            if value is None or not math.isfinite(value) or (known and known.value == value):
                continue
            self.entries[key, step] = entry = Entry(key, float(value), step, now)
            new.append(entry)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as stream:
            stream.writelines(json.dumps(asdict(entry)) + "\n" for entry in new)
        return new


def guarded(call: Callable[P, None]) -> Callable[P, None]:
    """Turn any failure of a tracking call into one warning, and stop calling."""

    @wraps(call)
    def safely(*args: P.args, **kwargs: P.kwargs) -> None:
        tracker: Any = args[0]
        if not tracker.working:
            return
        try:
            call(*args, **kwargs)
        except Exception as error:  # whatever MLflow raises must not reach training
            tracker.working = False
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            log.warning("tracking stopped, the run goes on (it is sent again next time): %s", first[:200])

    return safely


class Tracker:
    """The MLflow run of one chain.

    Args:
        layout: the chain.
        identity: digest of the chain's plan; one MLflow run for each.
        root: the project's folder; artefacts of the default store go below it.
    """

    def __init__(self, layout: Layout, identity: str, root: Path) -> None:
        self.layout, self.identity, self.root = layout, identity, root
        folder = layout.run / "tracking"
        self.record = folder / f"{identity[:12]}.json"
        self.journal = Journal(folder / f"{identity[:12]}.jsonl")
        self.working = True
        self.run_id: str | None = None
        self._client: Any = None

    @guarded
    def open(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Open the chain's run, the old one if there is one, and replay the journal."""
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow.tracking import MlflowClient

        for chatty in ("alembic", "mlflow", "mlflow.store.db.utils"):
            logging.getLogger(chatty).setLevel(logging.ERROR)
        self._client = MlflowClient()
        self.run_id = self._find_run()
        if self.run_id is None:
            run = self._client.create_run(self._experiment(), run_name=name, tags=self._tags(tags))
            self.run_id = run.info.run_id
            write_json(self.record, {"run_id": self.run_id, "store": self._store})
            self._log_params(params)
        else:
            self._reopen(tags)
        self._send(list(self.journal.entries.values()))

    @property
    def _store(self) -> str:
        return without_password(self._client.tracking_uri)

    def _find_run(self) -> str | None:
        """The run made earlier for this plan, by its stored id or, failing that, by tag."""
        record = read_json(self.record) or {}
        if record.get("store") == self._store:
            return record.get("run_id")
        found = self._client.search_runs(
            [self._experiment()], f"tags.`jko.plan` = '{self.identity}'", max_results=1
        )
        chain = str(self.layout.chain.resolve())
        return found[0].info.run_id if found and found[0].data.tags.get("jko.chain") == chain else None

    def _reopen(self, tags: Mapping[str, str]) -> None:
        if self._client.get_run(self.run_id).info.status == "RUNNING":
            # we hold the chain's lock, so whoever left it open is dead
            self._client.set_terminated(self.run_id, "KILLED")
            self._client.set_tag(self.run_id, "jko.crashed", "true")
        self._client.update_run(self.run_id, status="RUNNING")
        for key, value in self._tags(tags).items():
            self._client.set_tag(self.run_id, key, value)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return found.experiment_id
        local = self._client.tracking_uri.startswith("sqlite:")
        place = (self.root.resolve() / ".jko" / "mlartifacts").as_uri() if local else None
        return self._client.create_experiment(EXPERIMENT, artifact_location=place)

    def _tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        own = {"jko.plan": self.identity, "jko.chain": str(self.layout.chain.resolve())}
        return {**own, **tags}

    def _log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        rows = [Param(key, str(value)[:6000]) for key, value in params.items()]
        for start in range(0, len(rows), 100):
            self._client.log_batch(self.run_id, params=rows[start : start + 100])

    def _send(self, entries: list[Entry], run_id: str | None = None) -> None:
        from mlflow.entities import Metric

        rows = [Metric(entry.key, entry.value, entry.timestamp, entry.step) for entry in entries]
        for start in range(0, len(rows), 1000):
            self._client.log_batch(run_id or self.run_id, metrics=rows[start : start + 1000])

    def step(self, k: int, figures: Mapping[str, float | None]) -> None:
        """Track the figures of block k as ``step/<name>`` at step k."""
        self._track(self.journal.add({f"step/{name}": value for name, value in figures.items()}, k))

    def final(self, figures: Mapping[str, float | None], k: int) -> None:
        """Track the headline figures of the whole chain (k = N)."""
        self._track(self.journal.add(figures, k))

    @guarded
    def _track(self, entries: list[Entry]) -> None:
        if entries and self._client is not None:
            self._send(entries)

    @guarded
    def curve(self, k: int, name: str, frame: pd.DataFrame) -> None:
        """Keep a block's training curve, thinned, in a child run of its own."""
        if self._client is None:
            return
        known = read_json(self.record) or {}
        if name in known.get("curves", {}):
            return
        tags = {"mlflow.parentRunId": str(self.run_id), "jko.kind": "curve", "jko.block": str(k)}
        child = self._client.create_run(self._experiment(), run_name=f"block {k}", tags=tags)
        now = time.time_ns() // 1_000_000
        thin = frame.iloc[:: math.ceil(len(frame) / CURVE_POINTS)] if len(frame) else frame
        columns = [column for column in ("loss", "objective", "learning_rate") if column in thin]
        entries = [
            Entry(f"{row['phase']}/{column}", float(row[column]), int(row["iteration"]), now)
            for row in thin.to_dict("records")
            for column in columns
            if math.isfinite(row[column])
        ]
        self._send(entries, child.info.run_id)
        self._client.set_terminated(child.info.run_id, "FINISHED")
        curves = {**known.get("curves", {}), name: child.info.run_id}
        write_json(self.record, {**known, "curves": curves})

    @guarded
    def data(self, name: str, digest: str, source: str) -> None:
        """Attach the data version (at most 36 characters) as MLflow's dataset."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        where = json.dumps({"uri": source})
        dataset = Dataset(name, digest[:36], "local", where)
        tag = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(self.run_id, [DatasetInput(dataset, [tag])])
        self._client.set_tag(self.run_id, "jko.data_version", digest)

    @guarded
    def tag(self, key: str, value: str) -> None:
        """Set one tag."""
        self._client.set_tag(self.run_id, key, value)

    @guarded
    def artefacts(self, path: Path, place: str) -> None:
        """Store a file or the files of a folder."""
        if path.is_dir():
            self._client.log_artifacts(self.run_id, str(path), place)
        else:
            self._client.log_artifact(self.run_id, str(path), place)

    @guarded
    def close(self, status: str) -> None:
        """End the run: ``FINISHED``, ``FAILED`` or ``KILLED``."""
        if self._client is not None and self.run_id is not None:
            self._client.set_terminated(self.run_id, status)


def git_commit(root: Path) -> str:
    """The commit checked out, with ``+`` if files differ from it; empty outside git."""
    try:
        run = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
        return run.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
