"""What the certificates take from the figures of a block, figure by figure."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from jko.certify.above import Above
from jko.certify.bounds import theorem_bound_block
from jko.certify.evidence import Evidence, from_above, root_limit
from jko.certify.guarantee import candidates, certify
from jko.certify.status import Status
from jko.laws.densities import Estimate
from jko.measure.figures import StepFigures
from jko.statistics.upper_limit import margin_of

PLAIN = {
    "step_size": 0.4, "kl_drop": 0.5, "kl_drop_se": 0.04, "nll": 1.9, "nll_se": 0.03, "movement": 0.7,
    "movement_se": 0.02, "loss_potential": 2.0, "loss_potential_se": 0.05, "potential_before": 4.0,
    "potential_before_se": 0.06, "loss_log_det": 0.1,
}  # fmt: skip
#: figure of a block → field of its evidence
NAMES = {
    "epsilon_squared": "epsilon_squared",
    "fisher": "fisher",
    "kappa": "kappa",
    "kl_lower_classifier": "kl_lower",
    "kl_lower_mixture": "kl_lower_mixture",
    "epsilon_ot_squared": "epsilon_squared_ot",
    "from_lowest": "from_lowest",
    "fisher_before": "fisher_before",
}


def of(**more: object) -> Evidence:
    return Evidence.of(StepFigures.model_validate(PLAIN | more))


def test_what_every_block_has() -> None:
    assert of() == Evidence(
        step_size=0.4, potential_before=Estimate(4.0, 0.06), potential=Estimate(2.0, 0.05),
        movement=Estimate(0.7, 0.02), kl_drop=Estimate(0.5, 0.04), nll=Estimate(1.9, 0.03),
        epsilon_squared=None, fisher=None, kappa=None,
    )  # fmt: skip


def test_what_it_has_of_itself() -> None:
    """Nothing is known of a block unless it is said."""
    empty = Evidence(0.4, *[Estimate(0.0, 0.0)] * 5, None, None, None)
    assert (empty.moved_lower, empty.distance_lower, empty.missing) == (0, 0, "")
    assert (empty.exact_epsilon, empty.exact_fisher) == (False, False)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_and_its_error_make_an_estimate(name: str) -> None:
    field = NAMES[name]
    assert vars(of(**{name: 0.3, f"{name}_se": 0.01})) == vars(of()) | {field: Estimate(0.3, 0.01)}
    assert of(**{name: 0.3}) == of(**{f"{name}_se": 0.01}) == of()
    assert getattr(of(**{name: 0.0, f"{name}_se": 0.0}), field) == Estimate(0.0, 0.0)


def test_the_tail_of_a_figure_belongs_to_its_estimate() -> None:
    own = of(epsilon_squared=0.3, epsilon_squared_se=0.01, epsilon_squared_tail=0.4, movement_tail=0.2)
    assert own.epsilon_squared == Estimate(0.3, 0.01, 0.4)
    assert own.movement == Estimate(0.7, 0.02, 0.2)


def test_a_root_has_the_tail_of_its_square() -> None:
    """Mean .49 of the squares, half of the tail: .49/(1 − .5 ℓ^(1/6)) with ℓ = −log Φ(−2)."""
    part = 0.5 * (-math.log(NormalDist().cdf(-2))) ** (1 / 6)
    assert root_limit(Estimate(0.7, 0.02, 0.5)) == pytest.approx(math.sqrt(0.49 / (1 - part)), rel=1e-9)
    assert root_limit(Estimate(0.7, 0.02)) == pytest.approx(0.74, rel=1e-9)


@pytest.mark.parametrize(
    ("exact", "other", "field", "told"),
    [
        ("epsilon_exact_squared", "epsilon_squared", "epsilon_squared", "exact_epsilon"),
        ("fisher_exact", "fisher", "fisher", "exact_fisher"),
    ],
)
def test_the_exact_score_goes_before_the_critic(exact: str, other: str, field: str, told: str) -> None:
    both = of(**{exact: 0.3, f"{exact}_se": 0.01, other: 0.2, f"{other}_se": 0.02})
    assert (getattr(both, field), getattr(both, told)) == (Estimate(0.3, 0.01), True)
    critic = of(**{exact: 0.3, other: 0.2, f"{other}_se": 0.02})
    assert (getattr(critic, field), getattr(critic, told)) == (Estimate(0.2, 0.02), False)


def test_an_error_that_is_not_known_is_infinite() -> None:
    names = {"kl_drop", "nll", "movement", "potential_before"}
    found = of(**{f"{name}_se": None for name in names | {"loss_potential"}})
    assert {getattr(found, name).se for name in names | {"potential"}} == {math.inf}
    assert of(step_size=None).step_size == math.inf


def test_lower_bounds_of_w2_and_the_reason_are_taken_as_they_are() -> None:
    found = of(moved_lower=0.6, distance_lower=1.1, epsilon_reason="jumps")
    assert (found.moved_lower, found.distance_lower, found.missing) == (0.6, 1.1, "jumps")


def test_kl_is_nll_less_the_entropy_and_their_errors_add_up() -> None:
    """1.9 ± .03 less 1.5 ± .04."""
    figures = StepFigures.model_validate(PLAIN)
    gap = Evidence.of(figures, entropy=Estimate(1.5, 0.04)).kl_measured
    assert gap is not None
    assert (gap.value, gap.se) == (pytest.approx(0.4, rel=1e-12), pytest.approx(0.05, rel=1e-12))
    assert Evidence.of(figures).kl_measured is None


ABOVE = Above(
    width=0.3, rows=800, epsilon_squared=(0.5, 0.7), epsilon_squared_se=(0.1, 0.02), fisher=(0.9, 0.6),
    fisher_se=(0.2, 0.05), kl_bound=0.35,
)  # fmt: skip
CRITIC = {
    "epsilon_squared": 0.1, "epsilon_squared_se": 0.01, "fisher": 0.2, "fisher_se": 0.01,
    "fisher_tail": 0.3, "kappa": 0.02, "kappa_se": 0.001,
}  # fmt: skip


def test_what_test_rows_bound_takes_the_place_of_a_critic() -> None:
    blocks = [of(**CRITIC), of(**CRITIC, epsilon_ot_squared=0.3, epsilon_ot_squared_se=0.1)]
    found = from_above(blocks, ABOVE)
    for own, block, square, fisher in zip(
        found, blocks, (Estimate(0.5, 0.1), Estimate(0.7, 0.02)),
        (Estimate(0.9, 0.2), Estimate(0.6, 0.05)), strict=True,
    ):  # fmt: skip
        assert vars(own) == vars(block) | {
            "epsilon_squared": square, "fisher": fisher, "epsilon_squared_ot": None,
            "exact_epsilon": True, "exact_fisher": True,
        }  # fmt: skip
    missing = from_above([of(epsilon_reason="too few rows"), blocks[1]], ABOVE)
    assert (missing[0].epsilon_squared, missing[0].missing) == (Estimate(0.5, 0.1), "")


def test_the_exact_score_goes_before_what_test_rows_bound() -> None:
    names = ("epsilon_exact_squared", "fisher_exact")
    exact = of(**dict.fromkeys(names, 0.3), **{f"{name}_se": 0.01 for name in names})
    half = of(epsilon_exact_squared=0.3, epsilon_exact_squared_se=0.01)
    first, second = from_above([exact, half], ABOVE)
    assert first == exact
    assert (second.epsilon_squared, second.fisher) == (Estimate(0.7, 0.02), Estimate(0.6, 0.05))


def test_bounds_from_above_are_bounds_at_the_level_at_which_all_hold() -> None:
    """Of two blocks 8 limits, and (C) after the last is the smallest: .6 with its error, over 2."""
    blocks = [of(**CRITIC, kl_drop=0.1), of(**CRITIC, kl_drop=0.1)]
    by_critic, found = (certify(own, 2) for own in (blocks, from_above(blocks, ABOVE)))
    assert (by_critic.statuses["kl_bound"], found.statuses["kl_bound"]) == (
        Status.ESTIMATED, Status.MEASURED,
    )  # fmt: skip
    assert found.kl_bound == pytest.approx((0.6 + margin_of(candidates(2)) * 0.05) / 2, rel=1e-9)
    assert found.certificate_c == pytest.approx((0.6 + 2 * 0.05) / 2)
    assert found.kl_estimate is None
    assert by_critic.kl_estimate is not None
    assert by_critic.kl_estimate < found.kl_bound
    assert found.statuses["certificate_a"] is found.statuses["certificate_b"] is Status.MEASURED
    # (A′) restarts after the first block from E|y|² where that is smaller
    margin = margin_of(2)
    start = math.sqrt(2 * (4.0 + margin * 0.06) + 2)
    inputs = {"movement": 0.7 - margin * 0.02, "kappa": 0.02 + margin * 0.001}
    w2 = theorem_bound_block(start, 0.4, math.sqrt(0.5 + margin * 0.1), **inputs).w2
    w2 = min(w2, math.sqrt(2 * (2.0 + margin * 0.05) + 2))
    last = theorem_bound_block(w2, 0.4, math.sqrt(0.7 + margin * 0.02), **inputs)
    assert found.certificate_a == pytest.approx(last.kl, rel=1e-9)
