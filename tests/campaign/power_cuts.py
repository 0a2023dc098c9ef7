"""A power cut at every moment of a run, with every legal loss of what was not synced.

What the store does to its files is recorded once for each of some histories of a chain; the model of
``disk.py`` says which folders a power cut may leave at any moment. Each is built and held to three things:
what was acknowledged (a task or the run had returned) is there and whole, nothing damaged passes for
committed, and the next start ends as the undisturbed run did.

``python -m tests.campaign.power_cuts [--every N] [--history NAME]`` prints the counts.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from jko.config import Config
from jko.disk import durable
from tasks.adapters.store.parent_chain import started_from
from tests.campaign import small
from tests.campaign.disk import Disk, Tree, build, hidden
from tests.campaign.forked import forked
from tests.campaign.sample import EVERY, Part
from tests.campaign.trees import copied, fast_place
from tests.campaign.watched import Operation, watching

Done = Callable[[], None]
BATCH = 40
SYNC = durable.sync


@dataclass(frozen=True)
class History:
    """A run to record.

    Args:
        before: makes the folder as it is when the run begins.
        run: the run; told what to call when something is acknowledged.
        again: what the user does after the power cut.
    """

    before: Callable[[Path], Any]
    run: Callable[[Path, Done], Any]
    again: Callable[[Path], small.Made]


def nothing(root: Path) -> None:
    """An empty project."""


def complete(root: Path) -> None:
    small.bring_up(root, small.config())


def replaced(root: Path) -> None:
    complete(root)
    small.bring_up(root, longer_step())


def longer_step() -> Config:
    """The same data and other blocks."""
    return small.config(steps={"count": 2, "first": 0.4})


def pruned_and_extended(root: Path, done: Done) -> None:
    small.prune(root)
    done()
    small.bring_up(root, small.config(3), done=done)


def two_projects(root: Path) -> None:
    (root / "other").mkdir()
    complete(root / "other")


def child(root: Path) -> Config:
    """Settings of a chain that starts from the other project's weights."""
    return started_from(small.config(), small.layout_of(root), small.layout_of(root / "other"))


HISTORIES = {
    "train": History(
        nothing,
        lambda root, done: small.bring_up(root, small.config(), done=done),
        lambda root: small.bring_up(root, small.config()),
    ),
    "other settings": History(
        complete,
        lambda root, done: small.bring_up(root, longer_step(), done=done),
        lambda root: small.bring_up(root, longer_step()),
    ),
    "back to the first settings": History(
        replaced,
        lambda root, done: small.bring_up(root, small.config(), done=done),
        lambda root: small.bring_up(root, small.config()),
    ),
    "prune and extend": History(
        complete, pruned_and_extended, lambda root: small.bring_up(root, small.config(3))
    ),
    "train block 2 again": History(
        complete,
        lambda root, done: small.bring_up(root, small.config(), from_block=2, done=done),
        lambda root: small.bring_up(root, small.config()),
    ),
    "take another chain's blocks": History(
        two_projects,
        lambda root, done: small.bring_up(root, small.config(), source=root / "other", done=done),
        lambda root: small.bring_up(root, small.config(), source=root / "other"),
    ),
    "start from another chain": History(
        two_projects,
        lambda root, done: small.bring_up(root, child(root), parent=root / "other", done=done),
        lambda root: small.bring_up(root, child(root), parent=root / "other"),
    ),
}


@dataclass(frozen=True)
class Moment:
    """A time at which something was acknowledged: so many operations were done, and this stood."""

    operations: int
    standing: dict[str, str]


@dataclass(frozen=True)
class Recording:
    """What a history did to the disk.

    Args:
        start: a copy of the folder before it.
        operations: those that succeeded, in order.
        moments: the beginning, and every acknowledgement.
    """

    start: Path
    operations: list[Operation]
    moments: list[Moment]

    def sure_at(self, count: int) -> dict[str, str]:
        """What must stand after so many operations: what was acknowledged and not changed since.

        What a step takes away on purpose (weights that waited for their samples) may go while it lasts.
        """
        before = [moment for moment in self.moments if moment.operations <= count]
        after = [moment for moment in self.moments if moment.operations > count]
        standing = before[-1].standing
        if count == before[-1].operations or not after:
            return standing
        return dict(standing.items() & after[0].standing.items())


def record(root: Path, start: Path, name: str, careless: bool = False) -> Recording:
    """Carry out a history, undisturbed.

    Args:
        root: an empty folder.
        start: gets a copy of the folder before the history.
        name: one of :data:`HISTORIES`.
        careless: let the store sync no names in folders, to see that the campaign finds it.
    """
    history, log, moments = HISTORIES[name], [], []
    history.before(root)
    copied(root, start)

    def watcher(operation: Operation, act: Callable[..., Any]) -> Any:
        value = act()
        if operation.kind != "exchange" or value:  # without it, other operations follow
            log.append(operation)
        return value

    def done() -> None:
        length = len(log)
        moments.append(Moment(length, small.standing(root)))
        del log[length:]

    done()
    with watching(root, watcher), ExitStack() as stack:
        if careless:
            stack.enter_context(mock.patch.object(durable, "sync", sync_files))
        history.run(root, done)
        done()
    return Recording(start, log, moments)


