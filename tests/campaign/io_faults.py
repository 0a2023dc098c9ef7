"""The n-th operation on files fails, for every n; the next start must end as if nothing had happened.

In the manner of SQLite's tests: a small chain is made once and its operations are counted; then the n-th
fails, for n = 1, 2, …, once or with all that follow, with an error or with the end of the process. A write
that fails has written its first half. Operations between two results (a task that returned) are tried from
a copy of the folder as the first of them left it: a start brings every run there without doing it again.

The end of a process is played: after it nothing that the process still tries has an effect. That a real end
leaves the same files is tested. ``python -m tests.campaign.io_faults [--every N] [--way WAY]`` prints counts.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jko.core.errors import JkoError
from tests.campaign import small
from tests.campaign.forked import forked
from tests.campaign.sample import EVERY, Part
from tests.campaign.trees import copied, fast_place, state_of
from tests.campaign.watched import Operation, watching

#: cases that one process tries before a new one is taken
BATCH = 60
#: operations that need room on the disk
TAKES_ROOM = frozenset({"create", "write", "fsync", "rename", "exchange", "link", "mkdir"})
ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
WAYS = ("exit", "EIO once", "EIO for good", "ENOSPC once", "ENOSPC for good")


def can_fail(way: str, operation: Operation) -> bool:
    """Whether an operation can fail in this way."""
    if way.startswith("ENOSPC"):
        return operation.kind in TAKES_ROOM
    return way != "exit" or operation.kind != "read"  # a process that ends before a read ended before a write


class EndedError(BaseException):
    """The process has ended: no handler of errors runs any more."""


class FailsAt:
    """Lets the n-th operation fail.

    Args:
        way: one of :data:`WAYS`.
        number: 1 for the first operation after so many results.
        results: how many results come first.
        end: called where the process ends; after it nothing has an effect any more.
    """

    def __init__(self, way: str, number: int, results: int, end: Callable[[], None] = lambda: None) -> None:
        self.way, self.number, self.results, self.end = way, number, results, end
        self.seen, self.ended = 0, False

    def one_done(self) -> None:
        """A result is there."""
        self.results -= 1

    def __call__(self, operation: Operation, act: Callable[..., Any]) -> Any:
        if self.ended:
            raise EndedError
        if self.results > 0 or not can_fail(self.way, operation):
            return act()
        self.seen += 1
        if self.seen < self.number or (self.seen > self.number and self.way.endswith("once")):
            return act()
        if operation.kind == "write":
            act(operation.data[: len(operation.data) // 2])
        if self.way == "exit":
            self.end()
            self.ended = True
            raise EndedError
        number = ERRORS[self.way.partition(" ")[0]]
        raise OSError(number, os.strerror(number), operation.path)


@dataclass(frozen=True)
class Segment:
    """What happens between two results.

    Args:
        start: a copy of the folder as it was at its beginning.
        results: how many results came before.
        stays: digests of what is whole at its beginning and at its end.
        operations: what is done to files, in order.
    """

    start: Path
    results: int
    stays: dict[str, str]
    operations: tuple[Operation, ...]


def record(root: Path, copies: Path) -> tuple[list[Segment], dict[str, str], str]:
    """Make the chain once, undisturbed, and then every part of it again from where the one before it ended.

    Returns:
        Its segments, what stands at its end, and its digest.
    """
    whole: list[tuple[Path, dict[str, str]]] = []
    copies.mkdir()

    def done() -> None:
        whole.append((copied(root, copies / str(len(whole))), small.standing(root)))

    done()
    made = small.bring_up(root, small.config(), done=done)
    segments = []
    for number, ((start, before), (_, after)) in enumerate(itertools.pairwise(whole)):
        shutil.rmtree(root)
        copied(start, root)
        segments.append(Segment(start, number, both(before, after), operations(root, number)))
    return segments, whole[-1][1], made.digest


def operations(root: Path, results: int) -> tuple[Operation, ...]:
    """What a start does to files between so many results and the next."""
    log: list[Operation] = []
    seen = 0

    def watcher(operation: Operation, act: Callable[..., Any]) -> Any:
        if seen == results:
            log.append(operation)
        return act()

    def done() -> None:
        nonlocal seen
        seen += 1

    with watching(root, watcher):
        small.bring_up(root, small.config(), done=done)
    return tuple(log)


def both(one: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    """What two dictionaries agree on."""
    return dict(one.items() & other.items())


def disturbed(
    root: Path, way: str, number: int, results: int, end: Callable[[], None] = lambda: None
) -> small.Made:
    """Make or continue the chain while an operation fails."""
    fails = FailsAt(way, number, results, end)
    with watching(root, fails):
        return small.bring_up(root, small.config(), done=fails.one_done)


@dataclass
class Tally:
    """What was tried.

    Args:
        points: runs disturbed, by way.
        ends: how they ended, in words.
        states: different folders that were left, each started again.
        seconds: for all of it.
        failures: in words.
    """

    points: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    states: set[str] = field(default_factory=set)
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ways = ", ".join(f"{count} by {way}" for way, count in self.points.items())
        ends = ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()))
        return (
            f"{self.points.total()} points ({ways}); ended: {ends}; {len(self.states)} states started again; "
            f"{self.seconds:.0f} s; {len(self.failures)} failures"
        )


def points(segments: list[Segment], way: str) -> Iterator[tuple[Segment, int, Operation]]:
    """The operations to fail, with their numbers in their segments."""
    for segment in segments:
        kept = [operation for operation in segment.operations if can_fail(way, operation)]
        for number, operation in enumerate(kept, start=1):
            yield segment, number, operation


def campaign(folder: Path, ways: tuple[str, ...] = WAYS, part: Part = EVERY) -> Tally:
    """Let every n-th operation fail in these ways, or a part of them."""
    begun, tally, root = time.monotonic(), Tally(), folder / "project"
    root.mkdir()
    recording = forked(record, root, folder / "copies").got()
    for way in ways:
        cases = list(points(recording[0], way))[part]
        for first in range(0, len(cases), BATCH):
            tally = forked(tried, tally, recording, root, way, cases[first : first + BATCH]).got()
    tally.seconds = time.monotonic() - begun
    return tally


def tried(
    tally: Tally,
    recording: tuple[list[Segment], dict[str, str], str],
    root: Path,
    way: str,
    cases: list[tuple[Segment, int, Operation]],
) -> Tally:
    """A tally with some more cases."""
    _, end, digest = recording
    for segment, number, operation in cases:
        where = f"{way} at {operation.kind} {operation.path} ({segment.results} results before)"
        shutil.rmtree(root)
        copied(segment.start, root)
        said, wrong = ended(root, way, number, segment.results, digest)
        tally.points[way] += 1
        tally.ends[said] += 1
        state = state_of(root)
        if state not in tally.states:
            tally.states.add(state)
            wrong += started_again(root, segment.stays, end)
        tally.failures += [f"{where}: {what}" for what in wrong]
    return tally


def ended(root: Path, way: str, number: int, results: int, digest: str) -> tuple[str, list[str]]:
    """How a disturbed run ends, in a word or two, and what is wrong with that."""
    try:
        made = disturbed(root, way, number, results)
    except EndedError:
        return "by the end of the process", []
    except JkoError as error:
        return f"with {type(error).__name__}", []
    except OSError as error:
        foreign = error.errno not in ERRORS.values()
        return f"with {type(error).__name__}", [f"ended with {error!r}"] if foreign else []
    except Exception as error:  # no other is foreseen
        return f"with {type(error).__name__}", [f"ended with {error!r}"]
    return "all the same", [] if made.digest == digest else ["ended with another digest"]


def started_again(root: Path, stays: dict[str, str], end: dict[str, str]) -> list[str]:
    """What is wrong with a folder that a fault has left, and with what the next start makes of it."""
    found, wrong = small.standing(root), small.taken_for_whole(root)
    try:
        healed = small.heal(root, small.config())
    except Exception as error:  # the next start has no reason for any
        return [f"the next start ended with {error!r}"]
    lost = [name for name, digest in stays.items() if found.get(name) != digest]
    other = [name for name, digest in end.items() if healed.standing.get(name) != digest]
    return [
        *(f"lost: {name}" for name in lost), *(f"taken for whole: {name}" for name in wrong),
        *(f"not as undisturbed: {name}" for name in other), *healed.failed,
    ]  # fmt: skip


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--way", choices=WAYS, action="append")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=fast_place()) as folder:
        tally = campaign(Path(folder), tuple(words.way or WAYS), slice(None, None, words.every))
    print(tally)
    print(*tally.failures, sep="\n")


if __name__ == "__main__":
    main()
