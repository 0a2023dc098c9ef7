"""Every field of a guarantee from given figures: the values, how each is known, and why one is not there."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from jko.certify import guarantee as whole
from jko.certify.bound_rules import ASYMMETRIC, FREE, after_step, steps_asked, triangle_bound
from jko.certify.bounds import StepBounds, hwi_bound
from jko.certify.certificates import CERTIFICATES, Guarantee, Withheld
from jko.certify.evidence import Evidence
from jko.certify.functionals import NO_START, Descent, descent, recursion, start_bound, upper_signed
from jko.certify.guarantee import (
    OF_THE_REFERENCE,
    ONLY_ESTIMATES,
    SURE,
    candidates,
    certify,
    certify_functional,
)
from jko.certify.status import Cause
from jko.energies.functional import Entropy, Functional, PotentialEnergy, half_square
from jko.energies.ground import Ground
from jko.laws.densities import Estimate
from jko.statistics.upper_limit import margin_of
from tests.jko.certify.measured import block

A, B, C, HWI, ON, TRIANGLE = CERTIFICATES
NEITHER = Functional((PotentialEnergy(lambda x: 2.5 * half_square(x), 2.5, "bowl"),))
DIVERGENCE = NEITHER + Entropy()
GROUND = Ground(2.5, torch.zeros(3), slack=0.1, spread=0.5, floor=-math.inf)
#: 4.1 · 2 + 3, W2² of the start; ε² two errors up; the budgets of both recursions
START, ERROR = 11.2, 0.32
#: standard errors where the best of the limits of one block and of two is taken, and of two limits
FAR, FARTHER, OF_TWO = margin_of(5), margin_of(8), margin_of(2)
#: (C) of a block in that case
LEAST = (0.6 + FAR * 0.07) / 2
BUDGET, REST = START + 0.8 * ERROR + 0.184 - 0.66**2, START + 0.184 - 0.66**2


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-9)


def started(**changed: object) -> Evidence:
    return block(**{"from_lowest": Estimate(0.8, 0.05), "fisher_before": Estimate(3.0, 0.1), **changed})


def test_every_field_of_one_block() -> None:
    found = certify([block(kl_lower=Estimate(0.3, 0.1), kl_lower_mixture=Estimate(0.2, 0.01))], 3)
    epsilon = math.sqrt(ERROR)
    ratio = 2 * math.log(math.sqrt(START) / epsilon)
    assert found.figure(A) == near(BUDGET / 0.8)
    assert found.figure(B) == near((REST + 0.16 * ERROR / 1.4) / 0.8)
    assert found.figure(C) == found.figure(HWI) == found.figure(ON) == near(0.37)
    assert found.kl_bound == found.kl_estimate == near(LEAST)
    assert found.figure(TRIANGLE) == near((epsilon + 1.85) ** 2 / 2)
    assert (found.certificate_c_estimate, found.certificate_c_se) == (near(0.3), near(0.035))
    assert (found.kl_lower_bound, found.kl_lower_bound_se) == (0.2, 0.01)
    assert found.kl_lower_bound_sure == near(0.2 - OF_TWO * 0.01)
    assert found.w2_bound == near(math.sqrt(2 * LEAST))
    assert found.tv == near(math.sqrt(LEAST / 2))
    assert found.theorem_steps == math.ceil(ratio / math.log(1.2))
    assert found.sharp_steps == math.ceil(ratio / math.log(1.8))
    assert found.epsilon_largest == near(epsilon)
    assert found.entropy_interval == (near(1.78 - 0.37), near(2.02))
    assert found.reasons == {"kl_bound": ONLY_ESTIMATES.reason}
    assert (found.pairing, found.causes) == ("block", {"kl_bound": Cause.UNSEEN})
    estimated = (*CERTIFICATES, "theorem_steps", "sharp_steps", "epsilon_largest", "entropy_interval",
                 "kl_bound", "kl_estimate", "tv", "w2_bound")  # fmt: skip
    assert found.statuses == {**dict.fromkeys(estimated, "estimated"), "kl_lower_bound": "measured"}


def test_the_surer_of_two_lower_bounds_is_taken() -> None:
    first = certify([block(kl_lower=Estimate(0.3, 0.04), kl_lower_mixture=Estimate(0.2, 0.01))], 3)
    assert (first.kl_lower_bound, first.kl_lower_bound_se) == (0.3, 0.04)
    assert certify([block(kl_lower_mixture=Estimate(0.2, 0.01))], 3).kl_lower_bound == 0.2
    assert certify([block()], 3).kl_lower_bound is None


def test_hwi_takes_the_smallest_w2_that_is_known() -> None:
    """√(2 · .1 + 1) of independent draws against √I = √4.14."""
    own = block(fisher=Estimate(4.0, 0.07), potential=Estimate(0.1, 0.0))
    found = certify([own], 1)
    assert found.w2_bound == near(math.sqrt(1.2))
    assert found.figure(HWI) == near(math.sqrt(1.2 * 4.14) - 0.6)
    assert found.figure(C) == near(2.07)


def test_a_w2_of_a_bound_that_something_contradicts_is_not_taken() -> None:
    """(A) and (B) are below the KL that is shown, so that √(2 · .1 + 1) is no bound either."""
    own = block(
        fisher=Estimate(90.0, 0.0), potential_before=Estimate(0.1, 0.0), potential=Estimate(0.1, 0.0),
        kl_lower=Estimate(9.0, 0.0),
    )  # fmt: skip
    found = certify([own], 1)
    assert (found.figure(A), found.figure(B)) == (None, None)
    assert found.w2_bound == near(math.sqrt(90))
    assert found.figure(HWI) == found.figure(C) == 45
    assert "(1.51 nats)" in found.reasons[A]


def test_every_field_of_two_blocks_in_ot_pairing() -> None:
    """The first block's (C) .1 less .42, and 3 after the second: .1 is contradicted by it, and withdrawn."""
    given = {"epsilon_squared_ot": Estimate(0.04, 0.0), "epsilon_squared": Estimate(0.5, 0.0)}
    first = block(**given, fisher=Estimate(2.0, 0.0))
    found = certify([first, block(**given, fisher=Estimate(6.0, 0.0), nll=Estimate(1.5, 0.01))], 3)
    assert found.pairing == "ot"
    assert found.figure(ON) == near(1.0 - 0.5 + OF_TWO * 0.04)
    assert found.figure(C) == 3
    assert found.kl_bound == near(1.0 - 0.5 + FARTHER * 0.04)
    assert found.epsilon_largest == near(0.2)
    assert found.entropy_interval == (near(1.9 - OF_TWO * 0.06 - 1.0), near(1.5 + OF_TWO * 0.01))
    mixed = certify([first, block()], 3)
    assert mixed.pairing == "block"


