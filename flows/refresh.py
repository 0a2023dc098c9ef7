"""What a scheduled run does: look whether the data are new, and score them or train on them if so."""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flows.scheduling.schedule_state import ScheduleState, Seen, look, now
from flows.session import Finished, Job, check_input, nothing_to_do, run_job
from jko.config import Config
from jko.core.display import pair_of
from jko.core.errors import ChainInUseError, InputError
from jko.disk.identity import fingerprints, source_key
from jko.disk.layout import Layout
from jko.disk.manifest import known_manifest, read_manifest, required_manifest, stored_config
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.parent_chain import (
    PARENT_CHAIN,
    Origin,
    parent_tags,
    read_origin,
    same_network,
    started_from,
    write_origin,
)
from tasks.adapters.store.plan import Plan, find_data, make_plan
from tasks.adapters.system.environment import platform_environment
from tasks.headline import nll_warning, stored_evaluation, stored_headline

if TYPE_CHECKING:
    from flows.scheduling.drifted import Drift

OnChange = Literal["retrain", "warm", "score"]
log = logging.getLogger("jko.refresh")
#: tag of a run: what the new data did under the last chain, in words
DRIFT = "jko.drift"


@dataclass(frozen=True)
class Outcome:
    """How a scheduled run ended.

    Args:
        action: what was done.
        reason: why, in words.
        chain: the chain folder, relative to the project.
        metrics: ``drift/*`` where data were new, and the headline figures of a chain that was trained.
    """

    action: Literal["skipped", "busy", "scored", "trained"]
    reason: str
    chain: str
    metrics: dict[str, float]


def refresh(name: str, config: Config, root: Path, on_change: OnChange = "retrain") -> Outcome:
    """Bring the chain of a schedule up to date with its data, within a flow run or without one.

    The first version of the data has its chain in ``.jko/chains/<name>``, every other one in
    ``.jko/chains/<name>-<first 8 digits of its source key>``. New data are first scored under the last
    complete chain (:func:`flows.scheduling.drift.drift`), which stays the last one until another is
    complete: a run that failed or was killed is gone on with by the next.

    Args:
        name: of the schedule.
        config: validated settings.
        root: the project's folder.
        on_change: what new data lead to: ``retrain`` from scratch, ``warm``: every block starts from
            the weights it has in the last chain, or ``score`` only.

    Raises:
        JkoError: bad input or numerical failure; the schedule's state is what it was.
    """
    platform_environment(root)
    state = ScheduleState.read(root, name)
    seen = look(config, root, state.seen)
    work = _Work(name, config, root, state, seen)
    finished = nothing_to_do(work.job, work.plan)
    if finished is not None:
        return work.skip(finished)
    last = last_chain(root, name, state)
    if last is None or last.chain == work.layout.chain:
        check_input(work.job, work.plan)
        return work.train()
    if on_change == "score":
        return work.skip_scored(last) if state.scored == work.key else work.score(last)
    return work.train_on_new(last, warm=on_change == "warm")


def last_chain(root: Path, name: str, state: ScheduleState) -> Layout | None:
    """The last complete chain of a schedule."""
    layout = chain_called(root, state.last or name)
    known = known_manifest(layout)
    if known is None:
        return None
    tested = stored_headline(ChainStore(stored_config(layout), layout, known.fingerprints))
    return None if tested is None else layout


def chain_at_work(root: Path, name: str) -> Layout:
    """The chain that the last run of a schedule worked on."""
    return chain_called(root, ScheduleState.read(root, name).working or name)


def chain_called(root: Path, name: str) -> Layout:
    """The chain with this folder name."""
    return Layout.of(root / ".jko" / "chains" / name, root)


