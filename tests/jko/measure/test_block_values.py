"""The figures of a block, each beside the same average written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from jko.config.sections import Measure
from jko.energies.functional import Entropy, PotentialEnergy, PowerEnergy, QuadraticInteraction, half_square
from jko.laws.score import score_after
from jko.maps.jacobian import asymmetry
from jko.maps.ode_block import Block, Solver
from jko.measure import measures
from jko.measure.epsilon import measure_epsilon
from jko.measure.figures import BlockFigures
from jko.measure.measures import HeldOut, measure_block
from jko.measure.residual import residual_data
from jko.statistics.transport import gelbrich_lower, optimal_back
from jko.statistics.two_sample import kl_lower_bound
from tests.oracles import normal, random_block, random_field

FIRST = Block(random_field("two_layers", 2, seed=3), 0.3, Solver(steps=4))
BLOCK = random_block("two_layers", 2, steps=4, seed=1)
START = torch.tensor([0.4, -0.3]) + 0.8 * normal(160, 2, seed=0)
SETTINGS = Measure(critic_centres=2, reference_rows=3)
WELL = PotentialEnergy(lambda x: 1.5 * half_square(x), 1.5)


@torch.no_grad()
def held_out(count: int = 160, **more: object) -> HeldOut:
    """Behind the first block and behind the second."""
    x = FIRST.push_forward(START[:count])
    pushed = BLOCK(x)
    noise = torch.linspace(0, 1, count).double()
    return HeldOut(x, pushed.x, pushed.log_det, noise, pushed.log_det + 0.7, **more)


def measured(rows: HeldOut, settings: Measure = SETTINGS, **more: object) -> BlockFigures:
    return measure_block([FIRST, BLOCK], rows, settings, **more)


def spread(values: Tensor) -> float:
    return float(values.double().std() / math.sqrt(len(values)))


def near(value: float | Tensor) -> object:
    return pytest.approx(float(value), rel=1e-9, abs=1e-12)


def log_normal(y: Tensor) -> Tensor:
    return -half_square(y) - math.log(2 * math.pi)


def score(x: Tensor) -> Tensor:
    """Of N((.4, −.3), .64 I), the law of the start."""
    return (torch.tensor([0.4, -0.3]).to(x) - x) / 0.64


@pytest.fixture
def plain() -> BlockFigures:
    return measured(held_out(), seed=5)


def test_energies_and_losses(plain: BlockFigures) -> None:
    rows = held_out()
    before, after = half_square(rows.x), half_square(rows.y)
    drop, nll = before - after + rows.log_det, -(log_normal(rows.y) + rows.log_det + 0.7)
    assert (plain.kl_drop, plain.kl_drop_se) == (near(drop.mean()), near(spread(drop)))
    assert (plain.nll, plain.nll_se) == (near(nll.mean()), near(spread(nll)))
    assert (plain.loss_potential, plain.loss_potential_se) == (near(after.mean()), near(spread(after)))
    assert (plain.potential_before, plain.potential_before_se) == (near(before.mean()), near(spread(before)))
    assert plain.loss_log_det == near(rows.log_det.mean())
    assert plain.log_det_se == near(0.5)


def test_movement_and_inverse(plain: BlockFigures) -> None:
    rows = held_out()
    moved = (rows.y - rows.x).square().sum(1)
    movement = math.sqrt(float(moved.mean()))
    assert (plain.movement, plain.movement_se) == (near(movement), near(spread(moved) / (2 * movement)))
    assert plain.loss_transport == near(moved.mean() / (2 * BLOCK.step_size))
    back = BLOCK.pull_back(rows.y).detach() - rows.x
    assert plain.inversion_error == pytest.approx(float(back.square().sum(1).mean().sqrt()), rel=1e-6)
    few = rows.y[:3]
    apart = BLOCK.pull_back(few).detach() - BLOCK.pull_back_exactly(few, index=2)
    assert plain.inversion_error_reference == pytest.approx(
        float(apart.square().sum(1).mean().sqrt()), rel=1e-4
    )


def test_both_identities_of_an_exact_step(plain: BlockFigures) -> None:
    rows, gamma = held_out(), BLOCK.step_size
    x, y = rows.x.numpy(), rows.y.numpy()
    assert plain.identity_mean == near(torch.tensor((1 + gamma) * y.mean(0) - x.mean(0)).norm())
    inner = y - y.mean(0)
    whole = ((1 + gamma) * inner.T @ inner - (x - x.mean(0)).T @ inner) / len(y)
    whole[[0, 1], [0, 1]] -= gamma
    assert plain.identity_covariance == near(torch.tensor(whole).norm())


def test_the_critics_figures(plain: BlockFigures) -> None:
    rows = held_out()
    error, fisher = measure_epsilon(rows.x, rows.y, BLOCK.step_size, 2)
    assert (plain.epsilon, plain.epsilon_squared, plain.epsilon_squared_se) == (
        near(error.epsilon), near(error.value), near(error.se),
    )  # fmt: skip
    assert (plain.epsilon_class, plain.epsilon_reason) == ("affine + 2 RBF", "")
    assert (plain.fisher, plain.fisher_se) == (near(fisher.value), near(fisher.se))


def test_the_shape_of_the_map(plain: BlockFigures) -> None:
    found = asymmetry(BLOCK, held_out().x)
    assert (plain.kappa, plain.kappa_se) == (near(found.kappa), near(found.kappa_se))
    assert plain.symmetric_part_positive is True
    assert plain.symmetric_part_smallest == near(found.smallest)
    assert plain.lipschitz_inverse == near(found.lipschitz_inverse)
    assert plain.lipschitz_inverse_q99 == near(found.lipschitz_inverse_q99)


def test_as_many_jacobians_as_are_affordable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten numbers are five rows of two columns, and two rows are taken at least."""
    rows = held_out()
    for budget, count in ((10, 5), (11, 5), (2, 2)):
        monkeypatch.setattr(measures, "JACOBIAN_BUDGET", budget)
        assert measured(rows).kappa == near(asymmetry(BLOCK, rows.x[:count]).kappa)


