"""(A), (B) and what follows, for every kind of λ-convex functional, against closed forms of G and W2."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from jko.certify.evidence import Evidence
from jko.certify.functionals import start_bound
from jko.certify.guarantee import Guarantee, certify_functional
from jko.energies.functional import Entropy, PotentialEnergy, half_square
from jko.energies.ground import ground_of
from tests.affine_chains import Law
from tests.functional_chains import (
    AffineStep,
    Barenblatt,
    Quadratic,
    System,
    exact_chain,
    exactly,
    followed,
    random_chain,
)

NAMES = ("certificate_a", "certificate_b", "certificate_c", "certificate_c_hwi", "certificate_c_propagated",
         "certificate_c_triangle")  # fmt: skip
ROUNDING = 1 - 1e-9
PRECISION = np.array([[1.5, 0.4], [0.4, 1.0]])


def certified(system: System, found: list[Evidence], *, corrected: bool = False) -> Guarantee:
    functional = system.functional
    return certify_functional(found, functional, ground_of(functional, system.dim), corrected=corrected)


def kind_of(system: System) -> str:
    return f"{type(system).__name__} {system.entropies} {system.interaction > 0}"


def check(seeds: range) -> dict[tuple[str, str], list[float]]:
    """No bound of a random chain is below the truth; how many times the truth they are, by functional."""
    ratios = defaultdict(list)
    for seed in seeds:
        system, start, steps = random_chain(seed)
        if not steps:
            continue
        kind, ground = kind_of(system), ground_of(system.functional, system.dim)
        for ot in (False, True):
            end, found = followed(system, start, steps, ot=ot)
            whole, gap = certified(system, found), system.gap(end)
            assert whole.pairing == ("ot" if ot else "block")
            for name in NAMES:
                value = whole.figure(name)
                assert value is not None, (seed, name, whole.reasons[name])
                assert value >= gap * ROUNDING, (seed, kind, name, ot)
                ratios[kind, name].append(value / gap)
            assert whole.w2_bound is not None
            assert whole.w2_bound >= system.distance(end) * ROUNDING, (seed, kind)
        before = start_bound(found[0], ground)
        assert before is not None
        assert before >= system.distance(start) * ROUNDING, (seed, kind)
        ratios[kind, "start"].append(before / system.distance(start))
    return ratios


def check_how_loose(ratios: dict[tuple[str, str], list[float]]) -> None:
    assert len({kind for kind, _ in ratios}) == 7
    for (kind, name), values in ratios.items():
        most = {"start": 2, "certificate_a": 25, "certificate_b": 12, "certificate_c_triangle": 25}.get(
            name, 4
        )
        assert np.median(values) <= most, (kind, name, np.median(values))


def test_every_bound_of_random_chains_holds_and_its_median_is_not_far_off() -> None:
    """Medians over chains, times the truth: (B) ≤ 12, (A) ≤ 25, (C) ≤ 4, the start's W2 ≤ 2."""
    check_how_loose(check(range(200)))


@pytest.mark.slow
def test_every_bound_of_thousands_of_random_chains_holds() -> None:
    check_how_loose(check(range(200, 5000)))


@pytest.mark.parametrize(
    ("system", "factor"),
    [
        (Quadratic(PRECISION, 0.0, 1), 20.0),
        (Quadratic(PRECISION, 0.7, 1), 20.0),
        (Quadratic(PRECISION, 0.0, 2), 20.0),
        (Quadratic(PRECISION, 0.0, 0), 5.0),
        (Quadratic(PRECISION, 0.7, 0), 5.0),
        (Barenblatt(), 5.0),
    ],
    ids=lambda value: kind_of(value) if isinstance(value, Quadratic) else "",
)
@pytest.mark.parametrize("ot", [False, True])
def test_six_exact_steps_bring_a_and_b_near_the_truth(system: System, factor: float, ot: bool) -> None:
    """From a gap 100 times as large at least; ε is 0, so only W2 of the start and the recursion lose."""
    least = getattr(system, "least", None)
    spread = max(system.entropies, 0.05) * np.linalg.inv(system.whole) if least is None else least.cov
    start, steps = exact_chain(system, Law(np.array([0.3, 0.1]), 1.05 * spread), 6)
    end, found = followed(system, start, steps, ot=ot)
    whole, gap = certified(system, found), system.gap(end)
    assert system.gap(start) > 100 * gap
    assert all(own.epsilon_squared is not None and own.epsilon_squared.value < 1e-20 for own in found)
    for name in ("certificate_a", "certificate_b"):
        assert gap <= (whole.figure(name) or 0.0) <= factor * 1.1 * gap


