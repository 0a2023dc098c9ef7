"""Certificates from samples: they hold, they are not loose beyond measure, and they never flatter."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jko.certify.certificates import Bound, Withheld
from jko.certify.evidence import Evidence
from jko.certify.guarantee import Guarantee, certify
from jko.certify.status import Cause, Status
from jko.laws.densities import Estimate
from jko.maps.jacobian import asymmetry
from jko.measure.measures import measure_epsilon, standard_error
from jko.statistics.transport import gelbrich_lower, optimal_back
from jko.statistics.two_sample import kl_lower_bound
from jko.statistics.upper_limit import margin_of
from tests.affine_chains import Law, chain

ROWS = 5000
NAMES = ("certificate_a", "certificate_b", "certificate_c", "certificate_c_hwi", "certificate_c_propagated",
         "certificate_c_triangle")  # fmt: skip


class AffineMap(nn.Module):
    """x ↦ matrix (x − from) + to, exactly."""

    def __init__(self, matrix: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
        super().__init__()
        self.matrix, self.start, self.end = (torch.from_numpy(a) for a in (matrix, start, end))

    def state_of(self, rows: Tensor) -> Tensor:
        return rows

    def push_forward(self, x: Tensor) -> Tensor:
        return (x - self.start) @ self.matrix.T + self.end


def mean_of(values: Tensor) -> Estimate:
    return Estimate(float(values.mean()), standard_error(values))


def evidence(x: Tensor, step: AffineMap, gamma: float, *, ot: bool = False) -> tuple[Tensor, Evidence]:
    """What would be measured of an affine block on rows x."""
    y = step.push_forward(x)
    log_det = torch.linalg.slogdet(step.matrix)[1]
    before, after, moved = (x**2).sum(-1) / 2, (y**2).sum(-1) / 2, ((y - x) ** 2).sum(-1)
    error, fisher = measure_epsilon(x, y, gamma, 30)
    shape = asymmetry(step, x[:20])
    size = float(moved.mean().sqrt())
    found = Evidence(
        gamma, mean_of(before), mean_of(after), Estimate(size, standard_error(moved) / (2 * size)),
        mean_of(before - after + log_det), Estimate(0.0, 0.0),
        Estimate(error.value, error.se), Estimate(fisher.value, fisher.se),
        None if math.isnan(shape.kappa) else Estimate(shape.kappa, shape.kappa_se),
        kl_lower=kl_lower_bound(y),
    )  # fmt: skip
    if ot:
        end, back = optimal_back(x, y, "affine")
        other = measure_epsilon(back, end, gamma, 0)[0]
        found = replace(
            found, epsilon_squared_ot=Estimate(other.value, other.se),
            moved_lower=gelbrich_lower(x, y), distance_lower=gelbrich_lower(y),
        )  # fmt: skip
    return y, found


@dataclass(frozen=True)
class Case:
    law: Law
    block: Guarantee
    ot: Guarantee


def random_case(seed: int) -> Case | None:
    """A random affine chain (see tests/affine_chains.py), measured on 5000 samples."""
    draw, law, steps = chain(seed)
    if not steps:
        return None
    x = torch.from_numpy(draw.multivariate_normal(law.mean, law.cov, size=ROWS))
    found = []
    for gamma, matrix, mean in steps:
        x, own = evidence(x, AffineMap(matrix, law.mean, mean), gamma, ot=True)
        law = Law(mean, matrix @ law.cov @ matrix.T)
        found.append(own)
    dim = x.shape[1]
    return Case(
        law, certify([replace(own, epsilon_squared_ot=None) for own in found], dim), certify(found, dim)
    )


def cases(count: int) -> list[Case]:
    found, seed = [], 1000
    while len(found) < count:
        case = random_case(seed)
        found += [case] if case else []
        seed += 1
    return found


def check(found: list[Case]) -> None:
    for name in NAMES:
        for pairing in ("block", "ot"):
            pairs = [(getattr(getattr(case, pairing), name), case.law.kl) for case in found]
            held = [value is None or value >= kl for value, kl in pairs]
            given = [value is not None for value, _ in pairs]
            assert sum(held) >= 0.95 * len(found), (name, pairing)
            assert sum(given) >= 0.8 * len(found), (name, pairing)
    for case in found:
        low, high = case.block.certificate_c_estimate, case.law.fisher / 2
        assert abs(low - high) < max(0.1 * high, 3 * case.block.certificate_c_se)


def test_certificates_from_samples_hold_and_agree_with_the_fisher_information() -> None:
    check(cases(4))


@pytest.mark.slow
def test_certificates_from_samples_of_a_hundred_chains() -> None:
    found = cases(100)
    check(found)
    large = [case for case in found if case.law.kl > 1e-3]
    ratios = [case.block.certificate_c_estimate / case.law.kl for case in large]
    propagated = [case.block.certificate_c_propagated / case.law.kl for case in large]
    assert max(ratios) <= 3.5
    assert np.median(propagated) <= 2


def bimodal(rows: int, dim: int, seed: int) -> Tensor:
    """Two bumps in the first coordinate, mean zero and identity covariance: KL .189 nats."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, dim, generator=draw, dtype=torch.float64)
    side = torch.randint(0, 2, (rows,), generator=draw) * 2.0 - 1
    x[:, 0] = 0.9 * side + math.sqrt(1 - 0.81) * x[:, 0]
    return x