def test_a_free_block_keeps_c_and_loses_the_rest() -> None:
    found = certify([block(step_size=math.inf)], 3)
    gone = {A, B, TRIANGLE, "theorem_steps", "sharp_steps", "epsilon_largest"}
    estimated = {"kl_bound": ONLY_ESTIMATES.reason}
    assert found.reasons == {**dict.fromkeys(gone, FREE.reason), **estimated}
    assert found.causes == {**dict.fromkeys(gone, Cause.CONDITION), "kl_bound": Cause.UNSEEN}
    assert (found.kl_bound, found.w2_bound) == (near(LEAST), near(math.sqrt(2 * LEAST)))
    assert (found.theorem_steps, found.sharp_steps, found.epsilon_largest) == (None, None, None)
    assert {found.statuses[name] for name in gone} == {"fails"}


def test_where_nothing_is_known_of_the_score_a_and_b_are_left() -> None:
    given = {"epsilon_squared_ot": Estimate(0.04, 0.0), "fisher": None, "epsilon_squared": None}
    found = certify([block(**given, missing="9 rows")], 3)
    reason = "the Fisher information could not be estimated: 9 rows"
    assert found.reasons == {
        C: reason, HWI: reason, ON: reason, TRIANGLE: reason, "entropy_interval": f"no lower end: {reason}",
        "kl_bound": ONLY_ESTIMATES.reason,
    }  # fmt: skip
    assert set(found.causes.values()) == {Cause.UNSEEN}
    assert {found.statuses[name] for name in (C, HWI, ON, TRIANGLE)} == {"unknown"}
    assert found.statuses["entropy_interval"] == "measured"
    assert found.entropy_interval == (None, near(2.02))
    assert (found.certificate_c_estimate, found.certificate_c_se) == (None, None)
    budget = START + 0.8 * 0.04
    assert found.figure(A) == near(budget / 0.8)
    assert found.w2_bound == near((0.08 + math.sqrt(0.0064 + 1.8 * (2 * (4 + FAR * 0.05) + 3))) / 1.8)


