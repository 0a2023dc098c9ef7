"""Damaged files of finished chains: named before they are used, healed by the command that made them."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.campaign.chains import KINDS
from tests.campaign.damage import Bench, Case, carry_out, draw_case, told
from tests.campaign.mutations import MUTATIONS, noticed_by
from tests.campaign.sample import Part
from tests.campaign.ways import FILE_WAYS, FOLDER_WAYS

#: cases of the whole, of which ``make test-all`` carries out one in so many
WHOLE, SOME = 2000, 17


@pytest.fixture(scope="module")
def moons(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(KINDS["moons"], tmp_path_factory.mktemp("moons"))


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(KINDS["corrected"], tmp_path_factory.mktemp("corrected"))


@pytest.fixture(params=["moons", pytest.param("corrected", marks=pytest.mark.slow)])
def bench(request: pytest.FixtureRequest) -> Bench:
    return request.getfixturevalue(request.param)


def of_each_way(bench: Bench) -> list[Case]:
    """The first case of every way, from those that the whole campaign does not carry out."""
    drawn = [draw_case(bench, number) for number in range(WHOLE, WHOLE + 200)]
    return [next(case for case in drawn if case.way == way) for way in (*FILE_WAYS, *FOLDER_WAYS)]


def test_no_damage_gives_a_wrong_number_and_all_is_healed(bench: Bench) -> None:
    outcomes = [bench.carry_out(case) for case in of_each_way(bench)]
    assert [line for one in outcomes for line in told(one)] == []
    assert sum(one.noticed for one in outcomes) > len(outcomes) / 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_campaign_of_damages(kind: str, tmp_path: Path, part: Callable[[int], Part]) -> None:
    outcomes = list(carry_out(WHOLE, tmp_path, 0, (kind,), part(SOME)))
    assert len(outcomes) >= len(range(WHOLE // len(KINDS))[part(SOME)])
    assert [line for one in outcomes for line in told(one)] == []


def some(bench: Bench, wanted: Callable[[Case], bool], first: int = 0) -> range:
    """The first case that is wanted, from a number on, as a range."""
    number = next(number for number in range(first, 5000) if wanted(draw_case(bench, number)))
    return range(number, number + 1)


#: cases that are tried for a check that is gone
TRIES = 4
#: mutations by number, with a part of the place and the way of a case that notices each
NOTICED = (
    (1, "certificate.json", "swapped"),
    (2, "weights.safetensors", "flipped"),
    (0, "chain/measures", "garbled"),
    (3, "weights.safetensors", "deleted"),
    (4, "chain/blocks/2-*/COMMIT.json", "garbled"),
    (6, "chain/blocks/2", "folder swapped"),
    (9, "figures.json", "garbled"),
)


def notices(bench: Bench, number: int, part: str, way: str) -> bool:
    """Whether such cases are clean, and one of a few fails without the check: some bytes say nothing."""
    first = 0
    for _ in range(TRIES):
        numbers = some(bench, lambda case: fnmatch(case.place, f"*{part}*") and case.way == way, first)
        assert not bench.carry_out(draw_case(bench, numbers[0])).faults
        if noticed_by(MUTATIONS[number], bench, numbers):
            return True
        first = numbers[0] + 1
    return False


@pytest.mark.parametrize(("number", "part", "way"), NOTICED[:2])
def test_the_campaign_sees_a_check_that_is_gone(moons: Bench, number: int, part: str, way: str) -> None:
    assert notices(moons, number, part, way)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "part", "way"), NOTICED[2:])
def test_the_campaign_sees_every_check_that_is_gone(moons: Bench, number: int, part: str, way: str) -> None:
    assert notices(moons, number, part, way)