def after_identity(y: Tensor, centres: int) -> Evidence:
    """Evidence of a block that leaves y where it is."""
    error, fisher = measure_epsilon(y, y, 1.0, centres)
    still, potential = Estimate(0.0, 0.0), mean_of((y**2).sum(-1) / 2)
    return Evidence(
        1.0, potential, potential, still, still, still, Estimate(error.value, error.se),
        Estimate(fisher.value, fisher.se), still, kl_lower=kl_lower_bound(y),
    )  # fmt: skip


@pytest.mark.parametrize("dim", [1, 2])
def test_the_guard_withdraws_the_affine_certificate_of_a_bimodal_law(dim: int) -> None:
    found = certify([after_identity(bimodal(ROWS, dim, 1), 0)], dim)
    assert found.certificate_c is None
    assert "too small" in found.reasons["certificate_c"]
    assert found.certificate_c_hwi is None
    assert found.kl_lower_bound == pytest.approx(0.189, abs=0.06)
    assert found.kl_estimate is None or found.kl_estimate > 0.189


def test_a_richer_class_keeps_the_certificate_of_the_bimodal_law() -> None:
    found = certify([after_identity(bimodal(ROWS, 1, 2), 40)], 1)
    assert found.certificate_c is not None
    assert found.certificate_c > 0.189


def test_a_known_entropy_withdraws_what_it_contradicts() -> None:
    own = replace(after_identity(bimodal(ROWS, 1, 3), 0), kl_lower=None, kl_measured=Estimate(0.19, 0.01))
    found = certify([own], 1)
    assert found.certificate_c is None
    assert "known entropy" in found.reasons["certificate_c"]


def test_a_map_whose_symmetric_part_is_not_positive_gets_no_block_certificate() -> None:
    """The counter-example q = p_0 = N(0, I_2), γ = 1, T = −½ Id: its own ε is exactly 0."""
    x = torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turn = AffineMap(-0.5 * np.eye(2), np.zeros(2), np.zeros(2))
    _, own = evidence(x, turn, 1.0, ot=True)
    assert own.epsilon_squared is not None
    assert abs(own.epsilon_squared.value) < 0.02
    block = certify([replace(own, epsilon_squared_ot=None)], 2)
    assert block.certificate_a is None
    assert block.certificate_b is None
    assert "not positive" in block.reasons["certificate_a"]
    ot = certify([own], 2)
    assert ot.certificate_a is not None
    assert ot.certificate_a > 0.636
    assert ot.certificate_b is not None
    assert ot.certificate_b > 0.636
    assert ot.certificate_c is not None
    assert ot.certificate_c > 0.636


def test_a_rotation_with_positive_symmetric_part_pays_for_its_kappa() -> None:
    """T = ½ R(60°): block ε misses the turn, κ = log(1/cos² 60°) counts it."""
    angle = math.pi / 3
    turn = 0.9 * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    x = torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _, own = evidence(x, AffineMap(turn, np.zeros(2), np.zeros(2)), 1.0)
    assert own.kappa is not None
    assert own.kappa.value == pytest.approx(2 * math.log(2), rel=1e-6)
    true = Law(np.zeros(2), 0.81 * np.eye(2)).kl
    found = certify([own], 2)
    assert found.certificate_b is not None
    assert found.certificate_b > true