def test_of_unfit_data_every_name_says_so() -> None:
    found = certify([block()], 3, unfit="jumps")
    names = {*CERTIFICATES, "theorem_steps", "sharp_steps", "epsilon_largest"}
    assert {name for name, reason in found.reasons.items() if reason == "jumps"} == names
    assert {found.causes[name] for name in names} == {Cause.UNFIT}
    derived = ("kl_bound", "tv", "w2_bound")
    assert {found.reasons[name] for name in derived} == {"no certificate holds"}
    assert {found.causes[name] for name in derived} == {Cause.CONDITION}
    assert found.reasons["entropy_interval"] == "no lower end: jumps"
    assert (found.w2_bound, found.tv, found.kl_bound) == (None, None, None)


def test_how_the_inputs_are_known_decides_how_a_bound_is() -> None:
    exact = {"exact_epsilon": True, "exact_fisher": True}
    both = certify([block(**exact)], 3).statuses
    assert set(both.values()) == {"measured"}
    error = certify([block(exact_epsilon=True)], 3).statuses
    assert {name for name, how in error.items() if how == "measured"} == {
        A, B, TRIANGLE, "theorem_steps", "sharp_steps", "epsilon_largest", "kl_lower_bound",
        "kl_bound", "tv", "w2_bound",
    }  # fmt: skip
    fisher = certify([block(exact_fisher=True)], 3).statuses
    assert {name for name, how in fisher.items() if how == "measured"} == {
        C, ON, "entropy_interval", "kl_lower_bound", "kl_bound", "tv", "w2_bound"
    }  # fmt: skip
    ot = certify([block(**exact, epsilon_squared_ot=Estimate(0.04, 0.0))], 3).statuses
    assert {ot[name] for name in (A, B, HWI)} == {"estimated"}
    first = certify([block(exact_epsilon=False, exact_fisher=False), block(**exact)], 3).statuses
    assert {name for name, how in first.items() if how == "measured"} == {C, TRIANGLE, "kl_lower_bound"} | {
        name for name in ("kl_bound", "tv", "w2_bound") if first[name] == "measured"
    }


def test_what_bounds_the_start_is_the_smallest_of_three() -> None:
    """√3.2/2.5, √.9 + .6, √(2 · (4.1 − 1)/2.5)."""
    assert start_bound(started(), GROUND) == near(math.sqrt(3.2) / 2.5)
    assert start_bound(
        block(fisher_before=Estimate(30.0, 0.1), from_lowest=Estimate(0.8, 0.05)), GROUND
    ) == near(math.sqrt(0.9) + 0.6)
    assert start_bound(block(), GROUND) is None
    power = Ground(2.5, torch.zeros(3), slack=0.1, spread=None, floor=1.0)
    assert start_bound(block(), power) == near(math.sqrt(2.48))
    assert start_bound(block(from_lowest=Estimate(0.0, 0.0)), power) == near(math.sqrt(2.48))
    assert start_bound(block(potential_before=Estimate(0.5, 0.05)), power) == 0
    assert start_bound(block(potential_before=Estimate(1.4, 0.05)), power) == near(math.sqrt(0.4))
    assert start_bound(block(), Ground(2.5, torch.zeros(3), 0.1, None, -math.inf)) is None
    assert start_bound(block(from_lowest=Estimate(0.1, math.inf)), GROUND) is None
    assert start_bound(block(), Ground(2.5, torch.zeros(3), 0.1, 0.5, 1.0)) is None
    assert upper_signed(block(potential_before=Estimate(-4.0, 0.05))) == near(-3.9)


def test_a_recursion_takes_the_smaller_of_the_step_and_kl() -> None:
    """With R = −.0096 KL is .02, and √(2 · .02/2.5) below what the step says of W2."""
    own = started(movement=Estimate(0.88, 0.02))
    w2 = math.sqrt(3.2) / 2.5
    for name in (A, B):
        step = after_step(own, w2, name, ot=False, convexity=2.5)
        assert isinstance(step, StepBounds)
        found = recursion([own], GROUND, name, ot=False, corrected=False)
        assert found == StepBounds(min(step.w2, math.sqrt(2 * step.kl / 2.5)), step.kl)
        assert (found.w2 < step.w2) == (name == B)