def sync_files(path: Path) -> None:
    """A ``sync`` that passes over the folders of a chain."""
    if not path.is_dir() or durable.TEMPORARY in str(path):
        SYNC(path)


@dataclass
class Tally:
    """What was tried.

    Args:
        moments: moments of power cuts, by history.
        legal: different folders that may be left at them.
        started: of these, those that were built and started again.
        seconds: for all of it.
        failures: in words.
    """

    moments: Counter[str] = field(default_factory=Counter)
    legal: Counter[str] = field(default_factory=Counter)
    started: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{name}: {self.moments[name]} moments, {self.legal[name]} legal states, "
            f"{self.started[name]} started again"
            for name in self.moments
        ]
        total = (self.moments.total(), self.legal.total(), self.started.total())
        lines.append("all: {} moments, {} legal states, {} started again".format(*total))
        return "\n".join([*lines, f"{self.seconds:.0f} s; {len(self.failures)} failures"])


def seen(operation: Operation) -> bool:
    """Whether a start would see that an operation was done."""
    paths = [path for path in (operation.path, operation.other) if path]
    return not all(map(unseen, paths))


@cache
def unseen(path: str) -> bool:
    """Whether a start removes what is there, or never reads it."""
    return any(map(hidden, path.split("/")))


@dataclass(frozen=True)
class State:
    """A folder that a power cut may leave.

    Args:
        where: the moment, in words.
        tree: the folder.
        sure: digests of what must stand in it; more than once where more moments may leave it.
    """

    where: str
    tree: Tree
    sure: list[dict[str, str]]


def states(recording: Recording, tally: Tally, name: str) -> list[State]:
    """All legal states of a history, each once."""
    disk, found = Disk(recording.start), dict[frozenset[Any], State]()
    acknowledged = {moment.operations for moment in recording.moments}
    for count, operation in enumerate(recording.operations, start=1):
        disk.apply(operation)
        if not (seen(operation) and operation.kind != "fsync") and count not in acknowledged:
            continue  # a start would see nothing of it; a sync leaves fewer states
        tally.moments[name] += 1
        sure = recording.sure_at(count)
        where = f"{name}, cut after operation {count}, {operation.kind} {operation.path} {operation.other}"
        for tree in disk.trees():
            read = frozenset((path, content) for path, content in tree.items() if not unseen(path))
            state = found.setdefault(read, State(where, tree, []))
            if sure not in state.sure:
                state.sure.append(sure)
    tally.legal[name] += len(found)
    return list(found.values())


def campaign(
    folder: Path, names: tuple[str, ...] = tuple(HISTORIES), part: Part = EVERY, *, careless: bool = False
) -> Tally:
    """Cut the power in these histories; of the states of each, start a part again."""
    begun, tally = time.monotonic(), Tally()
    for number, name in enumerate(names):
        root = folder / f"project-{number}"
        root.mkdir()
        recording = forked(record, root, folder / f"start-{number}", name, careless).got()
        kept = states(recording, tally, name)[part]
        end = recording.moments[-1].standing
        for first in range(0, len(kept), BATCH):
            tally.failures += forked(started_again, root, name, kept[first : first + BATCH], end).got()
        tally.started[name] += len(kept)
    tally.seconds = time.monotonic() - begun
    return tally


def started_again(root: Path, name: str, kept: list[State], end: dict[str, str]) -> list[str]:
    """What is wrong with these states, and with what a start makes of them."""
    failures = []
    for state in kept:
        shutil.rmtree(root)
        build(state.tree, root)
        failures += [f"{state.where}: {what}" for what in judged(root, name, state.sure, end)]
    return failures


def judged(root: Path, name: str, sure: list[dict[str, str]], end: dict[str, str]) -> list[str]:
    """What is wrong with one folder."""
    found, wrong = small.standing(root), small.taken_for_whole(root)
    failures = [f"lost: {what}" for one in sure for what, digest in one.items() if found.get(what) != digest]
    try:
        made = HISTORIES[name].again(root)
    except Exception as error:  # the next start has no reason for any
        return [*failures, f"the next start ended with {error!r}"]
    healed = small.looked_at(root, made)
    return [
        *failures, *(f"taken for whole: {what}" for what in wrong),
        *(f"not as undisturbed: {what}" for what, own in end.items() if healed.standing.get(what) != own),
        *healed.failed,
    ]  # fmt: skip


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--history", choices=HISTORIES, action="append")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=fast_place()) as folder:
        tally = campaign(Path(folder), tuple(words.history or HISTORIES), slice(None, None, words.every))
    print(tally)
    print(*dict.fromkeys(tally.failures), sep="\n")


if __name__ == "__main__":
    main()
