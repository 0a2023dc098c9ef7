"""MLflow: one run per chain, reopened after a kill; a failure costs a warning, never a result.

Every metric is first appended to a journal with its timestamp. Opening a run replays the
journal: MLflow drops entries it already has, so replay is harmless.
"""

from __future__ import annotations

import json
import logging
import math
import platform
import subprocess
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ParamSpec, cast

from jko.core.records import Record
from jko.disk.layout import Layout
from jko.disk.sealed import read_model, write_json
from tasks.adapters.mlflow.tracking_store import (
    BLOCKS,
    CALL_SECONDS,
    EXPERIMENT,
    FILES_SECONDS,
    bounded,
    experiment,
    is_local,
    is_there,
    now,
    open_client,
    told_as,
)
from tasks.adapters.system.environment import first_line, without_password
from tasks.adapters.system.journal import Entry, Journal, milliseconds

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

CURVE_POINTS = 200
#: how a run ended, for MLflow -> for us
ENDED = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}
#: these make or find the run that the others add to
OPENING = ("open", "touch")
SENDING = ("artefacts", "made")
log = logging.getLogger("jko.tracking")
P = ParamSpec("P")


class RunRecord(Record):
    """The run of a chain, as ``DIR.run`` remembers it.

    Args:
        run_id: MLflow's.
        store: name of the store that holds it.
        curves: the child run of every training curve that was sent, by the curve's name.
    """

    run_id: str
    store: str
    curves: dict[str, str] = {}