def test_a_recursion_goes_on_from_the_block_before() -> None:
    own, far = started(movement=Estimate(0.88, 0.02)), block(movement=Estimate(0.1, 0.0))
    for name in (A, B):
        one = recursion([own], GROUND, name, ot=False, corrected=False)
        assert isinstance(one, StepBounds)
        two = recursion([own, far], GROUND, name, ot=False, corrected=False)
        assert isinstance(two, StepBounds)
        step = after_step(far, one.w2, name, ot=False, convexity=2.5)
        assert isinstance(step, StepBounds)
        assert two == StepBounds(min(step.w2, math.sqrt(2 * step.kl / 2.5)), step.kl)
        redrawn = recursion([own, far], GROUND, name, ot=False, corrected=True)
        assert isinstance(redrawn, StepBounds)
        step = after_step(far, math.sqrt(2 * one.kl / 2.5), name, ot=False, convexity=2.5)
        assert isinstance(step, StepBounds)
        assert redrawn.kl == step.kl
        near_start = started(movement=Estimate(0.1, 0.0), fisher_before=Estimate(1e-4, 0.0))
        assert recursion([own, near_start], GROUND, name, ot=False, corrected=False) == recursion(
            [near_start], GROUND, name, ot=False, corrected=False
        )


def test_a_recursion_begins_anew_where_a_law_is_measured() -> None:
    bad, far = started(kappa=None), block(movement=Estimate(0.1, 0.0))
    assert recursion([bad, far], GROUND, A, ot=False, corrected=False) is NO_START
    anew = recursion([bad, started()], GROUND, A, ot=False, corrected=False)
    assert anew == recursion([started()], GROUND, A, ot=False, corrected=False)
    assert recursion([started(), bad], GROUND, A, ot=False, corrected=False) is ASYMMETRIC
    ot = started(epsilon_squared=None, epsilon_squared_ot=Estimate(0.3, 0.01))
    assert isinstance(recursion([ot], GROUND, A, ot=True, corrected=False), StepBounds)


def test_what_a_descent_says() -> None:
    blocks = [started()]
    w2s = []
    for name in (A, B):
        bound = recursion(blocks, GROUND, name, ot=False, corrected=False)
        assert isinstance(bound, StepBounds)
        w2s.append(bound.w2)
    found = descent(blocks, GROUND, 0.148)
    nearest = min(*w2s, math.sqrt(2 * 0.148 / 2.5))
    assert found.bounds[HWI] == near(hwi_bound(0.74, nearest, convexity=2.5))
    assert found.bounds[TRIANGLE] == triangle_bound(blocks[0], convexity=2.5)
    assert found.w2 == w2s
    start = math.sqrt(3.2) / 2.5
    assert found.counts == steps_asked(blocks, start, ot=False, convexity=2.5)
    loose = descent(blocks, GROUND, 2.0)
    assert loose.bounds[HWI] == near(hwi_bound(10.0, min(w2s), convexity=2.5))
    far = descent(blocks, GROUND, 50.0)
    assert far.bounds[HWI] == near(hwi_bound(250.0, min(w2s), convexity=2.5))
    redrawn = descent(blocks, GROUND, 0.148, corrected=True)
    assert (redrawn.w2, redrawn.bounds[A]) == ([], found.bounds[A])
    assert descent([block()], GROUND, 0.148).counts is NO_START
    other = started(epsilon_squared_ot=Estimate(0.04, 0.0))
    assert descent([other], GROUND, 0.148, ot=True).counts == steps_asked(
        [other], start, ot=True, convexity=2.5
    )
    assert descent([other], GROUND, 0.148, ot=True).bounds != descent([other], GROUND, 0.148).bounds
    none = Withheld("none", Cause.UNSEEN)
    without = descent(blocks, GROUND, none).bounds
    assert (without[HWI], without[TRIANGLE], without[A]) == (none, none, found.bounds[A])
    two = descent([started(), block(epsilon_squared=Estimate(0.1, 0.0), kappa=Estimate(0, 0))], GROUND, 0.148)
    assert two.bounds[TRIANGLE] == near((math.sqrt(0.1) + 1.85) ** 2 / 5)
    assert Descent({}).counts is NO_START


