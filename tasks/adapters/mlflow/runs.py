"""Tracked runs read back: listed, found by what people write, tagged, and their artefacts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jko.core.errors import InputError, JkoError
from jko.disk.layout import Layout
from tasks.adapters.mlflow.tracking_store import (
    CALL_SECONDS,
    EXPERIMENT,
    FILES_SECONDS,
    bounded,
    has_store,
    is_local,
    now,
    open_client,
    own_name,
)
from tasks.adapters.store.lock import is_held
from tasks.adapters.system.environment import first_line

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

T = TypeVar("T")
#: tag NAME is kept as this and the name; its value is when it was given
TAG = "jko.tag."
SHORT = 8
PAGE = 1000
#: status of a run that was tracked before we kept our own
STATUS = {"RUNNING": "running", "FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")


class StoreError(JkoError):
    """The tracking store cannot be read or written."""


@dataclass(frozen=True)
class TrackedRun:
    """One run of a chain, as MLflow keeps it.

    Args:
        run_id: MLflow's id.
        name: shown in MLflow.
        status: ``running``, ``finished``, ``failed``, ``interrupted`` or ``crashed``.
        started: when it was first opened.
        opened: when it was last opened, as text that sorts.
        params: settings as text.
        metrics: last values.
        tags: all tags.
    """

    run_id: str
    name: str
    status: str
    started: datetime
    opened: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def short(self) -> str:
        """The beginning of its id, as people write it."""
        return self.run_id[:SHORT]

    @property
    def names(self) -> dict[str, str]:
        """The tags people gave it, with the time each was given."""
        return {key.removeprefix(TAG): value for key, value in self.tags.items() if key.startswith(TAG)}


class Runs:
    """The runs of a store, read by one search when first asked for.

    Args:
        root: the project's folder.

    Raises:
        StoreError: the store does not answer.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: list[TrackedRun] | None = None
        self._client = _asked(lambda: open_client(root)) if has_store(root) else None

    def all(self) -> list[TrackedRun]:
        """All runs of chains, the last opened first."""
        if self._known is None:
            runs = [] if self._client is None else _asked(self._search)
            found = [_tracked(run, self._left_open(run)) for run in runs]
            self._known = sorted(found, key=lambda run: run.opened, reverse=True)
        return self._known

    def _search(self) -> list[Run]:
        client = self._need()
        place = client.get_experiment_by_name(EXPERIMENT)
        if place is None:
            return []
        found: list[Run] = []
        token = None
        while True:
            page = client.search_runs([place.experiment_id], max_results=PAGE, page_token=token)
            found += [run for run in page if run.data.tags.get("jko.kind") != "curve"]
            token = page.token
            if not token:
                return found

    def _left_open(self, run: Run) -> bool:
        """Whether a run is open while nobody works on its chain, which lies on this machine."""
        chain = self.chain_of(run.data.tags)
        return run.info.status == "RUNNING" and chain is not None and not is_held(chain)

    def chain_of(self, tags: Mapping[str, str]) -> Layout | None:
        """Where a run's chain is, if it is here."""
        place = self.root / tags.get("jko.chain", "")
        return Layout.of(place, self.root) if tags.get("jko.chain") and place.is_dir() else None

    def find(self, text: str) -> TrackedRun:
        """The run that is meant by an id or unique prefix, ``tag:NAME``, ``@latest`` or ``@latest~n``.

        Raises:
            InputError: none, or more than one.
        """
        runs = self.all()
        if text.startswith("tag:"):
            return self._tagged(text.removeprefix("tag:"))
        if latest := re.fullmatch(r"@latest(?:~(\d{1,6}))?", text):
            back = int(latest[1] or 0)
            if back >= len(runs):
                raise InputError(f"{text}: there are {len(runs)} tracked runs")
            return runs[back]
        if not re.fullmatch(r"[0-9a-f]{4,32}", text):
            raise InputError(
                f"{text}: no chain's folder, and no tracked run; allowed: a folder, a run's id or at least "
                "its first 4 digits, tag:NAME, @latest, @latest~1"
            )
        found = [run for run in runs if run.run_id.startswith(text)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise InputError(f"{text}: no tracked run has an id that begins so; jko runs lists them")
        which = ", ".join(f"{run.run_id[: max(12, len(text) + 4)]} ({run.name})" for run in found[:10])
        raise InputError(f"{text}: {len(found)} runs have ids that begin so: {which}; give more digits")

    def _tagged(self, name: str) -> TrackedRun:
        holders = [run for run in self.all() if name in run.names]
        if holders:  # more than one only where a move was cut off: the last one given holds
            return max(holders, key=lambda run: run.names[name])
        known = sorted({other for run in self.all() for other in run.names})
        raise InputError(
            f"tag:{name}: no run has this tag; known: {', '.join(known) or 'none'} (jko tag RUN {name})"
        )

    def tag(self, run: TrackedRun, name: str) -> TrackedRun | None:
        """Give a run a name, taking it from the run that has it.

        Returns:
            The run that had it.

        Raises:
            InputError: the name has characters that a tag cannot have.
        """
        if not NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name for a tag: letters, digits, '.', '_' and '-', at most 50")
        before = [other for other in self.all() if name in other.names and other.run_id != run.run_id]
        # the new holder first: cut off in between, the name is on both and the later one counts
        _asked(lambda: self._need().set_tag(run.run_id, TAG + name, now()))
        for other in before:
            self._delete(other, name)
        self._known = None
        return before[0] if before else None

    def untag(self, name: str) -> TrackedRun:
        """Take a name away; returns the run that had it.

        Raises:
            InputError: no run has it.
        """
        run = self._tagged(name)
        for other in [other for other in self.all() if name in other.names]:
            self._delete(other, name)
        self._known = None
        return run

    def _delete(self, run: TrackedRun, name: str) -> None:
        _asked(lambda: self._need().delete_tag(run.run_id, TAG + name))

    def folder(self, run_id: str, place: str, into: Path) -> Path | None:
        """A folder of a run's artefacts on this machine; ``None`` where it has none.

        Args:
            run_id: of the run.
            place: name of the folder.
            into: where it is copied to if it lies elsewhere.
        """
        client = self._need()
        if place not in {item.path for item in _asked(lambda: client.list_artifacts(run_id))}:
            return None
        return Path(_asked(lambda: client.download_artifacts(run_id, place, str(into)), FILES_SECONDS))

    def history(self, run_id: str, key: str) -> dict[int, float]:
        """The last value of a metric at every step."""
        entries = _asked(lambda: self._need().get_metric_history(run_id, key))
        return {entry.step: entry.value for entry in sorted(entries, key=lambda entry: entry.timestamp)}

    def store(self, run_id: str, files: Sequence[Path], place: str) -> None:
        """Keep files with a run, in a folder of its artefacts."""
        for path in files:
            self._log(run_id, path, place)

    def _log(self, run_id: str, path: Path, place: str) -> None:
        _asked(lambda: self._need().log_artifact(run_id, str(path), place), FILES_SECONDS)

    def of_chain(self, layout: Layout) -> str | None:
        """The id of the run that tracks a chain's present plan, if this store has it."""
        chains = (str(layout.chain.resolve()), _inside(layout, self.root))
        shared = self._client is not None and not is_local(self._client.tracking_uri, self.root)
        found = [run for run in self.all() if run.tags.get("jko.chain") in chains[: 1 if shared else 2]]
        return found[0].run_id if found else None

    def _need(self) -> MlflowClient:
        if self._client is None:
            raise InputError("there are no tracked runs here; jko train makes one")
        return self._client


def _inside(layout: Layout, root: Path) -> str:
    chain, root = layout.chain.resolve(), root.resolve()
    return str(chain.relative_to(root)) if chain.is_relative_to(root) else str(chain)


def _tracked(run: Run, left_open: bool) -> TrackedRun:
    info, data = run.info, run.data
    known = data.tags.get("jko.status")
    closed = STATUS.get(info.status, info.status.lower())
    # MLflow's own word decides whether a run is open: it may have been closed by somebody else
    agree = known if known and (known == "running") == (closed == "running") else closed
    started = datetime.fromtimestamp(info.start_time / 1000, UTC)
    return TrackedRun(
        run_id=info.run_id,
        name=info.run_name or "",
        status="crashed" if left_open else agree,
        started=started,
        opened=data.tags.get("jko.opened", started.isoformat(timespec="milliseconds")),
        params=data.params,
        metrics={own_name(name): value for name, value in data.metrics.items()},
        tags=data.tags,
    )


def _asked(call: Callable[[], T], seconds: float = CALL_SECONDS) -> T:
    """The answer of the store; whatever it raises is one sentence."""
    try:
        return bounded(seconds, call)
    except JkoError:
        raise
    except Exception as error:  # MLflow, its HTTP client and SQLAlchemy raise their own
        raise StoreError(f"the tracking store does not answer: {first_line(error)}") from None
