"""The certificates' values from figures of a block: which side every error bar is taken on, and how far."""

from __future__ import annotations

import math

import pytest

from jko.certify import bound_rules as rules
from jko.certify.bounds import StepBounds
from jko.certify.certificates import Withheld
from jko.certify.evidence import MARGIN, Evidence
from jko.certify.status import Cause
from jko.laws.densities import Estimate
from tests.jko.certify.measured import block

A, B = "certificate_a", "certificate_b"
#: of the block: ε² and κ two standard errors up, M two down
ERROR, KAPPA, MOVED = 0.32, 0.23, 0.66


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-12)


def withheld(found: object, cause: Cause, reason: str) -> None:
    assert isinstance(found, Withheld)
    assert (found.cause, found.reason) == (cause, reason)


def test_estimates_are_moved_by_two_standard_errors() -> None:
    assert MARGIN == 2
    assert block().high(Estimate(0.3, 0.01)) == near(0.32)
    assert block().high(Estimate(-0.3, 0.01)) == near(0.02)
    assert block().high(Estimate(0.5, 0.0)) == 0.5


def test_a_draw_of_the_law_and_one_of_the_reference_are_the_second_moments_and_d_apart() -> None:
    """√(E|x|² + d): E|x|²/2 = 4 ± .05 in three dimensions."""
    assert rules.independent(block(), Estimate(4.0, 0.05), 3) == near(math.sqrt(8.2 + 3))


def test_the_theorem_after_a_block() -> None:
    budget = 4 + 0.8 * ERROR + 0.8 * KAPPA - MOVED**2
    found = rules.after_step(block(), 2.0, A, ot=False)
    assert found == StepBounds(near(math.sqrt(budget / 1.2)), near(budget / 0.8))
    budget = 4 + 0.8 * ERROR / 2.5 + 0.8 * KAPPA - MOVED**2
    found = rules.after_step(block(), 2.0, A, ot=False, convexity=2.5)
    assert found == StepBounds(near(math.sqrt(budget / 1.5)), near(budget / 0.8))


def test_the_recursion_after_a_block() -> None:
    rest = 4 - MOVED**2 + 0.8 * KAPPA
    found = rules.after_step(block(), 2.0, B, ot=False)
    root = math.sqrt(0.16 * ERROR + 1.8 * rest)
    kl = (rest + 0.16 * ERROR / 1.4) / 0.8
    assert found == StepBounds(near((0.4 * math.sqrt(ERROR) + root) / 1.8), near(kl))
    found = rules.after_step(block(), 2.0, B, ot=False, convexity=2.5)
    root = math.sqrt(0.16 * ERROR + 3 * rest)
    assert found == StepBounds(near((0.4 * math.sqrt(ERROR) + root) / 3), near((rest + 0.08 * ERROR) / 0.8))


def test_a_movement_within_its_error_counts_as_none() -> None:
    found = rules.after_step(block(movement=Estimate(0.7, 0.5), kappa=Estimate(0, 0)), 2.0, A, ot=False)
    assert isinstance(found, StepBounds)
    assert found.kl == near((4 + 0.8 * ERROR) / 0.8)


def test_both_after_a_block_of_ot_pairing() -> None:
    """κ and M have no part in it; m and ℓ have, in (B)."""
    own = block(
        epsilon_squared=None, kappa=None, epsilon_squared_ot=Estimate(0.3, 0.01), moved_lower=0.6,
        distance_lower=1.1,
    )  # fmt: skip
    theorem, sharp = (rules.after_step(own, 2.0, name, ot=True) for name in (A, B))
    budget, rest, turn = 4 + 0.8 * ERROR, 4 - 0.36, 0.4 * math.sqrt(ERROR)
    assert theorem == StepBounds(near(math.sqrt(budget / 1.2)), near(budget / 0.8))
    kl = (rest + turn**2 / 1.4 - 1.4 * (1.1 - turn / 1.4) ** 2) / 0.8
    assert sharp == StepBounds(near((turn + math.sqrt(turn**2 + 1.8 * rest)) / 1.8), near(kl))
    theorem, sharp = (rules.after_step(own, 2.0, name, ot=True, convexity=2.5) for name in (A, B))
    budget = 4 + 0.8 * ERROR / 2.5
    assert theorem == StepBounds(near(math.sqrt(budget / 1.5)), near(budget / 0.8))
    kl = (rest + turn**2 / 2 - 2 * (1.1 - turn / 2) ** 2) / 0.8
    assert sharp == StepBounds(near((turn + math.sqrt(turn**2 + 3 * rest)) / 3), near(kl))