def test_every_field_of_a_chain_to_a_divergence() -> None:
    blocks = [started(kl_lower=Estimate(0.1, 0.0))]
    found = certify_functional(blocks, DIVERGENCE, GROUND)
    more = descent(blocks, GROUND, 0.148)
    for name in (A, B, HWI, TRIANGLE):
        assert found.figure(name) == more.bounds[name]
    assert found.figure(C) == found.figure(ON) == near(0.148)
    assert (found.certificate_c_estimate, found.certificate_c_se) == (near(0.12), near(0.014))
    far = [replace(own, margin=FAR) for own in blocks]
    farther = descent(far, GROUND, (0.6 + FAR * 0.07) / 5)
    least = min((0.6 + FAR * 0.07) / 5, *(farther.bounds[name] for name in (A, B, HWI, TRIANGLE)))
    assert found.kl_bound == found.kl_estimate == near(least)
    assert found.w2_bound == near(min(math.sqrt(2 * least / 2.5), *farther.w2))
    assert found.tv == near(math.sqrt(found.kl_bound / 2))
    assert (found.theorem_steps, found.sharp_steps, found.epsilon_largest) == more.counts
    assert found.entropy_interval == (None, near(2.02))
    assert (found.kl_lower_bound, found.kl_lower_bound_se, found.pairing) == (None, None, "block")
    words = "it compares with N(0, I), and the target is another"
    lower = ("kl_lower_bound", "kl_lower_bound_se", "kl_lower_bound_sure")
    assert found.reasons == {**dict.fromkeys(lower, words), "kl_bound": ONLY_ESTIMATES.reason}
    assert found.causes == {**dict.fromkeys(lower, Cause.ELSEWHERE), "kl_bound": Cause.UNSEEN}
    assert found.statuses["kl_lower_bound"] == "fails"
    assert set(OF_THE_REFERENCE) <= found.plain().keys()


def test_of_what_is_no_divergence_there_is_no_total_variation() -> None:
    found = certify_functional([started()], NEITHER, GROUND)
    assert found.tv is None
    assert (found.reasons["tv"], found.causes["tv"]) == (
        "the functional is no KL divergence",
        Cause.ELSEWHERE,
    )
    assert found.kl_bound is not None


def test_a_chain_of_two_blocks_to_a_target() -> None:
    """(1 − .42) is carried on from the first; the smaller NLL ends the entropy above."""
    blocks = [started(fisher=Estimate(5.0, 0.0)), block(fisher=Estimate(50.0, 0.0), nll=Estimate(1.5, 0.01))]
    found = certify_functional(blocks, DIVERGENCE, GROUND)
    assert found.figure(ON) == near(1.0 - 0.5 + OF_TWO * 0.04)
    assert found.figure(C) == near(10.0)
    assert found.certificate_c_estimate == near(10.0)
    assert found.entropy_interval == (None, near(1.52))
    corrected = certify_functional(blocks, DIVERGENCE, GROUND, corrected=True)
    assert corrected.w2_bound == near(math.sqrt(2 * corrected.kl_bound / 2.5))
    ot = {"epsilon_squared_ot": Estimate(0.04, 0.0)}
    paired = certify_functional([started(**ot)], DIVERGENCE, GROUND)
    assert (paired.pairing, paired.epsilon_largest) == ("ot", near(0.2))
    assert paired.figure(A) == descent([started(**ot)], GROUND, 0.148, ot=True).bounds[A]
    assert certify_functional([started(**ot), block()], DIVERGENCE, GROUND).pairing == "block"


def test_without_a_ground_every_name_says_so() -> None:
    found = certify_functional([started()], DIVERGENCE, None)
    names = {*CERTIFICATES, "theorem_steps", "sharp_steps", "epsilon_largest"}
    reason = "no functional with λ > 0: every bound needs one"
    assert {name for name, said in found.reasons.items() if said == reason} == names
    assert {found.causes[name] for name in names} == {Cause.CONDITION}
    assert (found.certificate_c_estimate, found.certificate_c_se, found.tv) == (None, None, None)
    assert {found.reasons[name] for name in ("kl_bound", "tv", "w2_bound")} == {whole.NOTHING.reason}


def test_without_the_fisher_information_of_a_target_there_is_no_estimate() -> None:
    found = certify_functional([started(fisher=None)], DIVERGENCE, GROUND)
    assert (found.certificate_c_estimate, found.certificate_c_se) == (None, None)
    assert found.figure(A) is not None


def test_hwi_of_a_weak_convexity_takes_the_smallest_w2() -> None:
    """λ = ½: √(2 · .5/.5) is above what the steps say, √(2 · .5 · .5) below."""
    ground = Ground(0.5, torch.zeros(3), slack=0.1, spread=0.5, floor=-math.inf)
    own = started(fisher_before=None, from_lowest=Estimate(0.25, 0.0), epsilon_squared=Estimate(0.0, 0.0))
    found = descent([own], ground, 0.5)
    assert math.sqrt(0.5) < min(found.w2) < math.sqrt(2)
    assert found.bounds[HWI] == near(hwi_bound(0.5, min(found.w2), convexity=0.5))


