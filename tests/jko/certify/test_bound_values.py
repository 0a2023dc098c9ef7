"""The bounds' values, worked out by hand: a factor that is lost need not violate anything."""

from __future__ import annotations

import math

import pytest

from jko.certify.bounds import (
    StepBounds,
    entropy_interval,
    hwi_bound,
    log_sobolev_bound,
    propagated_bound,
    sharp_bound,
    sharp_bound_block,
    sharp_steps,
    theorem_bound,
    theorem_bound_block,
    theorem_steps,
    total_variation_bound,
)


def same(found: StepBounds, w2: float, kl: float) -> None:
    assert found.w2 == pytest.approx(w2, rel=1e-12)
    assert found.kl == pytest.approx(kl, rel=1e-12)


def test_the_theorems_step() -> None:
    """w = 3, γ = .4, ε = .5: 9 + .8 · .25 = 9.2 over 1.2 and .8; with λ = 2.5, 9.08 over 1.5 and .8."""
    same(theorem_bound(3, 0.4, 0.5), math.sqrt(9.2 / 1.2), 11.5)
    same(theorem_bound(3, 0.4, 0.5, convexity=2.5), math.sqrt(9.08 / 1.5), 11.35)


def test_the_theorems_step_of_the_blocks_own_error() -> None:
    """κ enters as 2γκ and M as M²: 9 + .2 + .8 · .75 − 1.44 = 8.36; with λ = 2.5, 8.24."""
    same(theorem_bound_block(3, 0.4, 0.5, movement=1.2, kappa=0.75), math.sqrt(8.36 / 1.2), 10.45)
    same(
        theorem_bound_block(3, 0.4, 0.5, movement=1.2, kappa=0.75, convexity=2.5),
        math.sqrt(8.24 / 1.5),
        10.3,
    )


def test_asymmetry_costs_kl_as_much_as_it_is() -> None:
    """γ cancels: 2γκ/(2γ)."""
    for rule in (theorem_bound_block, sharp_bound_block):
        plain, paid = (rule(2, 0.3, 0.1, movement=0.4, kappa=kappa).kl for kappa in (0.0, 0.7))
        assert paid - plain == pytest.approx(0.7, rel=1e-12)


def test_a_budget_that_is_used_up_leaves_w2_0_and_shows_in_kl() -> None:
    same(theorem_bound_block(1, 0.4, 0, movement=1.2, kappa=0), 0, -0.44 / 0.8)
    same(theorem_bound_block(1, 0.4, 0, movement=0.8, kappa=0), math.sqrt(0.36 / 1.2), 0.45)
    same(sharp_bound_block(1, 0.4, 0, movement=1.2, kappa=0), 0, -0.44 / 0.8)


def test_the_sharp_step() -> None:
    """w = 3, γ = .4, ε = .5, m = 1, ℓ = 2: R = 8, 1 + 2γ = 1.8, 1 + γ = 1.4."""
    w2 = (0.2 + math.sqrt(0.04 + 1.8 * 8)) / 1.8
    kl = (8 + 0.04 / 1.4 - 1.4 * (2 - 0.2 / 1.4) ** 2) / 0.8
    same(sharp_bound(3, 0.4, 0.5, moved=1, distance=2), w2, kl)


def test_the_sharp_step_of_another_convexity() -> None:
    """λ = 2.5: 1 + 2γλ = 3, 1 + γλ = 2."""
    w2 = (0.2 + math.sqrt(0.04 + 3 * 8)) / 3
    kl = (8 + 0.02 - 2 * (2 - 0.1) ** 2) / 0.8
    same(sharp_bound(3, 0.4, 0.5, moved=1, distance=2, convexity=2.5), w2, kl)


def test_the_sharp_step_of_which_nothing_else_is_known() -> None:
    """m = ℓ = 0; and an ℓ below γε/(1 + γλ) tells nothing."""
    w2, kl = (0.2 + math.sqrt(0.04 + 1.8 * 9)) / 1.8, (9 + 0.04 / 1.4) / 0.8
    same(sharp_bound(3, 0.4, 0.5), w2, kl)
    same(sharp_bound(3, 0.4, 0.5, distance=0.14), w2, kl)
    same(sharp_bound(1, 0.4, 0.5, moved=2), 0.4 / 1.8, (-3 + 0.04 / 1.4) / 0.8)


