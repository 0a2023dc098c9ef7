"""Figures of a block and of a chain against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from jko.chain.chain import Chain
from jko.config.sections import Measure
from jko.energies.functional import (
    Entropy,
    PotentialEnergy,
    PowerEnergy,
    QuadraticInteraction,
    half_square,
)
from jko.energies.objective import jko_objective
from jko.laws import gaussian
from jko.laws.manufactured import GaussianMixture, manufactured_step
from jko.maps.ode_block import Block
from jko.measure.figures import BlockFigures
from jko.measure.measures import (
    HeldOut,
    _identities,
    chain_inversion_error,
    measure_block,
    root_mean_square,
    standard_error,
)
from tests.oracles import (
    affine_block,
    gaussian_affine_block,
    identity_block,
    normal,
    random_block,
    random_chain,
)

MEAN, STD = [2.0, -1.0], [0.5, 1.5]
AFTER_MEAN, AFTER_STD = [1.0, -0.3], [0.8, 1.2]
IDENTITIES = ("identity_mean", "identity_mean_se", "identity_covariance", "identity_covariance_se")
MEASURE = Measure(critic_centres=0, reference_rows=50)
X = torch.tensor(MEAN) + torch.tensor(STD) * normal(256, 2, seed=0)


@torch.no_grad()
def figures(block: Block, x: Tensor = X, before: float = 0.0) -> BlockFigures:
    """Measured as a chain would: ``before`` is the log-determinant of what came first."""
    pushed = block(x)
    rows = HeldOut(x, pushed.x, pushed.log_det, pushed.log_det_se, pushed.log_det + before)
    return measure_block([block], rows, MEASURE)


def test_kl_drop_of_an_affine_block_is_the_difference_of_closed_forms() -> None:
    """Within 4 SE, and the SE is not vacuous."""
    found = figures(gaussian_affine_block((MEAN, STD), (AFTER_MEAN, AFTER_STD), 0.5))
    before, after = gaussian.Gaussian.of(MEAN, STD), gaussian.Gaussian.of(AFTER_MEAN, AFTER_STD)
    exact = gaussian.kl(before) - gaussian.kl(after)
    assert 0 < found.kl_drop_se < 0.2 * exact
    assert abs(found.kl_drop - exact) < 4 * found.kl_drop_se


def test_nll_of_an_affine_block_is_the_cross_entropy_of_its_gaussian() -> None:
    """T = s x + b makes the model N(−b/s, 1/s²) exactly."""
    block = affine_block([2.0, 0.5], [-1.0, 0.3])
    model = torch.distributions.Normal(torch.tensor([0.5, -0.6]).double(), torch.tensor([0.5, 2.0]).double())
    exact = -model.log_prob(X).sum(-1)
    found = figures(block)
    assert found.nll == pytest.approx(float(exact.mean()), abs=1e-5)
    assert found.nll_se == pytest.approx(float(exact.std()) / 16, rel=1e-5)


def test_nll_is_minus_the_mean_log_prob_of_the_chain_in_data_units() -> None:
    chain = random_chain(2, blocks=1, steps=4)
    (block,) = chain
    found = figures(block, chain.standardise(X), before=-float(chain.scale.log().sum()))
    assert found.nll == pytest.approx(-float(chain.log_prob(X)[0].mean()), abs=1e-12)


def test_the_losses_are_the_terms_of_the_objective() -> None:
    block = random_block("two_layers", 2, steps=4)
    found, terms = figures(block), jko_objective(block, X)
    assert found.loss_potential == pytest.approx(terms.potential.item(), abs=1e-12)
    assert found.loss_log_det == pytest.approx(terms.log_det.item(), abs=1e-12)
    assert found.loss_transport == pytest.approx(terms.transport.item(), abs=1e-12)


def test_the_identity_moves_and_loses_nothing() -> None:
    found = figures(identity_block(2))
    assert found.inversion_error == 0
    assert found.movement == 0
    assert found.kl_drop == 0
    assert found.loss_transport == 0
    assert found.log_det_se == 0
    assert found.loss_potential == pytest.approx(float((X**2).sum(-1).mean() / 2))


def test_movement_of_a_translation_is_its_length() -> None:
    found = figures(affine_block([1.0, 1.0], [3.0, -4.0], step_size=0.25))
    assert found.movement == pytest.approx(5, abs=1e-12)
    assert found.loss_transport == pytest.approx(25 / 0.5, abs=1e-10)
    assert found.inversion_error == pytest.approx(0, abs=1e-12)


def test_movement_is_the_root_mean_square_distance() -> None:
    block = random_block("one_layer", 2, steps=4)
    moved = (block(X).x - X).norm(dim=-1)
    assert figures(block).movement == pytest.approx((moved**2).mean().sqrt().item(), rel=1e-12)


def test_inversion_error_is_the_round_trip_with_the_block_s_own_solver() -> None:
    """Few steps leave an error that is reported; more steps leave less, at RK4's order."""
    coarse, fine = (figures(random_block("two_layers", 2, steps=n)).inversion_error for n in (2, 8))
    block = random_block("two_layers", 2, steps=2)
    trip = block.pull_back(block.push_forward(X)) - X
    assert coarse == pytest.approx((trip**2).sum(-1).mean().sqrt().item(), rel=1e-9)
    assert coarse > 1e-6
    assert fine < coarse / 4**3