def test_a_descent_knows_of_the_correction_before_its_last_block() -> None:
    blocks = [started(), block(movement=Estimate(0.1, 0.0))]
    for corrected in (True, False):
        found = descent(blocks, GROUND, 0.148, corrected=corrected)
        for name in (A, B):
            bound = recursion(blocks, GROUND, name, ot=False, corrected=corrected)
            assert isinstance(bound, StepBounds)
            assert found.bounds[name] == bound.kl
    assert descent(blocks, GROUND, 0.148) != descent(blocks, GROUND, 0.148, corrected=True)


def test_exact_figures_of_a_chain_to_a_target_are_measured() -> None:
    exact = {"exact_epsilon": True, "exact_fisher": True}
    found = certify_functional([started(**exact)], DIVERGENCE, GROUND).statuses
    assert {found[name] for name in CERTIFICATES} == {"measured"}
    ot = started(**exact, epsilon_squared_ot=Estimate(0.04, 0.0))
    found = certify_functional([ot], DIVERGENCE, GROUND).statuses
    assert {name for name in CERTIFICATES if found[name] == "estimated"} == {A, B, HWI}


def test_without_a_certificate_there_is_no_w2() -> None:
    """KL ≥ 99 is shown, and contradicts all."""
    found = certify([block(kl_lower=Estimate(99.0, 0.0))], 3)
    assert {found.figure(name) for name in CERTIFICATES} == {None}
    assert (found.w2_bound, found.tv, found.reasons["w2_bound"]) == (None, None, "no certificate holds")


def test_what_is_carried_on_alone_bounds_w2_as_well() -> None:
    """W2² ≤ 2 KL."""
    found = certify([block(kappa=None, fisher=Estimate(2.0, 0.0)), block(kappa=None, fisher=None)], 3)
    assert {name for name in CERTIFICATES if found.figure(name) is not None} == {ON}
    least = 1.0 - 0.5 + FARTHER * 0.04
    assert (found.kl_bound, found.w2_bound) == (near(least), near(math.sqrt(2 * least)))
    assert {found.statuses[name] for name in ("kl_estimate", "tv", "w2_bound")} == {"estimated"}


def test_a_bound_has_one_name_and_an_estimate_its_old_one_too() -> None:
    names = ("kl_bound", "kl_estimate", "deprecated")
    sure = certify([block(exact_epsilon=True, exact_fisher=True)], 3)
    assert [sure.plain()[name] for name in names] == [near(LEAST), None, {}]
    assert (sure.reasons, sure.causes) == (
        {"kl_estimate": SURE.reason}, {"kl_estimate": Cause.ELSEWHERE}
    )  # fmt: skip
    estimated = certify([block()], 3).plain()
    assert [estimated[name] for name in names] == [near(LEAST), near(LEAST), {"kl_bound": whole.OLD_NAME}]
    none = certify([block()], 3, unfit="jumps").plain()
    assert [none[name] for name in names] == [None, None, {}]


def test_the_best_is_of_three_limits_a_block_and_two() -> None:
    assert [candidates(count) for count in (1, 2, 4)] == [5, 8, 14]


def test_the_default_of_a_descent_is_no_correction() -> None:
    blocks = [started(), block(movement=Estimate(0.1, 0.0))]
    assert descent(blocks, GROUND, 0.148) == descent(blocks, GROUND, 0.148, ot=False, corrected=False)
    assert certify_functional(blocks, DIVERGENCE, GROUND) == certify_functional(
        blocks, DIVERGENCE, GROUND, corrected=False
    )


def test_what_is_said_of_a_name() -> None:
    kept = Guarantee(
        certificate_a=1.5, certificate_b=2.0, reasons={"tv": "why"}, causes={"tv": Cause.UNSEEN},
        statuses={"certificate_a": "measured"},
    )  # fmt: skip
    said = kept.bound("certificate_a")
    assert (said.value, said.status) == (1.5, "measured")
    assert kept.bound("certificate_b").status == "unknown"
    assert kept.bound("tv") == Withheld("why", Cause.UNSEEN)
    assert kept.bound("w2_bound") == Withheld("", None)
    assert (kept.bound("tv").status, kept.bound("w2_bound").status) == ("unknown", "fails")
