"""A chain whose n-th operation on files fails ends with a known error, and the next start heals it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.campaign.forked import forked
from tests.campaign.io_faults import WAYS, campaign, disturbed, ended
from tests.campaign.trees import state_of

#: in ``make test`` every so many; a prime, so that all kinds of operations are met
SOME = 43


def really() -> None:
    """End this process without a word."""
    os._exit(77)


def test_some_operations(place: Path) -> None:
    tally = campaign(place, WAYS, SOME)
    assert tally.failures == []
    assert set(tally.points) == set(WAYS)
    assert tally.points.total() > 80


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_whole_campaign_of_operations(way: str, place: Path) -> None:
    tally = campaign(place, (way,))
    print(tally)
    assert tally.failures == []
    assert tally.points[way] > 500


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
