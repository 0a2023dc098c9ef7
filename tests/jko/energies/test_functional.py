"""Functionals against closed forms, their own first variation, and convexity along geodesics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import jko.energies.functional as module
from jko.core.errors import InputError
from jko.energies import objective
from jko.energies.functional import (
    Entropy,
    Functional,
    InteractionEnergy,
    InternalEnergy,
    PotentialEnergy,
    PowerEnergy,
    QuadraticInteraction,
    Term,
    gaussian_reference,
    half_square,
)
from jko.laws import gaussian
from tests.oracles import jacobian, normal, rows_with_exact_moments, standard_error

SQUARE = PotentialEnergy(half_square, 1.0)
WELLS = PotentialEnergy(lambda x: ((x**2 - 1) ** 2).sum(-1) / 4 + x[:, 0], None, "double well")
SMOOTH_DISTANCE = InteractionEnergy(lambda z: (1 + (z * z).sum(-1)).sqrt(), True)
#: the kernel of Keller and Segel in the plane: W(0) = −∞
LOGARITHM = InteractionEnergy(lambda z: 0.5 * (z * z).sum(-1).log(), False, "logarithm")
GENERAL_SQUARE = InteractionEnergy(lambda z: 1.7 * half_square(z), True)
TERMS: dict[str, Functional] = {
    "square": Functional((SQUARE,)),
    "double well": Functional((WELLS,)),
    "smooth distance": Functional((SMOOTH_DISTANCE,)),
    "logarithm": Functional((LOGARITHM,)),
    "quadratic": Functional((QuadraticInteraction(1.7),)),
    "entropy": Functional((Entropy(),)),
    "power 2": Functional((PowerEnergy(2.0),)),
    "power 1.4": Functional((PowerEnergy(1.4),)),
    "all": WELLS + SMOOTH_DISTANCE + QuadraticInteraction(-0.4) + Entropy() + PowerEnergy(3.0),
}
every_functional = pytest.mark.parametrize("name", TERMS)
every_internal = pytest.mark.parametrize(
    "term", [Entropy(), PowerEnergy(1.2), PowerEnergy(2.0), PowerEnergy(3.5)]
)


def log_gaussian(y: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return torch.distributions.Normal(mean, std).log_prob(y).sum(-1)


def gaussian_rows(rows: int, seed: int, dim: int = 2) -> tuple[Tensor, Tensor]:
    """Draws of N((1, 2, …)/2, diag(.5, 1, …)²) and their log-density."""
    mean, std = torch.arange(1, dim + 1).double() / 2, torch.arange(1, dim + 1).double() / 2
    y = mean + std * normal(rows, dim, seed=seed)
    return y, log_gaussian(y, mean, std)


# closed forms


@pytest.mark.parametrize(
    ("mean", "std"), [([0.0], [1.0]), ([1.0, -2.0], [0.3, 2.0]), ([0.1, 0.2, 3.0], [1.0, 0.5, 4.0])]
)
def test_the_reference_gives_kl_of_gaussians(mean: list[float], std: list[float]) -> None:
    """Exactly, on rows whose two moments are those of the law; and from −log det up to the entropy before."""
    y = rows_with_exact_moments(mean, std, rows=64, seed=1)
    m, s = torch.tensor(mean).double(), torch.tensor(std).double()
    kl, normaliser = gaussian.kl(gaussian.Gaussian.of(mean, std)), 0.5 * len(mean) * math.log(2 * math.pi)
    got = gaussian_reference().energies(y, log_gaussian(y, m, s))
    assert float(got.total) + normaliser == pytest.approx(kl, abs=1e-6)
    pushed = gaussian_reference().energies(y, -s.log().sum().expand(64))  # y = m + s z, z ~ N(0, I)
    before = gaussian.entropy(gaussian.Gaussian.of(np.zeros(len(mean)), 1.0))
    assert float(pushed.total) + normaliser - before == pytest.approx(kl, abs=1e-6)
    assert not gaussian_reference().needs_density


def test_the_reference_is_the_objective_of_today_bit_for_bit() -> None:
    y = normal(64, 3, seed=0, dtype=torch.float32)
    assert torch.equal(half_square(y), objective.potential(y))
    assert torch.equal(gaussian_reference().drift(y), y)
    log_det = normal(64, seed=1, dtype=torch.float32)
    got = gaussian_reference().energies(y, -log_det)
    assert torch.equal(got.potential, objective.potential(y).mean())
    assert torch.equal(got.internal, -log_det.mean())
    assert got.interaction == 0


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_quadratic_interaction_of_a_gaussian(dim: int) -> None:
    """½·strength·½E|x − x'|² = ½·strength·Σs²."""
    y, _ = gaussian_rows(20_000, dim, dim)
    functional = Functional((QuadraticInteraction(1.7),))
    exact = 0.5 * 1.7 * sum((k / 2) ** 2 for k in range(1, dim + 1))
    found = functional.energies(y)
    assert abs(float(found.total) - exact) < 4 * standard_error(functional.per_row(y))
    assert found.total == found.interaction


