"""When a chain may end: the certificate's rule, the movement's rule, and neither."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from jko.config.sections import Stop
from jko.config.stop import stop_reason


def figures(*movement: float, certificate: float | None = None) -> list[SimpleNamespace]:
    """Figures of as many blocks as movements, all with a large certificate but the last."""
    others = {"certificate_c": 5.0, "bracket_upper_95": None, "bracket_looks": None}
    blocks = [SimpleNamespace(movement=moved, **others) for moved in movement]
    blocks[-1].certificate_c = certificate
    return blocks


def test_without_a_rule_no_chain_stops() -> None:
    assert stop_reason(Stop(), figures(1.0, 1e-9, certificate=1e-9)) == ""


@pytest.mark.parametrize(("certificate", "stops"), [(0.049, True), (0.05, True), (0.051, False)])
def test_a_certificate_of_at_most_the_tolerance_stops(certificate: float, stops: bool) -> None:
    why = stop_reason(Stop(certificate=0.05), figures(1.0, 0.5, certificate=certificate))
    assert bool(why) == stops


def test_the_reason_names_the_certificate_and_the_tolerance() -> None:
    why = stop_reason(Stop(certificate=0.25), figures(1.0, certificate=0.125))
    assert "certificate" in why
    assert "0.125" in why
    assert "0.25" in why


def test_a_certificate_of_zero_is_a_value_not_a_missing_one() -> None:
    assert stop_reason(Stop(certificate=0.05), figures(1.0, certificate=0.0))


def test_a_certificate_that_does_not_hold_stops_nothing() -> None:
    assert stop_reason(Stop(certificate=100.0), figures(1.0, 0.5, certificate=None)) == ""


def test_only_the_last_block_s_certificate_counts() -> None:
    """A chain that went on after a small certificate was asked to by another rule."""
    blocks = figures(1.0, 0.5, certificate=0.3)
    blocks[0].certificate_c = 0.001
    assert stop_reason(Stop(certificate=0.05), blocks) == ""


@pytest.mark.parametrize(("last", "stops"), [(0.32, True), (0.34, False)])
def test_the_movement_rule_compares_the_last_block_with_all_movement(last: float, stops: bool) -> None:
    """After 2 and 1 units the share is last / (3 + last): .1 at 1/3."""
    assert bool(stop_reason(Stop(movement=0.1), figures(2.0, 1.0, last))) == stops


def test_a_share_equal_to_the_bound_goes_on() -> None:
    assert stop_reason(Stop(movement=0.25), figures(3.0, 1.0)) == ""
    assert stop_reason(Stop(movement=0.25), figures(3.0, 0.999))


def test_the_reason_names_the_share_and_the_bound() -> None:
    why = stop_reason(Stop(movement=0.05), figures(98.0, 2.0))
    assert "0.02" in why
    assert "0.05" in why
    assert "movement" in why


def test_the_first_block_makes_all_movement_and_never_stops_by_it() -> None:
    assert stop_reason(Stop(movement=0.99), figures(1e-9)) == ""


def test_the_first_block_can_stop_by_its_certificate() -> None:
    assert stop_reason(Stop(certificate=0.05), figures(1.0, certificate=0.01))


def test_a_chain_that_never_moved_has_no_share() -> None:
    assert stop_reason(Stop(movement=0.5), figures(0.0, 0.0)) == ""


@pytest.mark.parametrize(
    ("certificate", "last", "word"),
    [(0.01, 1.0, "certificate"), (1.0, 0.001, "movement"), (None, 0.001, "movement"), (1.0, 1.0, "")],
)
def test_either_of_two_rules_is_enough(certificate: float | None, last: float, word: str) -> None:
    why = stop_reason(Stop(certificate=0.05, movement=0.01), figures(1.0, last, certificate=certificate))
    assert bool(why) == bool(word)
    assert word in why


def test_a_plan_that_asks_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'scipy', 'sklearn', 'prefect'}"
    code = f"import sys, jko.config.stop; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("level", "stops"), [(0.049, True), (0.05, True), (0.051, False), (None, False)])
def test_an_upper_level_of_at_most_the_tolerance_stops(level: float | None, stops: bool) -> None:
    blocks = figures(1.0, 0.5)
    blocks[-1].bracket_upper_95 = level
    why = stop_reason(Stop(bracket=0.05, resolution=0.3), blocks)
    assert bool(why) == stops
    assert not stops or "0.3 standard deviations" in why
    assert stop_reason(Stop(), blocks) == ""


@pytest.mark.parametrize(
    ("looks", "said"), [(None, "(95 %, "), (1, "(95 %, "), (8, "(95 % for all 8 blocks together, ")]
)
def test_the_reason_says_for_how_many_blocks_the_level_holds(looks: int | None, said: str) -> None:
    blocks = figures(1.0, 0.5)
    blocks[-1].bracket_upper_95, blocks[-1].bracket_looks = 0.01, looks
    assert stop_reason(Stop(bracket=0.05), blocks).endswith(f"{said}validation rows)")
