"""Damaged files of finished chains: named before they are used, healed by the command that made them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.campaign.chains import KINDS
from tests.campaign.damage import FILE_WAYS, FOLDER_WAYS, Bench, Case, carry_out, draw_case, told
from tests.campaign.mutations import MUTATIONS, Mutation, noticed_by

#: cases of ``make test`` for each chain of it, and of ``make test-all`` for all
FAST, WHOLE = 75, 2000


@pytest.fixture(scope="module", params=["moons", "corrected"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(KINDS[request.param], tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def moons(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(KINDS["moons"], tmp_path_factory.mktemp("mutated"))


def test_no_damage_gives_a_wrong_number_and_all_is_healed(bench: Bench) -> None:
    outcomes = [bench.carry_out(draw_case(bench, number)) for number in range(WHOLE, WHOLE + FAST)]
    assert [line for one in outcomes for line in told(one)] == []
    assert {one.case.way for one in outcomes} == {*FILE_WAYS, *FOLDER_WAYS}
    assert sum(one.noticed for one in outcomes) > FAST / 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_two_thousand_damages_of_every_kind_of_chain(kind: str, tmp_path: Path) -> None:
    outcomes = list(carry_out(WHOLE, tmp_path, 0, (kind,)))
    assert len(outcomes) >= WHOLE // len(KINDS)
    assert [line for one in outcomes for line in told(one)] == []


def some(bench: Bench, wanted: Callable[[Case], bool]) -> range:
    """The first case that is wanted, as a range."""
    number = next(number for number in range(5000) if wanted(draw_case(bench, number)))
    return range(number, number + 1)


def test_the_campaign_sees_a_seal_that_is_not_checked(moons: Bench) -> None:
    numbers = some(moons, lambda case: case.place.endswith("certificate.json") and case.way == "swapped")
    assert not moons.carry_out(draw_case(moons, numbers[0])).faults
    assert noticed_by(MUTATIONS[1], moons, numbers)


def test_the_campaign_sees_files_that_are_not_hashed(moons: Bench) -> None:
    numbers = some(moons, lambda case: case.place.endswith("weights.safetensors") and case.way == "flipped")
    assert not moons.carry_out(draw_case(moons, numbers[0])).faults
    assert noticed_by(MUTATIONS[2], moons, numbers)


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.of[1] + ": " + mutation.says)
def test_every_check_that_is_taken_out_is_noticed(mutation: Mutation, moons: Bench) -> None:
    assert noticed_by(mutation, moons, range(60))
