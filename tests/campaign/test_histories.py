"""Random lives of a chain lose nothing acknowledged, never have two writers, and end with equal digests."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.campaign import small
from tests.campaign.forked import Started, forked
from tests.campaign.histories import Lives, live, made
from tests.campaign.sample import Part

#: lives of the whole campaign, of which ``make test-all`` has one in so many
WHOLE, SOME = 60, 7


def test_some_lives() -> None:
    steps = live(3, 6)
    assert steps.total() > 10
    assert steps["killed"] > 0
    assert len(Lives.digests) > 1


@pytest.mark.slow
def test_campaign_of_lives(part: Callable[[int], Part]) -> None:
    steps = live(len(range(WHOLE)[part(SOME)]), 12)
    print(steps)
    assert len(steps) > 8
    assert len(set(Lives.digests.values())) == 3


def test_a_second_writer_is_seen(place: Path) -> None:
    """What the machine's own lock is for: a process beside which another works."""
    root = place / "project"
    root.mkdir()
    with (place / "project.writer").open("w") as witness:
        fcntl.flock(witness, fcntl.LOCK_EX)
        outcome = forked(made, root, small.config(), place / "notes")
    assert "two writers" in str(outcome.error)


def test_a_process_that_is_killed_has_an_exit_code_and_no_value(place: Path) -> None:
    root = place / "project"
    root.mkdir()
    run = Started(made, root, small.config(), place / "notes")
    run.process.kill()
    outcome = run.outcome()
    assert (outcome.code, outcome.value, outcome.error) == (-9, None, None)