def guarded(call: Callable[P, None]) -> Callable[P, None]:
    """Turn any failure of a tracking call into one warning, and stop calling.

    A server's call that takes longer than :data:`CALL_SECONDS`, or :data:`FILES_SECONDS` for one that
    sends files, counts as a failure. Where no run was opened there is nothing to tell.
    """

    @wraps(call)
    def safely(*args: P.args, **kwargs: P.kwargs) -> None:
        tracker = cast(Tracker, args[0])
        if not tracker.working or (call.__name__ not in OPENING and tracker.run_id is None):
            return
        seconds = FILES_SECONDS if call.__name__ in SENDING else CALL_SECONDS
        try:
            bounded(seconds, lambda: call(*args, **kwargs))
        except Exception as error:  # whatever MLflow raises must not reach training
            tracker.working = False
            log.warning(
                "tracking stopped, the run goes on (it is sent again next time): %s", first_line(error)
            )

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
        self._client: MlflowClient

    @guarded
    def open(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Open the chain's run, the old one if there is one, and replay the journal.

        Args:
            name: the ``jko.preset`` of a new run, and with digits of its plan its name.
            params: settings, told once.
            tags: renewed at every opening.
        """
        self._client = open_client(self.root)
        self._close_dead()
        self.run_id = self._find_run()
        if self.run_id is None:
            first = {**self._tags(tags), "jko.preset": name, "mlflow.source.name": "jko train"}
            # equal names would be told apart by nothing in MLflow's page
            shown = f"{name}-{self.identity[:6]}"
            run = self._client.create_run(self._experiment(), run_name=shown, tags=first)
            self.run_id = run.info.run_id
            self._log_params(params)
        else:
            self._client.update_run(self.run_id, status="RUNNING")
            if not self._client.get_run(self.run_id).data.params:
                self._log_params(params)  # a kill came between the run and these
            for key, value in self._tags(tags).items():
                self._client.set_tag(self.run_id, key, value)
        known = read_model(self.record, RunRecord)
        curves = known.curves if known is not None and known.run_id == self.run_id else {}
        self._remember(curves)
        self._send(list(self.journal.entries.values()))

    @guarded
    def touch(self, tags: Mapping[str, str], figures: Mapping[str, float | None]) -> None:
        """Add to the run that a finished chain has, without opening it; makes no run.

        Args:
            tags: set, or set again.
            figures: told as the next values of their names, so that they are a history.
        """
        self._client = open_client(self.root)
        self.run_id = self._find_run()
        if self.run_id is None:
            return
        for key, value in tags.items():
            self._client.set_tag(self.run_id, key, value)
        told = [step for key, step in self.journal.entries if key in figures]
        self._send(self.journal.add(figures, max(told, default=0) + 1))

    @property
    def _own(self) -> str:
        """The id of the run, which is open wherever a guarded method gets to."""
        if self.run_id is None:
            raise RuntimeError("no run is open")
        return self.run_id

    def _remember(self, curves: Mapping[str, str]) -> None:
        record = RunRecord(run_id=self._own, store=self._store(), curves=dict(curves))
        write_json(self.record, record.plain())

    def _find_run(self) -> str | None:
        """The run made earlier for this plan, by its stored id or, failing that, by tag."""
        known = read_model(self.record, RunRecord)
        if known is not None and known.store == self._store() and is_there(self._client, known.run_id):
            return known.run_id
        return next((run.info.run_id for run in self._runs(f"tags.`jko.plan` = '{self.identity}'")), None)

    def _close_dead(self) -> None:
        """Mark the runs of this chain that were left open: we hold its lock, so whoever did is dead."""
        for run in self._runs("attributes.status = 'RUNNING'"):
            self._client.set_terminated(run.info.run_id, "KILLED")
            self._client.set_tag(run.info.run_id, "jko.status", "crashed")
            self._client.set_tag(run.info.run_id, "jko.crashed", "true")

    def _runs(self, query: str) -> list[Run]:
        """The runs of this chain that a query finds; in a shared store only those of this machine."""
        own = (self._chain(), str(self.layout.chain.resolve()))
        hosts = (None, platform.node())
        shared = not is_local(self._client.tracking_uri, self.root)
        return [
            run
            for run in self._client.search_runs([self._experiment()], query, max_results=1000)
            if run.data.tags.get("jko.chain") in own
            and not (shared and run.data.tags.get("jko.host") not in hosts)
        ]

    def _store(self) -> str:
        """Name of the store; the project's own has one that stays when the project moves."""
        uri = self._client.tracking_uri
        return "local" if is_local(uri, self.root) else without_password(uri)

    def _chain(self) -> str:
        """Where the chain is: in the project's own store relative to the project, which may move."""
        chain, root = self.layout.chain.resolve(), self.root.resolve()
        inside = is_local(self._client.tracking_uri, self.root) and chain.is_relative_to(root)
        return str(chain.relative_to(root)) if inside else str(chain)

    def _experiment(self) -> str:
        return experiment(self._client, EXPERIMENT, self.root)

    def _tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        own = {
            "jko.plan": self.identity,
            "jko.chain": self._chain(),
            "jko.host": platform.node(),
            "jko.status": "running",
            "jko.opened": now(),
        }
        return {**own, **tags}

    def _log_params(self, params: Mapping[str, object]) -> None:
        from mlflow.entities import Param

        rows = [Param(key, str(value)[:6000]) for key, value in params.items()]
        for start in range(0, len(rows), 100):
            self._client.log_batch(self._own, params=rows[start : start + 100])

    def _send(self, entries: list[Entry], run_id: str | None = None) -> None:
        from mlflow.entities import Metric

        rows = [Metric(entry.key, entry.value, entry.timestamp, entry.step) for entry in entries]
        for start in range(0, len(rows), 1000):
            self._client.log_batch(run_id or self._own, metrics=rows[start : start + 1000])

    def step(self, k: int, figures: Mapping[str, float | None]) -> None:
        """Track the figures of block k as ``step/<name>`` at step k."""
        self._track(self.journal.add({f"step/{name}": value for name, value in figures.items()}, k))

    def final(self, figures: Mapping[str, float | None]) -> None:
        """Track headline figures of the whole chain; at step 0, so that MLflow's page draws bars of them."""
        self._track(self.journal.add({told_as(name): value for name, value in figures.items()}, 0))

    @guarded
    def _track(self, entries: list[Entry]) -> None:
        if entries:
            self._send(entries)

    @guarded
    def curve(self, k: int, name: str, frame: pd.DataFrame) -> None:
        """Keep a block's training curve, thinned, in a child run of its own."""
        known = read_model(self.record, RunRecord)
        curves = {} if known is None else known.curves
        if name in curves:
            return
        tags = {"mlflow.parentRunId": str(self.run_id), "jko.kind": "curve", "jko.block": str(k)}
        place = experiment(self._client, BLOCKS, self.root)
        child = self._client.create_run(place, run_name=f"block {k}", tags=tags)
        now = milliseconds()
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
        self._remember({**curves, name: child.info.run_id})

    @guarded
    def data(self, name: str, digest: str, source: str) -> None:
        """Attach the data version (at most 36 characters) as MLflow's dataset."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        where = json.dumps({"uri": source})
        dataset = Dataset(name, digest[:36], "local", where)
        tag = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(self._own, [DatasetInput(dataset, [tag])])
        self._client.set_tag(self._own, "jko.data_version", digest)

    @guarded
    def tag(self, key: str, value: str) -> None:
        """Set one tag."""
        self._client.set_tag(self._own, key, value)

    @guarded
    def artefacts(self, path: Path, place: str) -> None:
        """Store a file or the files of a folder."""
        if path.is_dir():
            self._client.log_artifacts(self._own, str(path), place)
        else:
            self._client.log_artifact(self._own, str(path), place)

    @guarded
    def made(self, make: Callable[[Path], None], place: str) -> None:
        """Store the files that ``make`` writes into the folder it is given."""
        with TemporaryDirectory(prefix="jko-") as folder:
            make(Path(folder))
            self._client.log_artifacts(self._own, folder, place)

    @guarded
    def close(self, status: str) -> None:
        """End the run: ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self._client.set_tag(self._own, "jko.status", ENDED[status])
        self._client.set_terminated(self._own, status)


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