class _Work:
    """One run of a schedule.

    Args:
        name: of the schedule.
        config: the settings asked for.
        root: the project's folder.
        state: what earlier runs left.
        seen: the data file as it is now.
    """

    def __init__(
        self, name: str, config: Config, root: Path, state: ScheduleState, seen: Seen | None
    ) -> None:
        self.name, self.root, self.seen = name, root, seen
        self.state = replace(state, seen=seen, checked=now())
        self.key = source_key(config, seen.sha256 if seen else None)
        self.layout = self._layout(config)
        self.job = self._job(_keeping_start(config, self.layout))
        self.plan = self._plan(self.job)

    @property
    def data(self) -> str:
        """What the data are called."""
        return Path(self.seen.path).name if self.seen else self.job.config.data.source

    @property
    def chain(self) -> str:
        """The chain folder as users know it."""
        return _inside(self.layout.chain, self.root)

    def _layout(self, config: Config) -> Layout:
        """The folder of this version of the data; the first version has the plain name."""
        own = chain_called(self.root, f"{self.name}-{self.key[:8]}")
        if own.manifest.exists():
            return own
        first = chain_called(self.root, self.name)
        taken = any((first.chain / "blocks").glob("0-*/COMMIT.json"))
        if not taken or find_data(first, self.key) is not None:
            return first
        return own

    def _job(self, config: Config, parent: Layout | None = None) -> Job:
        command = f"jko resume {shlex.quote(self.chain)}"
        return Job(self.name, config, self.layout, self.root, command, parent=parent)

    def _plan(self, job: Job) -> Plan:
        return make_plan(job.config, job.layout, key=self.key)

    def skip(self, finished: Finished) -> Outcome:
        """Nothing is new: say so, and that it was looked at."""
        since = f" is unchanged since {self.seen.since}" if self.seen else " is what it was"
        # where the data of an older chain came back, that is the last one again
        replace(self.state, last=self.layout.chain.name).write(self.root, self.name)
        self._track(self.job.config, self.layout, {})
        return Outcome("skipped", f"no new data: {self.data}{since}; {finished.reason}", self.chain, {})

    def skip_scored(self, last: Layout) -> Outcome:
        """These new data were scored by an earlier run."""
        self.state.write(self.root, self.name)
        self._track(stored_config(last), last, {})
        since = self.seen.since if self.seen else "an earlier run"
        reason = f"no new data: {self.data} is unchanged since {since} and was scored already"
        return Outcome("skipped", reason, _inside(last.chain, self.root), {})

    def score(self, last: Layout) -> Outcome:
        """Score the new data under the last chain, and leave it at that."""
        from flows.scheduling.drift import drift

        found = drift(last, self.job.config)
        _warn(found)
        self._track(stored_config(last), last, found.figures, found.says)
        replace(self.state, scored=self.key).write(self.root, self.name)
        reason = f"new data: {self.data}; {found.says}"
        return Outcome("scored", reason, _inside(last.chain, self.root), found.figures)

    def train_on_new(self, last: Layout, *, warm: bool) -> Outcome:
        """Score the new data under the last chain, then train a chain on them."""
        config = self.job.config
        if warm and read_manifest(self.layout) is None:
            config = started_from(config, self.layout, last)
        started = config.start.weights is not None
        self.job = self._job(config, last if started else None)
        check_input(self.job, self.plan)
        origin = self._origin(config, last)
        how = "every block started from the last chain's" if started else "trained from scratch"
        return self.train(origin.figures, f"new data: {self.data}; {origin.tags[DRIFT]}; {how}")

    def _origin(self, config: Config, last: Layout) -> Origin:
        """Drift and parent of a new chain; measured once, also if its training takes several runs."""
        from flows.scheduling.drift import drift
        from flows.scheduling.drifted import Drift, words

        known, tags = read_origin(config, self.layout), parent_tags(last, self.root)
        if known.figures and DRIFT in known.tags and known.tags.get(PARENT_CHAIN) == tags[PARENT_CHAIN]:
            return known
        try:
            found = drift(last, config)
        except InputError as error:  # other columns, say: a reason to train, not one to stop
            log.warning("the new data cannot be scored under %s: %s", last.chain, error)
            found = Drift({}, words({}))
        else:
            _warn(found)
        tags |= {DRIFT: found.says}
        write_origin(config, self.layout, Origin(tags=tags, figures=found.figures))
        return Origin(tags=tags, figures=found.figures)

    def train(self, drifted: dict[str, float] | None = None, said: str = "") -> Outcome:
        """Train what is missing of the chain of these data.

        Args:
            drifted: the figures of the drift, if the data are new.
            said: what is told of the data and the training.
        """
        figures = drifted or {}
        missing = [block for block in self.plan.missing if block.index]
        begun = f"block {missing[0].index}: {missing[0].reason}" if missing else "evaluated again"
        replace(self.state, working=self.layout.chain.name).write(self.root, self.name)
        try:
            finished = run_job(self.job)
        except ChainInUseError as error:
            return Outcome("busy", str(error), self.chain, figures)
        own = self.layout.chain.name
        replace(self.state, working=own, last=own, scored=None).write(self.root, self.name)
        nll = f"test NLL {pair_of(finished.metrics, 'test/nll', '.4g', '.2g')} nats"
        nll += f" (median {pair_of(finished.metrics, 'test/nll_median', '.4g', '.2g')})"
        chain = required_manifest(self.layout).fingerprints
        if said := nll_warning(stored_evaluation(ChainStore(stored_config(self.layout), self.layout, chain))):
            nll += f"; {said}"
        return Outcome("trained", f"{said or begun}; {nll}", self.chain, {**figures, **finished.metrics})

    def _track(self, config: Config, layout: Layout, figures: dict[str, float], said: str = "") -> None:
        """Tell a finished chain's MLflow run that it was looked at."""
        from tasks.adapters.mlflow.tracking import Tracker

        digest = required_manifest(layout).data_digest
        tracker = Tracker(layout, fingerprints(config, digest)[-1], self.root)
        tags = {"jko.last_checked": self.state.checked, **({DRIFT: said} if said else {})}
        tracker.touch(tags, figures)


def _keeping_start(config: Config, layout: Layout) -> Config:
    """The settings with the weights that a chain was started from, as long as they fit its network."""
    if read_manifest(layout) is None:
        return config
    stored = stored_config(layout)
    return config.model_copy(update={"start": stored.start}) if same_network(config, stored) else config


def _warn(found: Drift) -> None:
    """Say aloud that there is a drift, or that none can be known."""
    if found.alarm or not found.known:
        log.warning("%s", found.says)


def _inside(chain: Path, root: Path) -> str:
    return str(chain.relative_to(root) if chain.is_relative_to(root) else chain)