def test_a_block_without_what_a_bound_needs_has_none() -> None:
    for name in (A, B):
        withheld(
            rules.after_step(block(step_size=math.inf), 2.0, name, ot=False), Cause.CONDITION,
            "a free block has no transport term; its law is certified by (C)",
        )  # fmt: skip
        withheld(
            rules.after_step(block(epsilon_squared=None), 2.0, name, ot=False), Cause.UNSEEN,
            "ε could not be estimated: too few held-out rows for a critic",
        )  # fmt: skip
        withheld(
            rules.after_step(block(epsilon_squared=None, missing="jumps"), 2.0, name, ot=False),
            Cause.UNSEEN, "ε could not be estimated: jumps",
        )  # fmt: skip
        withheld(
            rules.after_step(block(kappa=None), 2.0, name, ot=False), Cause.CONDITION,
            "the symmetric part of ∇T is not positive definite at every sampled particle",
        )  # fmt: skip
        withheld(
            rules.after_step(block(movement=Estimate(0.9, 0.02)), 0.1, name, ot=False), Cause.WITHDRAWN,
            "its inputs contradict each other (a negative bound): ε is underestimated",
        )  # fmt: skip


def test_a_bound_of_zero_is_one() -> None:
    still = Estimate(0.0, 0.0)
    own = block(epsilon_squared=still, kappa=still, movement=Estimate(1.0, 0.0))
    assert rules.after_step(own, 1.0, A, ot=False) == StepBounds(0.0, 0.0)


def test_w2_before_the_first_block_is_that_of_independent_draws() -> None:
    """8.2 + 3 squared; after it the smaller of the recursion and 4.12 + 3."""
    found = rules.recursion([block()], 3, A, ot=False)
    budget = 11.2 + 0.8 * ERROR + 0.8 * KAPPA - MOVED**2
    assert found == StepBounds(near(math.sqrt(4.12 + 3)), near(budget / 0.8))
    tight = rules.recursion([block(potential=Estimate(20.0, 0.0))], 3, A, ot=False)
    assert tight == StepBounds(near(math.sqrt(budget / 1.2)), near(budget / 0.8))


def test_a_block_goes_on_from_the_w2_before_it_and_a_failed_one_begins_anew() -> None:
    far = block(potential=Estimate(20.0, 0.0))
    first, second = rules.recursion([far], 3, B, ot=False), rules.recursion([far, far], 3, B, ot=False)
    assert isinstance(first, StepBounds)
    assert isinstance(second, StepBounds)
    assert second == rules.after_step(far, first.w2, B, ot=False)
    anew = rules.recursion([block(kappa=None), far], 3, B, ot=False)
    assert anew == rules.after_step(far, math.sqrt(4.12 + 3), B, ot=False)
    withheld(
        rules.recursion([far, block(kappa=None)], 3, B, ot=False), Cause.CONDITION, rules.ASYMMETRIC.reason
    )
    ot = block(epsilon_squared=None, epsilon_squared_ot=Estimate(0.3, 0.01))
    assert isinstance(rules.recursion([ot], 3, A, ot=True), StepBounds)


def test_half_the_fisher_information_two_errors_up() -> None:
    assert rules.log_sobolev([block()]) == near(0.37)
    assert rules.log_sobolev([block()], convexity=2.5) == near(0.148)
    withheld(
        rules.log_sobolev([block(fisher=None, missing="jumps")]), Cause.UNSEEN,
        "the Fisher information could not be estimated: jumps",
    )  # fmt: skip


@pytest.mark.parametrize(("lower", "holds"), [(-0.06, True), (-0.04, False)])
def test_what_later_blocks_surely_drop_is_taken_off(lower: float, holds: bool) -> None:
    """.37 − (.5 − 2 · .04) = −.05 is left; KL above that withdraws it."""
    found = rules.log_sobolev([block(), block(kl_lower=Estimate(lower, 0.0))])
    if holds:
        assert found == near(0.37)
    else:
        withheld(found, Cause.WITHDRAWN, "withdrawn: a later block contradicts it")


def test_every_later_drop_counts() -> None:
    """.37 − .1 − .1 = .17 after the third block: KL ≥ .16 there is no contradiction, .18 is."""
    slow = Estimate(0.2, 0.05)
    for lower, holds in ((0.16, True), (0.18, False)):
        last = block(kl_drop=slow, kl_lower=Estimate(lower, 0.0))
        found = rules.log_sobolev([block(), block(kl_drop=slow), last])
        assert isinstance(found, float) == holds
    seen_early = [block(), block(kl_drop=slow, kl_lower=Estimate(0.29, 0.0)), block(kl_drop=slow)]
    assert isinstance(rules.log_sobolev(seen_early), Withheld)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("kl_lower", "a classifier shows"),
        ("kl_lower_mixture", "a Gaussian mixture's NLL shows"),
        ("kl_measured", "NLL minus the known entropy shows"),
    ],
)
def test_kl_two_errors_above_a_bound_contradicts_it(name: str, what: str) -> None:
    assert rules.contradiction(0.37, block(**{name: Estimate(0.5, 0.066)})) is None
    assert rules.contradiction(0.5, block(**{name: Estimate(0.5, 0.0)})) is None
    withheld(
        rules.contradiction(0.37, block(**{name: Estimate(0.5, 0.064)})), Cause.WITHDRAWN,
        f"withdrawn (0.37 nats): the critic's class is too small, since {what} KL ≥ 0.5 ± 0.064 nats",
    )  # fmt: skip
    assert isinstance(rules.log_sobolev([block(**{name: Estimate(0.5, 0.064)})]), Withheld)