def brute_force(kernel: Callable[[Tensor], Tensor], y: Tensor) -> float:
    pairs = list(itertools.permutations(range(len(y)), 2))
    return sum(float(kernel((y[i] - y[j])[None])) for i, j in pairs) / (2 * len(pairs))


@pytest.mark.parametrize("rows", [2, 3, 8, 9])
@pytest.mark.parametrize("term", [SMOOTH_DISTANCE, LOGARITHM, GENERAL_SQUARE])
def test_interactions_are_u_statistics(term: InteractionEnergy, rows: int) -> None:
    y = normal(rows, 3, seed=rows)
    found = float(Functional((term,)).energies(y).interaction)
    assert found == pytest.approx(brute_force(term.kernel, y), rel=1e-12)


@pytest.mark.parametrize("rows", [2, 7, 200])
def test_the_quadratic_closed_form_is_the_u_statistic(rows: int) -> None:
    y = 3 + normal(rows, 3, seed=rows)
    closed = QuadraticInteraction(1.7)
    torch.testing.assert_close(closed.per_row(y), GENERAL_SQUARE.per_row(y), rtol=1e-12, atol=0)
    torch.testing.assert_close(closed.gradient(y), GENERAL_SQUARE.gradient(y), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("exponent", [1.3, 2.0, 4.0])
@pytest.mark.parametrize("dim", [1, 2, 4])
def test_power_energy_of_a_gaussian(exponent: float, dim: int) -> None:
    """∫ρ^m/(m − 1) = (2π)^{d(1−m)/2} (Πs)^{1−m} m^{−d/2}/(m − 1)."""
    y, log_density = gaussian_rows(20_000, 10 * dim, dim)
    stds = math.prod(k / 2 for k in range(1, dim + 1))
    mass = (2 * math.pi) ** (dim * (1 - exponent) / 2) * stds ** (1 - exponent) * exponent ** (-dim / 2)
    functional = Functional((PowerEnergy(exponent),))
    values = functional.per_row(y, log_density)
    assert functional.needs_density
    assert abs(float(values.mean()) - mass / (exponent - 1)) < 4 * standard_error(values)
    assert 4 * standard_error(values) < 0.06 * mass / (exponent - 1)


# internal energies


@every_internal
def test_pressure_and_score_weight_are_derivatives_of_u(term: InternalEnergy) -> None:
    """U(r) = r · per_row(log r); P/r = U′ − U/r; U″r, by automatic differentiation."""
    r = torch.tensor([0.01, 0.3, 1.0, 2.5], dtype=torch.float64, requires_grad=True)
    u = r * term.per_row(r.log())
    (slope,) = torch.autograd.grad(u.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    torch.testing.assert_close(term.pressure_ratio(r.log()), slope - u / r)
    torch.testing.assert_close(term.score_weight(r.log()), curvature * r)


@every_internal
def test_the_weak_form_of_the_pressure(term: InternalEnergy) -> None:
    """E⟨∇U′(ρ), φ⟩ = −E[(P/ρ) φ′] on the line, by quadrature, for N(.3, .8²) and φ = sin 2y + y."""
    y = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    log_density = -0.5 * ((y - 0.3) / 0.8) ** 2 - math.log(0.8 * math.sqrt(2 * math.pi))
    score = -(y - 0.3) / 0.64
    left = (term.score_weight(log_density) * score * ((2 * y).sin() + y) * log_density.exp()).sum()
    right = -(term.pressure_ratio(log_density) * (2 * (2 * y).cos() + 1) * log_density.exp()).sum()
    assert abs(left) > 1e-2
    torch.testing.assert_close(left, right, rtol=1e-9, atol=0)


@every_internal
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_mccanns_condition(term: InternalEnergy, dim: int) -> None:
    """r^d U(r^{−d}) is convex and nonincreasing, on a grid."""
    r = torch.linspace(0.3, 3, 500, dtype=torch.float64)
    values = term.per_row(-dim * r.log())
    assert (values.diff() < 0).all()
    assert (values.diff().diff() > 0).all()
    assert term.unfit == ""


def test_a_functional_without_internal_energy_has_no_pressure() -> None:
    log_density = normal(5, seed=0)
    for functional in (TERMS["square"], TERMS["logarithm"]):
        assert torch.equal(functional.pressure_ratio(log_density), torch.zeros(5).double())
        assert torch.equal(functional.score_weight(log_density), torch.zeros(5).double())
    both = Entropy() + PowerEnergy(2.0)
    torch.testing.assert_close(both.pressure_ratio(log_density), 1 + log_density.exp())
    torch.testing.assert_close(both.score_weight(log_density), 1 + 2 * log_density.exp())


# first variation


@every_functional
def test_the_drift_is_the_gradient_of_the_energies(name: str) -> None:
    """n ∂/∂y_i of the estimate of potential and interaction; by central differences, too."""
    y = normal(12, 2, seed=3).requires_grad_()
    functional, silent = TERMS[name], torch.zeros(12, dtype=torch.float64)

    def external(y: Tensor) -> Tensor:
        found = functional.energies(y, silent)
        return found.potential + found.interaction

    drift = functional.drift(y)
    assert not drift.requires_grad
    (slope,) = torch.autograd.grad(external(y) + 0 * y.sum(), y)
    torch.testing.assert_close(drift, 12 * slope, rtol=1e-10, atol=1e-12)
    step = torch.zeros_like(y).detach()
    step[4, 1] = 1e-5
    difference = (external(y + step) - external(y - step)).detach() / 2e-5
    assert 12 * float(difference) == pytest.approx(float(drift[4, 1]), abs=1e-6)


@every_functional
def test_the_first_variation(name: str) -> None:
    """d/dh G((Id + hφ)_#ρ) = E⟨drift, φ⟩ − E[(P/ρ) div φ], the density carried along: on any rows exactly."""
    functional = TERMS[name]
    y, log_density = gaussian_rows(40, 5, 3)
    matrix = normal(3, 3, seed=9)

    def field(x: Tensor) -> Tensor:
        return torch.sin(x @ matrix.T) + 0.2 * x

    velocity, slopes = field(y), jacobian(field, y)
    h = torch.zeros((), dtype=torch.float64, requires_grad=True)
    log_det = torch.linalg.slogdet(torch.eye(3, dtype=torch.float64) + h * slopes)[1]
    moved = functional.energies(y + h * velocity, log_density - log_det).total
    (derivative,) = torch.autograd.grad(moved, h)
    divergence = slopes.diagonal(dim1=1, dim2=2).sum(-1)
    external = (functional.drift(y) * velocity).sum(-1)
    expected = (external - functional.pressure_ratio(log_density) * divergence).mean()
    assert abs(expected) > 1e-3
    torch.testing.assert_close(derivative, expected, rtol=1e-10, atol=1e-13)


# standard errors


@pytest.mark.parametrize("name", ["quadratic", "smooth distance", "all"])
def test_the_standard_error_is_that_of_the_total(name: str) -> None:
    """Over 400 samples the spread is the mean SE; twice it if a row counted once."""
    functional = TERMS[name]
    totals, errors = [], []
    for seed in range(400):
        y, log_density = gaussian_rows(150, 1000 + seed)
        values = functional.per_row(y, log_density)
        assert values.mean() == pytest.approx(float(functional.energies(y, log_density).total), abs=1e-12)
        totals.append(float(values.mean()))
        errors.append(standard_error(values))
    assert np.std(totals) / np.mean(errors) == pytest.approx(1, abs=0.15)


# many rows


def test_few_pairs_at_a_time_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    y = normal(30, 2, seed=0).requires_grad_()
    whole = SMOOTH_DISTANCE.per_row(y)
    slope = torch.autograd.grad((whole**2).sum(), y)[0]
    monkeypatch.setattr(module, "PAIR_NUMBERS", 240)
    parts = SMOOTH_DISTANCE.per_row(y)
    torch.testing.assert_close(parts, whole, rtol=1e-13, atol=0)
    torch.testing.assert_close(torch.autograd.grad((parts**2).sum(), y)[0], slope, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rows", [2, 3, 4, 9, 10, 64, 101])
def test_partners_are_mutual_and_all_up_to_the_bound(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._shifts(rows).tolist() == list(range(1, rows))
    monkeypatch.setattr(module, "PARTNERS", 8)
    some = set(module._shifts(rows).tolist())
    assert some == {rows - s for s in some}
    assert min(rows - 1, 4) <= len(some) <= 10
    y = normal(rows, 2, seed=0).requires_grad_()
    functional = TERMS["smooth distance"]
    slope = torch.autograd.grad(functional.energies(y).total, y)[0]
    torch.testing.assert_close(functional.drift(y), rows * slope, rtol=1e-11, atol=1e-13)


def test_some_partners_are_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PARTNERS", 6)
    estimates = torch.stack([GENERAL_SQUARE.per_row(normal(60, 2, seed=seed)).mean() for seed in range(300)])
    assert abs(float(estimates.mean()) - 1.7) < 4 * standard_error(estimates)


# convexity


@pytest.mark.parametrize(
    ("functional", "convexity", "reason"),
    [
        (gaussian_reference(), 1.0, ""),
        (Functional((Entropy(),)), 0.0, ""),
        (SQUARE + PotentialEnergy(lambda x: -0.2 * half_square(x), -0.2) + PowerEnergy(2.0), 0.8, ""),
        (SQUARE + QuadraticInteraction(3.0) + SMOOTH_DISTANCE + Entropy(), 1.0, ""),
        (SQUARE + WELLS + Entropy(), None, "no λ is known for which the double well is λ-convex"),
        (SQUARE + LOGARITHM, None, "the kernel of the logarithm is not convex"),
        (SQUARE + QuadraticInteraction(-1.0), None, "the kernel of the quadratic interaction is not convex"),
    ],
)
def test_convexity_rules(functional: Functional, convexity: float | None, reason: str) -> None:
    assert functional.convexity == pytest.approx(convexity)
    assert functional.unfit == reason


def gap_along_geodesic(functional: Functional, seed: int, size: float = 1.0) -> float:
    """Chord minus curve minus λt(1−t)W²/2 along a generalized geodesic of two affine images of N(0, I)."""
    z = normal(50, 2, seed=seed)
    log_density = log_gaussian(z, torch.zeros(2), torch.ones(2))
    roots = normal(2, 2, 2, seed=seed + 1)
    maps = size * (roots @ roots.mT + 0.05 * torch.eye(2))
    shifts = 2 * size * normal(2, 1, 2, seed=seed + 2)

    def value(matrix: Tensor, shift: Tensor) -> float:
        pushed = log_density - torch.linalg.slogdet(matrix)[1]
        return float(functional.energies(z @ matrix + shift, pushed).total)

    t = 0.3
    square = float(((z @ (maps[1] - maps[0]) + shifts[1] - shifts[0]) ** 2).sum(1).mean())
    chord = (1 - t) * value(maps[0], shifts[0]) + t * value(maps[1], shifts[1])
    curve = value(torch.lerp(maps[0], maps[1], t), torch.lerp(shifts[0], shifts[1], t))
    return chord - curve - (functional.convexity or 0.0) * t * (1 - t) * square / 2


@pytest.mark.parametrize(
    "functional",
    [
        gaussian_reference(),
        SQUARE + SMOOTH_DISTANCE + PowerEnergy(2.0),
        SQUARE + QuadraticInteraction(0.5) + Entropy(),
    ],
)
def test_convex_along_generalized_geodesics(functional: Functional) -> None:
    assert min(gap_along_geodesic(functional, 10 * seed) for seed in range(40)) > -1e-12


@pytest.mark.parametrize("functional", [Functional((WELLS,)), Functional((QuadraticInteraction(-1.0),))])
def test_the_unfit_are_not_convex(functional: Functional) -> None:
    assert min(gap_along_geodesic(functional, 10 * seed, 0.2) for seed in range(40)) < -0.01


# edges


def test_terms_and_functionals_add_up_in_any_grouping() -> None:
    left, right = (SQUARE + Entropy()) + (QuadraticInteraction(1.0) + PowerEnergy(2.0)), SQUARE + Entropy()
    assert left.terms == (SQUARE, Entropy(), QuadraticInteraction(1.0), PowerEnergy(2.0))
    assert (SQUARE + (Entropy() + PowerEnergy(2.0))).terms == (SQUARE, Entropy(), PowerEnergy(2.0))
    assert right.name == "potential + entropy"
    assert left.needs_density
    assert not right.needs_density
    y, log_density = gaussian_rows(20, 0)
    twice = (right + right).energies(y, log_density).total
    torch.testing.assert_close(twice, 2 * right.energies(y, log_density).total)


@every_functional
def test_single_precision_stays_single(name: str) -> None:
    y, log_density = (part.float() for part in gaussian_rows(10, 0))
    found = TERMS[name].energies(y, log_density)
    assert {found.potential.dtype, found.interaction.dtype, found.internal.dtype} == {torch.float32}
    assert TERMS[name].drift(y).dtype == torch.float32
    assert TERMS[name].drift(y).shape == y.shape
    assert TERMS[name].per_row(y, log_density).shape == (10,)


@pytest.mark.parametrize("exponent", [1.0, 0.5, math.inf, math.nan])
def test_exponents_that_are_none(exponent: float) -> None:
    with pytest.raises(InputError, match="above 1"):
        PowerEnergy(exponent)


def test_input_errors_say_what_was_expected() -> None:
    y = normal(5, 2, seed=0)
    with pytest.raises(InputError, match="needs a log-density"):
        gaussian_reference().energies(y)
    with pytest.raises(InputError, match=r"shape \(5,\), not \(5, 1\)"):
        gaussian_reference().energies(y, torch.zeros(5, 1))
    with pytest.raises(InputError, match=r"n ≥ 2, not \(1, 2\)"):
        TERMS["quadratic"].drift(y[:1])
    with pytest.raises(InputError, match="at least one term"):
        Functional(())
    columns: list[Term] = [
        PotentialEnergy(lambda x: x[:, :1], None),
        InteractionEnergy(lambda z: z, True),
    ]
    for term in columns:
        with pytest.raises(InputError, match="gives"):
            Functional((term,)).energies(y)
