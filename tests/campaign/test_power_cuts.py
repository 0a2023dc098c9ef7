"""After a power cut nothing acknowledged is lost, and the next start ends as if there was none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.campaign.power_cuts import HISTORIES, campaign
from tests.campaign.sample import Part

#: of the states one in so many: in ``make test``, where only two histories are cut, and in ``make test-all``
FEW, SOME = 41, 17
#: a chain that is made, and one that is replaced
QUICK = ("train", "other settings")


def test_some_states(place: Path) -> None:
    tally = campaign(place, QUICK, slice(0, None, FEW))
    assert tally.failures == []
    assert set(tally.moments) == set(QUICK)
    assert tally.legal.total() > 400
    assert tally.started.total() > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", HISTORIES)
def test_campaign_of_power_cuts(name: str, place: Path, part: Callable[[int], Part]) -> None:
    tally = campaign(place, (name,), part(SOME))
    print(tally)
    assert tally.failures == []
    assert tally.legal[name] > 10
    assert tally.started[name] == len(range(tally.legal[name])[part(SOME)])


@pytest.mark.slow
def test_a_store_that_syncs_no_folder_is_found_out(place: Path) -> None:
    """The campaign can fail: the same history without the store's syncs of folders."""
    tally = campaign(place, ("back to the first settings",), slice(0, None, 29), careless=True)
    assert any(": lost: " in failure for failure in tally.failures)