def test_inversion_error_sees_rows_in_the_wrong_order() -> None:
    """Row i of y must be the image of row i of x."""
    block = identity_block(2)
    pushed = block(X)
    rows = HeldOut(X, pushed.x.flip(0), pushed.log_det, pushed.log_det_se, pushed.log_det)
    found = measure_block([block], rows, MEASURE)
    assert found.inversion_error > 1


def test_log_det_se_is_the_mean_over_rows() -> None:
    block = random_block("two_layers", 2, steps=2, probes=3)
    assert figures(block).log_det_se == pytest.approx(block(X).log_det_se.mean().item(), rel=1e-12)


def test_float32_rows_are_averaged_in_float64() -> None:
    """A large common offset does not swamp the differences: exact to the rows' own rounding."""
    block, x = identity_block(2, dtype=torch.float32), (X + 1000).float()
    exact = (x.double() ** 2).sum(-1).mean() / 2
    assert figures(block, x).loss_potential == pytest.approx(float(exact), rel=1e-7)


def test_inversion_error_of_a_chain_of_identities_is_zero() -> None:
    shift, scale = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    assert chain_inversion_error(Chain([identity_block(2)] * 2, shift, scale), X) == 0


def test_inversion_error_of_a_chain_is_in_standardised_units() -> None:
    """Against the round trip by hand; the same rows in other units give the same figure."""
    chain = random_chain(2, steps=3)
    back = chain.inverse(chain(X).x)
    exact = (((back - X) / chain.scale) ** 2).sum(-1).mean().sqrt().item()
    assert exact > 1e-7
    assert chain_inversion_error(chain, X) == pytest.approx(exact, rel=1e-6)
    larger = Chain(list(chain), 100 * chain.shift, 100 * chain.scale)
    assert chain_inversion_error(larger, 100 * X) == pytest.approx(exact, rel=1e-6)


def test_the_identities_are_about_their_errors_at_an_exact_step() -> None:
    """Of an exact step from a mixture; a wrong step size shows clearly."""
    law = GaussianMixture.of([0.5, 0.5], [[-1.5, 0.0], [1.5, 0.5]], torch.eye(2).double().expand(2, 2, 2))
    sizes = []
    for seed in range(200):
        step = manufactured_step(law, 0.5, 400, torch.Generator().manual_seed(seed))
        found = _identities(step.x, step.y, 0.5)
        sizes.append([float(found[name]) for name in IDENTITIES])
    mean, mean_se, covariance, covariance_se = torch.tensor(sizes).double().unbind(1)
    for own, error in ((mean, mean_se), (covariance, covariance_se)):
        assert float((own**2).mean().sqrt()) == pytest.approx(float(error.mean()), rel=0.1)
        assert float((own > 2 * error).double().mean()) < 0.06
    step = manufactured_step(law, 0.5, 4000, torch.Generator().manual_seed(0))
    wrong = _identities(step.x, step.y, 0.6)
    assert wrong["identity_covariance"] > 4 * wrong["identity_covariance_se"]
    assert math.isnan(float(_identities(step.x[:1], step.y[:1], 0.5)["identity_mean_se"]))