def test_a_lower_bound_by_a_classifier_and_by_another_model(plain: BlockFigures) -> None:
    rows = held_out()
    bound = kl_lower_bound(rows.y, dim=2, seed=5)
    assert (plain.kl_lower_classifier, plain.kl_lower_classifier_se) == (near(bound.value), near(bound.se))
    assert (plain.kl_lower_mixture, plain.kl_lower_mixture_se) == (None, None)
    rival = normal(160, seed=9) - 3
    found = measured(held_out(rival=rival))
    excess = rival - log_normal(rows.y) - rows.log_det - 0.7
    assert (found.kl_lower_mixture, found.kl_lower_mixture_se) == (near(excess.mean()), near(spread(excess)))
    context = torch.cat([rows.y, normal(160, 1, seed=8).sign()], 1)
    beside = kl_lower_bound(context, dim=2, seed=3)
    assert measures._classified(context, 2, 3)["kl_lower_classifier"] == near(beside.value)
    few, enough = measured(held_out(39)), measured(held_out(40))
    assert (few.kl_lower_classifier, few.kl_lower_classifier_se) == (None, None)
    assert enough.kl_lower_classifier == near(kl_lower_bound(held_out(40).y, dim=2, seed=0).value)


def test_what_is_not_asked_for_is_not_there(plain: BlockFigures) -> None:
    names = (
        "epsilon_ot", "epsilon_ot_squared", "epsilon_ot_squared_se", "moved_lower", "distance_lower",
        "epsilon_exact", "epsilon_exact_squared", "epsilon_exact_squared_se", "fisher_exact",
        "fisher_exact_se", "from_lowest", "from_lowest_se", "fisher_before", "fisher_before_se",
    )  # fmt: skip
    assert [plain.figure(name) for name in names] == [None] * len(names)
    assert set(names) <= plain.model_fields_set