def test_unfit_data_get_one_reason_for_everything() -> None:
    found = certify([after_identity(bimodal(200, 1, 0), 0)], 1, unfit="because of jumps")
    names = [*NAMES, "kl_bound", "kl_estimate", "tv", "w2_bound", "theorem_steps", "sharp_steps"]
    assert [getattr(found, name) for name in names] == [None] * len(names)
    assert {found.reasons[name] for name in NAMES} == {"because of jumps"}
    assert found.entropy_interval[0] is None
    assert found.kl_lower_bound is not None


def test_estimates_of_missing_rows_are_reasons_not_numbers() -> None:
    own = replace(after_identity(bimodal(200, 1, 0), 0), epsilon_squared=None, fisher=None, kl_lower=None)
    found = certify([own], 1)
    assert all(getattr(found, name) is None for name in NAMES)
    assert "too few" in found.reasons["certificate_a"]
    assert "too few" in found.reasons["certificate_c"]


def test_a_better_model_of_the_data_withdraws_what_it_contradicts() -> None:
    own = replace(
        after_identity(bimodal(ROWS, 1, 3), 0), kl_lower=None, kl_lower_mixture=Estimate(0.19, 0.01)
    )
    found = certify([own], 1)
    assert found.certificate_c is None
    assert found.certificate_c_triangle is None
    assert "mixture" in found.reasons["certificate_c"]
    assert (found.kl_lower_bound, found.kl_lower_bound_se) == (0.19, 0.01)


def test_a_later_block_withdraws_an_earlier_certificate_that_it_contradicts() -> None:
    """C_1 = .02 nats by a blind critic, no KL removed since, and KL ≥ .19 shown after the second block."""
    blind = replace(after_identity(bimodal(ROWS, 1, 3), 0), kl_lower=None, fisher=Estimate(0.04, 0.0))
    later = replace(blind, kl_lower=Estimate(0.19, 0.01))
    alone, both = certify([blind], 1), certify([blind, later], 1)
    assert alone.certificate_c_propagated == pytest.approx(0.02)
    assert both.certificate_c_propagated is None
    assert both.entropy_interval[0] is None


def test_the_weakest_input_decides_the_status() -> None:
    """One block without exact score makes estimates of all that rest on it, and of nothing else."""
    exact = replace(after_identity(bimodal(ROWS, 1, 2), 40), exact_epsilon=True, exact_fisher=True)
    assert set(certify([exact, exact], 1).statuses.values()) == {"measured"}
    mixed = certify([replace(exact, exact_epsilon=False, exact_fisher=False), exact], 1).statuses
    assert {mixed[name] for name in ("certificate_a", "certificate_b", "certificate_c_hwi")} == {"estimated"}
    assert (mixed["certificate_c_propagated"], mixed["theorem_steps"]) == ("estimated", "estimated")
    assert (mixed["certificate_c"], mixed["certificate_c_triangle"]) == ("measured", "measured")
    ot = certify([replace(exact, epsilon_squared_ot=exact.epsilon_squared)], 1).statuses
    assert (ot["certificate_a"], ot["certificate_c"]) == ("estimated", "measured")


def test_only_what_chance_error_stands_behind_is_called_a_bound() -> None:
    estimate = after_identity(bimodal(ROWS, 1, 2), 40)
    exact = replace(estimate, exact_epsilon=True, exact_fisher=True)
    sure, guess = certify([exact], 1), certify([estimate], 1)
    assert sure.kl_bound is not None
    smallest = sure.kl_bound
    assert (sure.best, guess.best) == (Bound(smallest, Status.MEASURED), Bound(smallest, Status.ESTIMATED))
    assert sure.best_named == {"kl_bound": smallest, "kl_estimate": None}
    assert guess.best_named == {"kl_bound": None, "kl_estimate": smallest}
    assert (sure.kl_estimate, sure.deprecated) == (None, {})
    assert "kl_bound" in sure.reasons["kl_estimate"]
    # the old name goes on for a version, with a warning, and is no bound for any code that asks
    assert guess.kl_bound == guess.kl_estimate == smallest
    assert "kl_estimate" in guess.deprecated["kl_bound"]
    assert guess.bound("kl_bound") == Withheld(guess.reasons["kl_bound"], Cause.UNSEEN)
    for found in (sure, guess):
        assert (found.statuses["tv"], found.statuses["w2_bound"]) == (found.best.status,) * 2