def test_the_error_and_the_movement_over_gamma_make_the_triangle() -> None:
    """(√.32 + .74/.4)²/2: here M is two errors up."""
    assert rules.triangle_bound(block()) == near((math.sqrt(ERROR) + 1.85) ** 2 / 2)
    assert rules.triangle_bound(block(), convexity=2.5) == near((math.sqrt(ERROR) + 1.85) ** 2 / 5)
    withheld(rules.triangle_bound(block(step_size=math.inf)), Cause.CONDITION, rules.FREE.reason)
    withheld(
        rules.triangle_bound(block(epsilon_squared=None)), Cause.UNSEEN,
        "ε could not be estimated: too few held-out rows for a critic",
    )  # fmt: skip


def test_bounds_of_earlier_blocks_are_carried_on_by_what_surely_dropped() -> None:
    """.42 is the drop two errors down."""
    none = Withheld("none", Cause.UNSEEN)
    assert rules.propagated([block(), block()], [1.0, 0.9]) == near(0.58)
    assert rules.propagated([block(), block()], [1.0, none]) == near(0.58)
    assert rules.propagated([block(), block()], [none, 0.9]) == 0.9
    assert rules.propagated([block(), block()], [0.42, 0.9]) == pytest.approx(0.0, abs=1e-12)
    assert rules.propagated([block(), block()], [none, none]) is none
    withheld(
        rules.propagated([block(), block()], [0.4, 0.9]), Cause.WITHDRAWN,
        "the KL drops exceed an earlier bound: the critic's class is too small there",
    )  # fmt: skip
    exact = block(kl_drop=Estimate(0.5, 0.0))
    assert rules.propagated([exact, exact], [0.5, 0.9]) == 0.0


def test_steps_are_asked_for_at_the_largest_error_and_the_smallest_step() -> None:
    blocks = [block(step_size=0.5), block(epsilon_squared=Estimate(0.1, 0.0))]
    epsilon = math.sqrt(ERROR)
    for lam in (1.0, 2.5):
        found = rules.steps_asked(blocks, 10.0, ot=False, **({} if lam == 1 else {"convexity": lam}))
        ratio = 2 * math.log(10 * lam / epsilon)
        assert found == (
            math.ceil(ratio / math.log(1 + 0.2 * lam)), math.ceil(ratio / math.log(1 + 0.8 * lam)),
            near(epsilon),
        )  # fmt: skip


def test_steps_are_asked_for_by_the_pairings_own_error() -> None:
    own = block(epsilon_squared_ot=Estimate(0.04, 0.0))
    for ot, epsilon in ((True, 0.2), (False, math.sqrt(ERROR))):
        found = rules.steps_asked([own], 10.0, ot=ot)
        assert isinstance(found, tuple)
        assert found[2] == near(epsilon)


def test_no_number_of_steps_without_every_error() -> None:
    nothing = Estimate(0.0, 0.0)
    withheld(
        rules.steps_asked([block(), block(step_size=math.inf)], 1.0, ot=False),
        Cause.CONDITION,
        rules.FREE.reason,
    )
    blind = [block(), block(epsilon_squared=None, missing="jumps")]
    withheld(rules.steps_asked(blind, 1.0, ot=False), Cause.UNSEEN, "ε could not be estimated: jumps")
    withheld(
        rules.steps_asked([block(epsilon_squared=nothing)], 1.0, ot=False), Cause.CONDITION,
        "ε is zero, and the number of steps is finite for a positive one only",
    )  # fmt: skip


def entropy(blocks: list[Evidence], fishers: list[float | Withheld]) -> tuple[object, object]:
    return rules.entropy_bracket(blocks, fishers)


def test_the_entropy_is_bracketed_two_errors_outwards() -> None:
    """1.9 − .12 − .3 and 2.5 − .2 − .75 at the lower end; the smaller of 2.02 and 2.7 at the upper."""
    blocks = [block(), block(nll=Estimate(2.5, 0.1))]
    assert entropy(blocks, [0.3, 0.75]) == ((near(1.55), near(2.02)), None)
    none = Withheld("no rows", Cause.UNSEEN)
    assert entropy(blocks, [0.3, none]) == ((near(1.48), near(2.02)), None)
    assert entropy(blocks, [none, none]) == (
        (None, near(2.02)), Withheld("no lower end: no rows", Cause.UNSEEN),
    )  # fmt: skip


def test_where_a_row_is_all_of_a_mean_there_is_no_limit() -> None:
    alone = block(epsilon_squared=Estimate(0.3, 0.01, 1.0))
    for name in ("certificate_a", "certificate_b"):
        assert rules.after_step(alone, 2.0, name, ot=False) is rules.ENDLESS
    assert rules.triangle_bound(alone) is rules.ENDLESS
    assert rules.steps_asked([alone], 2.0, ot=False) is rules.ENDLESS