def test_figures_of_ot_pairing() -> None:
    rows, paired = held_out(), SETTINGS.model_copy(update={"pairing": "affine"})
    found = measured(rows, paired)
    end, back = optimal_back(rows.x, rows.y, "affine")
    other = measure_epsilon(back, end, BLOCK.step_size, 2)[0]
    assert (found.epsilon_ot, found.epsilon_ot_squared, found.epsilon_ot_squared_se) == (
        near(other.epsilon), near(other.value), near(other.se),
    )  # fmt: skip
    assert found.moved_lower == near(gelbrich_lower(rows.x, rows.y))
    assert found.distance_lower == near(gelbrich_lower(rows.y))
    assert found.epsilon_squared == near(measure_epsilon(rows.x, rows.y, BLOCK.step_size, 2)[0].value)
    few = measured(held_out(60), paired)
    assert (few.epsilon_ot, few.epsilon_reason[:27]) == (None, "too few held-out rows for a")
    unfit = measured(rows, paired, unfit="jumps", score=score)
    assert (unfit.epsilon, unfit.fisher, unfit.epsilon_ot, unfit.epsilon_exact) == (None, None, None, None)
    assert (unfit.epsilon_reason, unfit.epsilon_class, unfit.fisher_before) == ("jumps", "none", None)


