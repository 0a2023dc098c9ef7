"""After a power cut nothing acknowledged is lost, and the next start ends as if there was none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.power_cuts import HISTORIES, campaign

#: in ``make test`` every so many states
SOME = 41


def test_some_states(place: Path) -> None:
    tally = campaign(place, every=SOME)
    assert tally.failures == []
    assert set(tally.moments) == set(HISTORIES)
    assert tally.legal.total() > 1000
    assert tally.started.total() > 25


@pytest.mark.slow
@pytest.mark.parametrize("name", HISTORIES)
def test_whole_campaign_of_power_cuts(name: str, place: Path) -> None:
    tally = campaign(place, (name,))
    print(tally)
    assert tally.failures == []
    assert tally.started[name] == tally.legal[name] > 10


def test_a_store_that_syncs_no_folder_is_found_out(place: Path) -> None:
    """The campaign can fail: the same history without the store's syncs of folders."""
    tally = campaign(place, ("back to the first settings",), every=29, careless=True)
    assert any(": lost: " in failure for failure in tally.failures)