def test_a_bound_comes_before_a_smaller_estimate() -> None:
    """The optimal pairing's ε is always a critic's; (C) by the exact score is a bound all the same."""
    own = replace(after_identity(bimodal(ROWS, 1, 2), 40), exact_fisher=True)
    own = replace(own, fisher=Estimate(6.0, 0.0), movement=Estimate(0.1, 0.0))
    found = certify([own], 1)
    assert found.certificate_b is not None
    assert found.certificate_c is not None
    assert found.certificate_b < found.certificate_c
    assert found.best == Bound(pytest.approx(found.certificate_c), Status.MEASURED)
    assert found.kl_estimate is None
    assert found.w2_bound == pytest.approx(math.sqrt(6))


def test_the_smallest_of_many_limits_is_corrected_for() -> None:
    """Four exact blocks of a law whose KL is I/2: every limit alone is too low in one of 44 repetitions."""
    draw, truth, held = np.random.default_rng(5), 0.5, []
    for _ in range(2000):
        values = truth + 0.1 * draw.standard_normal(4)
        still = Estimate(0.0, 0.0)
        blocks = [
            Evidence(
                math.inf, Estimate(1.0, 0.0), Estimate(1.0, 0.0), still, still, Estimate(9.0, 0.0), None,
                Estimate(2 * value, 0.2), None, exact_epsilon=True, exact_fisher=True,
            )
            for value in values
        ]  # fmt: skip
        found = certify(blocks, 2)
        plain = min(values) + 0.2
        assert found.certificate_c_propagated is not None
        assert found.kl_bound is not None
        assert plain < found.certificate_c_propagated <= found.kl_bound
        held.append((plain >= truth, found.certificate_c_propagated >= truth, found.kl_bound >= truth))
    plain_held, one_held, best_held = np.mean(held, axis=0)
    assert plain_held < 0.94
    assert one_held > 0.977 - 3 * math.sqrt(0.977 * 0.023 / 2000)
    assert best_held > 0.977


def test_the_better_of_two_lower_bounds_is_corrected_for() -> None:
    own = replace(
        after_identity(bimodal(ROWS, 1, 2), 40), kl_lower=Estimate(0.1, 0.01), kl_lower_mixture=None
    )
    alone = certify([own], 1)
    both = certify([replace(own, kl_lower_mixture=Estimate(0.05, 0.01))], 1)
    assert alone.kl_lower_bound_sure == pytest.approx(0.08)
    assert both.kl_lower_bound_sure == pytest.approx(0.1 - 0.01 * margin_of(2))


def test_of_an_average_that_few_rows_carry_the_certificate_says_more() -> None:
    own = replace(after_identity(bimodal(ROWS, 1, 2), 40), exact_epsilon=True, exact_fisher=True)
    assert own.fisher is not None
    heavy = replace(own, fisher=replace(own.fisher, tail=0.4))
    found, plain = certify([heavy], 1), certify([own], 1)
    assert found.certificate_c is not None
    assert plain.certificate_c is not None
    assert found.certificate_c > 1.5 * plain.certificate_c
    endless = certify([replace(own, fisher=replace(own.fisher, tail=0.9), epsilon_squared=None)], 1)
    assert endless.certificate_c is None
    assert "no upper limit" in endless.reasons["certificate_c"]
    assert endless.causes["certificate_c"] == "unseen"


def test_an_estimate_of_an_earlier_version_is_still_one() -> None:
    old = Guarantee(kl_bound=2.0, statuses={"kl_bound": Status.ESTIMATED})
    assert old.best == Bound(2.0, Status.ESTIMATED)
    assert old.best_named == {"kl_bound": None, "kl_estimate": 2.0}
    assert Guarantee.model_validate(old.plain()).plain() == old.plain()


def test_what_has_no_figure_fails_or_is_unknown() -> None:
    own = after_identity(bimodal(ROWS, 1, 2), 40)
    unfit = certify([own], 1, unfit="because of jumps")
    assert {unfit.statuses[name] for name in NAMES} == {"fails"}
    assert {unfit.causes[name] for name in NAMES} == {"unfit"}
    few = certify([replace(own, epsilon_squared=None, fisher=None, missing="too few rows: 9")], 1)
    assert {few.statuses[name] for name in NAMES} == {"unknown"}
    assert few.reasons["certificate_c"].endswith("too few rows: 9")
    blind = certify([replace(own, kl_lower=Estimate(9.0, 0.1))], 1)
    assert (blind.causes["certificate_c"], blind.statuses["certificate_c"]) == ("withdrawn", "fails")
    assert {blind.statuses[name] for name in ("kl_bound", "kl_estimate", "tv", "w2_bound")} == {"fails"}