@torch.no_grad()
def test_figures_by_the_exact_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the first hundred rows, carried through both blocks."""
    monkeypatch.setattr(measures, "EXACT_ROWS", 100)
    rows = held_out()
    found, x, y = measured(rows, score=score), rows.x[:100], rows.y[:100]
    slope = score_after([FIRST, BLOCK], y, score)
    error = (residual_data(x, y, BLOCK.step_size) + slope).square().sum(1)
    fisher = (y + slope).square().sum(1)
    assert found.epsilon_exact == near(error.mean().sqrt())
    assert (found.epsilon_exact_squared, found.epsilon_exact_squared_se) == (
        near(error.mean()), near(spread(error)),
    )  # fmt: skip
    assert (found.fisher_exact, found.fisher_exact_se) == (near(fisher.mean()), near(spread(fisher)))
    more = measure_block([FIRST, FIRST, BLOCK], rows, SETTINGS, score=score)
    slope = score_after([FIRST, FIRST, BLOCK], y, score)
    assert more.epsilon_exact_squared == near(
        (residual_data(x, y, BLOCK.step_size) + slope).square().sum(1).mean()
    )


@torch.no_grad()
def test_figures_under_a_functional_that_needs_the_density(monkeypatch: pytest.MonkeyPatch) -> None:
    """V = 1.5 |x|²/2, ∫ρ² and a pull: everything that U weighs counts by ρ at its own row."""
    monkeypatch.setattr(measures, "EXACT_ROWS", 100)
    functional = WELL + PowerEnergy(2.0) + QuadraticInteraction(0.5)
    log_density, lowest = normal(160, seed=4) - 1, torch.tensor([0.3, 0.2])
    rows = held_out(log_density=log_density, lowest=lowest, rival=log_density)
    found = measured(
        rows, SETTINGS.model_copy(update={"pairing": "affine"}), score=score, functional=functional
    )

    def energy(z: Tensor, log_rho: Tensor) -> Tensor:
        """A row is in two places of a pair: twice its half mean, less the mean."""
        squares = (z - z.mean(0)).square().sum(1)
        pull = 0.25 * 0.5 * (squares + squares.mean()) * 160 / 159
        return 1.5 * half_square(z) + 2 * pull - pull.mean() + log_rho.exp()

    def drift(z: Tensor) -> Tensor:
        return 1.5 * z + 0.5 * (z - z.mean(0)) * len(z) / (len(z) - 1)

    before, after = energy(rows.x, log_density + rows.log_det), energy(rows.y, log_density)
    assert (found.kl_drop, found.kl_drop_se) == (near((before - after).mean()), near(spread(before - after)))
    assert (found.potential_before, found.loss_potential) == (near(before.mean()), near(after.mean()))
    x, y, slope = rows.x[:100], rows.y[:100], score_after([FIRST, BLOCK], rows.y[:100], score)
    inner = 2 * log_density[:100].exp()[:, None] * slope
    error = (residual_data(x, y, BLOCK.step_size, drift(y)) + inner).square().sum(1)
    assert found.epsilon_exact_squared == near(error.mean())
    assert found.fisher_exact == near((drift(y) + inner).square().sum(1).mean())
    critic, fisher = measure_epsilon(
        rows.x, rows.y, BLOCK.step_size, 2, energy=functional, log_density=log_density
    )
    assert (found.epsilon_squared, found.fisher) == (near(critic.value), near(fisher.value))
    end, back = optimal_back(rows.x, rows.y, "affine")
    other = measure_epsilon(back, end, BLOCK.step_size, 2, energy=functional, log_density=log_density)[0]
    assert found.epsilon_ot_squared == near(other.value)
    assert found.kappa == near(asymmetry(BLOCK, rows.x, log_density.exp()).kappa)
    away = (rows.x - lowest).square().sum(1)
    assert (found.from_lowest, found.from_lowest_se) == (near(away.mean()), near(spread(away)))
    first = rows.x[:100]
    weight = 2 * (log_density + rows.log_det)[:100].exp()[:, None]
    start = (drift(first) + weight * score_after([FIRST], first, score)).square().sum(1)
    assert (found.fisher_before, found.fisher_before_se) == (near(start.mean()), near(spread(start)))
    assert found.moved_lower == near(gelbrich_lower(rows.x, rows.y))
    for name in ("distance_lower", "kl_lower_classifier", "kl_lower_mixture", "identity_mean",
                 "identity_covariance"):  # fmt: skip
        assert found.figure(name) is None, name


@torch.no_grad()
def test_figures_under_entropies_need_no_density() -> None:
    """Two entropies: log|det| counts twice, and its weight is 2 in κ and behind the score."""
    functional = WELL + Entropy() + Entropy()
    rows = held_out(lowest=torch.zeros(2), log_reference=normal(160, seed=2))
    found = measured(rows, functional=functional, score=score)
    drop = 1.5 * (half_square(rows.x) - half_square(rows.y)) + 2 * rows.log_det
    assert (found.kl_drop, found.kl_drop_se) == (near(drop.mean()), near(spread(drop)))
    assert found.loss_potential == near(1.5 * half_square(rows.y).mean())
    assert found.potential_before == near(1.5 * half_square(rows.x).mean())
    assert found.nll == near(-(normal(160, seed=2) + rows.log_det + 0.7).mean())
    assert found.kappa == near(2 * asymmetry(BLOCK, rows.x).kappa)
    start = (1.5 * rows.x + 2 * score_after([FIRST], rows.x, score)).square().sum(1)
    assert found.fisher_before == near(start.mean())
    behind = score_after([FIRST, BLOCK], rows.y, score)
    assert found.fisher_exact == near((1.5 * rows.y + 2 * behind).square().sum(1).mean())
    unknown = measured(rows, functional=functional)
    assert (unknown.from_lowest, unknown.fisher_before) == (found.from_lowest, None)
    assert {"fisher_before", "fisher_before_se"} <= unknown.model_fields_set


@torch.no_grad()
def test_a_density_that_is_known_is_not_asked_without_need() -> None:
    rows = held_out(log_density=normal(160, seed=4))
    found = measured(rows, functional=WELL + Entropy())
    drop = 1.5 * (half_square(rows.x) - half_square(rows.y)) + rows.log_det
    assert found.kl_drop == near(drop.mean())
    assert found.loss_potential == near(1.5 * half_square(rows.y).mean())


def test_averages_of_float32_are_taken_in_float64() -> None:
    values = torch.full((1000,), 0.1)
    values[::2] += 1e4
    assert measures.standard_error(values) == pytest.approx(
        float(values.double().std()) / math.sqrt(1000), rel=1e-12
    )
    exact = values.double().square().mean().sqrt()
    assert measures.root_mean_square(values[:, None]) == pytest.approx(float(exact), rel=1e-12)
    assert measures.standard_error(torch.tensor([1.0, 3.0])) == pytest.approx(1.0)
    assert math.isnan(measures.standard_error(torch.tensor([1.0])))
