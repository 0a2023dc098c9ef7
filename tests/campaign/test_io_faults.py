"""A chain whose n-th operation on files fails ends with a known error, and the next start heals it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.campaign.forked import forked
from tests.campaign.io_faults import WAYS, campaign, disturbed, ended
from tests.campaign.sample import Part
from tests.campaign.trees import state_of

#: one in so many in ``make test`` and in ``make test-all``; primes, so that all kinds of operations are met
FEW, SOME = 211, 23


def really() -> None:
    """End this process without a word."""
    os._exit(77)


def test_some_operations(place: Path) -> None:
    tally = campaign(place, WAYS, slice(0, None, FEW))
    assert tally.failures == []
    assert set(tally.points) == set(WAYS)
    assert tally.points.total() > 20


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_campaign_of_operations(way: str, place: Path, part: Callable[[int], Part]) -> None:
    tally = campaign(place, (way,), part(SOME))
    print(tally)
    assert tally.failures == []
    assert tally.points[way] >= len(range(500)[part(SOME)])


def test_a_real_end_leaves_what_a_played_one_does(place: Path) -> None:
    """Of the data's preparation; the first write of it, too, of which half is there.

    How many files lie there under temporary names is not compared: arrays are written by several threads.
    """
    for number in (8, 30, 100):
        states = []
        for real in (True, False):
            root = place / "project"
            root.mkdir()
            if real:
                assert forked(disturbed, root, "exit", number, 0, really).code == 77
            else:
                said, wrong = forked(ended, root, "exit", number, 0, "").got()
                assert (said, wrong) == ("by the end of the process", [])
            states.append(state_of(root))
            shutil.rmtree(root)
        assert states[0] == states[1]