def test_a_power_energys_asymmetry_is_paid_for_by_its_pressure() -> None:
    """One of many chains of turning maps of Barenblatt's profile on which (B′) without κ is false."""
    system, start, steps = random_chain(1809)
    assert isinstance(system, Barenblatt)
    end, found = followed(system, start, steps)
    free = certified(system, [replace(own, kappa=exactly(0)) for own in found])
    assert free.certificate_b is not None
    assert free.certificate_b < 0.2 * system.gap(end)
    whole = certified(system, found)
    assert whole.certificate_b is not None
    assert whole.certificate_b >= system.gap(end)


def test_the_numbers_of_steps_count_the_convexity() -> None:
    """W2 ≤ 2 ε/λ after N steps of (B): with equal ε, γ and start that is later for λ = 1/2 than for 1."""
    counts = []
    for lam in (1.0, 0.5):
        system = Quadratic(lam * np.eye(1), 0.0, 0)
        _, found = followed(system, Law(np.array([3.0]), np.eye(1)), _shrink())
        own = replace(found[0], epsilon_squared=exactly(0.01), fisher_before=None)
        whole = certified(system, [own])
        rate = math.log1p(2 * 0.5 * lam)
        start = math.sqrt(10.0)
        assert whole.sharp_steps == math.ceil(2 * math.log(start * lam / 0.1) / rate)
        counts.append(whole.sharp_steps)
    assert counts[1] > counts[0]


def _shrink() -> list[AffineStep]:
    return exact_chain(Quadratic(np.eye(1), 0.0, 0), Law(np.array([1.0]), 0.1 * np.eye(1)), 1)[1]


def test_without_convexity_every_bound_gives_the_reason() -> None:
    functional = PotentialEnergy(lambda x: -half_square(x), None, "hill") + Entropy()
    _, found = followed(Quadratic(np.eye(1), 0.0, 1), Law(np.array([3.0]), np.eye(1)), _shrink())
    whole = certify_functional(found, functional, None)
    assert [whole.figure(name) for name in NAMES] == [None] * len(NAMES)
    assert {whole.reasons[name] for name in NAMES} == {"no λ is known for which the hill is λ-convex"}
    assert (whole.theorem_steps, whole.kl_bound, whole.w2_bound) == (None, None, None)


def test_without_a_measured_start_a_and_b_say_so() -> None:
    system = Quadratic(np.eye(1), 0.0, 1)
    _, found = followed(system, Law(np.array([3.0]), np.eye(1)), _shrink())
    whole = certified(system, [replace(found[0], from_lowest=None, fisher_before=None)])
    assert (whole.certificate_a, whole.certificate_b, whole.theorem_steps) == (None, None, None)
    assert "nothing measured bounds W2" in whole.reasons["certificate_b"]
    assert whole.certificate_c is not None
    assert whole.certificate_c_hwi is not None


def test_rows_drawn_again_carry_kl_on_and_not_w2() -> None:
    """Behind a correction W2 is known through KL only: bounds are as large or larger, and still hold."""
    system = Quadratic(PRECISION, 0.0, 1)
    start, steps = exact_chain(system, Law(np.array([0.3, 0.1]), np.linalg.inv(PRECISION)), 4)
    end, found = followed(system, start, steps)
    found = [found[0], *(replace(own, fisher_before=None, from_lowest=exactly(1e6)) for own in found[1:])]
    plain, corrected = certified(system, found), certified(system, found, corrected=True)
    assert plain.certificate_b is not None
    assert corrected.certificate_b is not None
    assert corrected.certificate_b >= plain.certificate_b >= system.gap(end)
    assert corrected.w2_bound == pytest.approx(math.sqrt(2 * (corrected.kl_bound or 0.0) / system.convexity))


def test_a_known_constant_withdraws_what_it_contradicts() -> None:
    system = Quadratic(np.eye(1), 0.0, 1)
    _, found = followed(system, Law(np.array([3.0]), np.eye(1)), _shrink())
    whole = certified(system, [replace(found[0], kl_measured=exactly(1e6))])
    assert {whole.causes[name] for name in ("certificate_a", "certificate_b", "certificate_c")} == {
        "withdrawn"
    }