def test_the_sharp_step_of_the_blocks_own_error() -> None:
    """R = 9 − 1.44 + .8 · .75 = 8.16."""
    w2, kl = (0.2 + math.sqrt(0.04 + 1.8 * 8.16)) / 1.8, (8.16 + 0.04 / 1.4) / 0.8
    same(sharp_bound_block(3, 0.4, 0.5, movement=1.2, kappa=0.75), w2, kl)
    w2, kl = (0.2 + math.sqrt(0.04 + 3 * 8.16)) / 3, (8.16 + 0.02) / 0.8
    same(sharp_bound_block(3, 0.4, 0.5, movement=1.2, kappa=0.75, convexity=2.5), w2, kl)


def test_the_bounds_by_fisher_information() -> None:
    assert log_sobolev_bound(3) == 1.5
    assert log_sobolev_bound(3, convexity=2.5) == 0.6
    assert hwi_bound(4, 0.5) == pytest.approx(0.5 * 2 - 0.125, rel=1e-12)
    assert hwi_bound(4, 0.5, convexity=2.5) == pytest.approx(0.5 * 2 - 2.5 * 0.125, rel=1e-12)
    assert hwi_bound(4, 9) == log_sobolev_bound(4) == 2
    assert hwi_bound(4, 9, convexity=2.5) == pytest.approx(0.8, rel=1e-12)
    assert hwi_bound(0.04, 0.1) == pytest.approx(0.1 * 0.2 - 0.005, rel=1e-12)
    assert hwi_bound(-0.3, 0.5) == 0


def test_drops_after_a_block_are_taken_off_its_bound() -> None:
    """2 − .7 − .2, 1.4 − .2 and 1.3; the first block's own drop is in none."""
    assert propagated_bound([2, 1.4, 1.3], [9, 0.7, 0.2]) == pytest.approx(1.1, rel=1e-12)
    assert propagated_bound([9, 1.4, 1.3], [9, 0.7, 0.2]) == pytest.approx(1.2, rel=1e-12)
    assert propagated_bound([9, 9, 1.3], [9, 0.7, 0.2]) == 1.3


def test_the_entropy_is_between_nll_less_a_bound_and_nll() -> None:
    assert entropy_interval([0.75, 0.25], [2.5, 2.125]) == (1.875, 2.125)
    assert entropy_interval([0.25, 0.75], [2.125, 2.5]) == (1.875, 2.125)
    with pytest.raises(ValueError, match="shorter"):
        entropy_interval([0.75], [2.5, 2.125])


def test_the_numbers_of_steps() -> None:
    """2 log(λ w/ε) over log(1 + γλ/2) and log(1 + 2γλ), rounded up."""
    assert theorem_steps(10, 0.4, 0.1) == math.ceil(2 * math.log(100) / math.log(1.2)) == 51
    assert sharp_steps(10, 0.4, 0.1) == math.ceil(2 * math.log(100) / math.log(1.8)) == 16
    assert theorem_steps(10, 0.4, 0.1, convexity=2.5) == math.ceil(2 * math.log(250) / math.log(1.5)) == 28
    assert sharp_steps(10, 0.4, 0.1, convexity=2.5) == math.ceil(2 * math.log(250) / math.log(3)) == 11


def test_no_step_is_asked_for_from_within_the_error() -> None:
    assert theorem_steps(0.1, 0.4, 0.2) == sharp_steps(0.1, 0.4, 0.2) == 0
    assert sharp_steps(0.22, 0.01, 0.2) == math.ceil(2 * math.log(1.1) / math.log(1.02)) == 10
    for epsilon in (0, -1):
        said = rf"^epsilon = {epsilon}: the number of steps is finite for a positive one only$"
        with pytest.raises(ValueError, match=said):
            sharp_steps(1, 0.5, epsilon)


def test_total_variation_by_pinsker() -> None:
    assert total_variation_bound(0.18) == pytest.approx(0.3, rel=1e-12)
    assert total_variation_bound(9) == 1
    assert total_variation_bound(1.62) == pytest.approx(0.9, rel=1e-12)
    assert total_variation_bound(-1) == 0