def test_root_mean_square_sums_over_dimensions_and_averages_over_rows() -> None:
    assert root_mean_square(torch.tensor([[3.0, 4.0], [0.0, 0.0]])) == pytest.approx(math.sqrt(12.5))


def test_standard_error_is_std_over_root_n_and_nan_for_a_single_row() -> None:
    assert standard_error(torch.tensor([1.0, 2.0, 3.0, 4.0])) == pytest.approx(math.sqrt(5 / 3) / 2)
    assert math.isnan(standard_error(torch.tensor([1.0])))


def test_another_model_bounds_the_kl_from_below_row_by_row() -> None:
    """The rival knows the law: NLL minus its NLL is KL(p ‖ q_0), with the error of the pairs."""
    block = identity_block(2)
    pushed = block(X)
    law = torch.distributions.Normal(torch.tensor(MEAN), torch.tensor(STD))
    rival = law.log_prob(X).sum(-1)
    rows = HeldOut(X, pushed.x, pushed.log_det, pushed.log_det_se, pushed.log_det, rival)
    found = measure_block([block], rows, MEASURE)
    exact = gaussian.kl(gaussian.Gaussian.of(MEAN, STD))
    assert abs(found.kl_lower_mixture - exact) < 4 * found.kl_lower_mixture_se
    assert found.kl_lower_mixture_se < 0.2 * exact
    assert figures(block).kl_lower_mixture is None


@torch.no_grad()
def test_the_law_before_a_block_under_another_functional_is_measured_against_closed_forms() -> None:
    """V = λ|x|²/2, an interaction and entropy on N(m, s²): E|x − x*|² and E|∇δG/δρ|² before the block."""
    lam, attraction = 2.0, 0.5
    functional = (
        PotentialEnergy(lambda x: lam * half_square(x), lam) + QuadraticInteraction(attraction) + Entropy()
    )
    x = torch.tensor(MEAN) + torch.tensor(STD) * normal(4000, 2, seed=5)
    mean, square = torch.tensor(MEAN).double(), torch.tensor(STD).double().square()
    block = gaussian_affine_block((MEAN, STD), (AFTER_MEAN, AFTER_STD), 0.5)
    pushed, lowest = block(x), torch.tensor([1.0, 0.0]).double()
    rows = HeldOut(x, pushed.x, pushed.log_det, pushed.log_det_se, pushed.log_det, lowest=lowest)
    found = measure_block(
        [block], rows, MEASURE, functional=functional, score=lambda at: (mean - at.double()) / square
    )
    slope = lam + attraction - 1 / square
    exact = (lam * mean).square().sum() + (slope.square() * square).sum()
    away = (mean - lowest).square().sum() + square.sum()
    for value, se, true in (
        (found.fisher_before, found.fisher_before_se, exact),
        (found.from_lowest, found.from_lowest_se, away),
    ):
        assert 0 < se < 0.05 * true
        assert abs(value - true) < 4 * se
    plain = figures(block)
    assert (plain.from_lowest, plain.fisher_before) == (None, None)


@torch.no_grad()
def test_asymmetry_counts_by_the_pressure() -> None:
    """A turning block: κ of the entropy times E ρ under a square power, 0 without internal energy."""
    block = random_block("two_layers", 2, steps=4)
    pushed, zero = block(X), torch.zeros(len(X)).double()
    rows = HeldOut(X, pushed.x, pushed.log_det, zero, pushed.log_det, log_density=zero + 3.0)
    well = PotentialEnergy(half_square, 1.0)
    plain, none, power = (
        measure_block([block], rows, MEASURE, functional=functional).kappa
        for functional in (well + Entropy(), well + QuadraticInteraction(1.0), well + PowerEnergy(2.0))
    )
    assert plain > 0
    assert none == 0
    assert power == pytest.approx(math.exp(3) * plain)
