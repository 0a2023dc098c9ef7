"""T = Id + f: log-determinants, the inverse and its bound, training to closed forms, figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from jko.build import new_block
from jko.chain.chain import push_in_batches
from jko.config import parse_config
from jko.config.sections import Training
from jko.core.errors import InputError, NumericalError
from jko.energies.objective import jko_objective
from jko.laws import gaussian
from jko.laws.gaussian import Gaussian
from jko.laws.score import score_after
from jko.maps.contraction import ContractionField
from jko.maps.jacobian import asymmetry
from jko.maps.residual_block import MOST_ITERATIONS, ResidualBlock, iterations
from jko.measure.inversion import block_inversion_error, pull_back_reference, reverse_error
from jko.training.block_trainer import FitResult, fit_block, flow_matching_loss
from tests.oracles import (
    RESIDUAL_KINDS,
    affine_residual,
    normal,
    random_block,
    rows_with_exact_moments,
    slogdet_of,
    stream,
)

every_kind = pytest.mark.parametrize("kind", RESIDUAL_KINDS)
#: a linear map that is neither symmetric nor small: ‖·‖ = 0.85
MATRIX = torch.tensor([[0.1, -0.7, 0.2], [0.6, 0.2, -0.1], [0.1, 0.3, -0.5]], dtype=torch.float64)
MATRIX = 0.85 * MATRIX / torch.linalg.matrix_norm(MATRIX, 2)
SHIFT = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
#: I + MATRIX
WHOLE = torch.eye(3, dtype=torch.float64) + MATRIX


@every_kind
@pytest.mark.parametrize("dim", [1, 3, 5])
def test_the_exact_log_det_is_the_slogdet_of_autograd_s_jacobian(kind: str, dim: int) -> None:
    block, x = random_block(kind, dim), 2 * normal(5, dim, seed=0)
    torch.testing.assert_close(block(x).log_det, slogdet_of(block.push_forward, x), rtol=0, atol=1e-13)


@every_kind
def test_the_gradients_of_the_exact_log_det_are_those_of_finite_differences(kind: str) -> None:
    block, x = random_block(kind, 2, size=0.8), normal(3, 2, seed=1)
    names, values = zip(*block.named_parameters(), strict=True)

    def log_det(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(block, dict(zip(names, values, strict=True)), x).log_det

    free = [value.detach().clone().requires_grad_() for value in (x, *values)]
    assert float(block.field.unscaled_bound().detach()) > 0.9  # so that the scaling has a gradient, too
    assert torch.autograd.gradcheck(log_det, free)


def steep_block(kind: str, dim: int, *, probes: int = 0) -> ResidualBlock:
    """A block whose f is close to the bound, with a linear part that shrinks."""
    block = random_block(kind, dim, probes=probes)
    with torch.no_grad():
        block.field.linear.weight.sub_(0.4 * torch.eye(dim))
    return block


@pytest.mark.parametrize("kind", ["residual_two_layers", "residual_three_layers"])
@torch.no_grad()
def test_the_series_is_unbiased_in_value(kind: str) -> None:
    """Six points, 2000 draws each, ∇f far from small."""
    exact, x = steep_block(kind, 4), normal(6, 4, seed=2)
    found = steep_block(kind, 4, probes=1)(x.repeat_interleave(2000, 0), stream(3)).log_det.reshape(6, 2000)
    error = found.mean(1) - exact(x).log_det
    assert (error.abs() < 4 * found.std(1) / 2000**0.5).all()
    assert (found.std(1) / 2000**0.5 < 0.03).all()  # else any value would do
    assert float(exact(x).log_det.abs().min()) > 1


def test_the_series_is_unbiased_in_its_gradient() -> None:
    """By every weight, over 150 draws of 8 points four times each."""
    exact, x = steep_block("residual_two_layers", 3), normal(8, 3, seed=4)
    estimate = steep_block("residual_two_layers", 3, probes=1)
    wanted = _gradient(exact, exact(x).log_det.mean())
    draw, rows = stream(5), x.repeat(4, 1)
    found = torch.stack([_gradient(estimate, estimate(rows, draw).log_det.mean()) for _ in range(150)])
    error, se = (found.mean(0) - wanted).abs(), found.std(0) / 150**0.5
    assert float((error / (se + 1e-12)).max()) < 4.5  # the largest of some 90 weights
    assert float(se.max()) < 0.1 * float(wanted.abs().max())


def _gradient(block: ResidualBlock, value: Tensor) -> Tensor:
    """By all weights, one after the other; zero where the value does not depend on one."""
    weights = list(block.parameters())
    found = torch.autograd.grad(value, weights, allow_unused=True)
    own = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]
    return torch.cat([part.flatten() for part in own])


@torch.no_grad()
def test_the_series_does_not_depend_on_the_batch_size() -> None:
    block, x = random_block("residual_two_layers", 12, probes=3), normal(50, 12, seed=6)
    whole = push_in_batches(block, x, 50, stream(7))
    for batch in (1, 7, 49):
        part = push_in_batches(block, x, batch, stream(7))
        torch.testing.assert_close(part.log_det, whole.log_det, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(part.log_det_se, whole.log_det_se, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("dim", "divergence", "probes"), [(8, "auto", 0), (9, "auto", 3), (9, "exact", 0), (2, "hutchinson", 3)]
)
def test_the_log_det_is_exact_up_to_the_limit(dim: int, divergence: str, probes: int) -> None:
    settings = {
        "network": {"kind": "residual", "hidden": [4]},
        "solver": {"divergence": divergence, "probes": 3},
    }
    block = new_block(parse_config({"steps": {"count": 1}, **settings}), 1, dim)
    drawn = block.draw_probes(torch.zeros(5, dim))
    assert (0 if drawn is None else len(drawn.vectors)) == probes
    assert bool((block(normal(5, dim, seed=8).float()).log_det_se == 0).all()) or probes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_true_error_of_the_inverse_is_below_its_bound(dtype: torch.dtype) -> None:
    """In closed form, and the bound is of the size of the dtype's rounding."""
    block = affine_residual(MATRIX, SHIFT).to(dtype)
    y = (20 * normal(200, 3, seed=9)).to(dtype)
    rounded = torch.eye(3).double() + block.field.linear.weight.detach().double()
    exact = torch.linalg.solve(rounded, (y.double() - block.field.layers[-1].bias.detach().double()).T).T
    found = block.invert(y)
    error = (found.x.double() - exact).norm(dim=-1)
    assert (error <= found.bound).all()
    assert (found.bound <= 3e3 * torch.finfo(dtype).eps * (1 + y.double().norm(dim=-1))).all()
    assert float(error.max()) > 0


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_bound_holds_for_networks_too(kind: str, dtype: torch.dtype) -> None:
    block, x = random_block(kind, 3, dtype=dtype), (5 * normal(200, 3, seed=10)).to(dtype)
    y = block.exact().push_forward(x.double()).to(dtype)
    found = block.invert(y)
    truth = pull_back_reference(block, y.double(), index=1)
    assert ((found.x.double() - truth).norm(dim=-1) <= found.bound).all()
    assert (found.bound < 1e-4 * (1 + y.double().norm(dim=-1))).all()
    torch.testing.assert_close(block.exact().push_forward(truth), y.double(), rtol=0, atol=1e-12)


def test_the_slowest_map_there_is() -> None:
    """The map f = −c x: the residual shrinks by c exactly, so no fewer iterations than told would do."""
    block, y = affine_residual(-0.9 * torch.eye(2).double(), torch.zeros(2)), normal(50, 2, seed=11)
    found = block.invert(y)
    assert ((found.x - 10 * y).norm(dim=-1) <= found.bound).all()
    torch.testing.assert_close(found.x, 10 * y, rtol=1e-12, atol=1e-12)
    eps = torch.finfo(torch.float64).eps
    assert iterations(0.9, eps) == math.ceil(math.log(eps) / math.log(0.9)) == 343
    assert iterations(0.0, eps) == iterations(1e-30, eps) == iterations(math.nan, eps) == 1
    assert iterations(1 - 1e-9, eps) == MOST_ITERATIONS


@torch.no_grad()
def test_a_row_s_preimage_depends_on_no_other_row() -> None:
    """Neither in which digits it has, nor in when it stops."""
    block, y = random_block("residual_two_layers", 3), normal(20, 3, seed=12)
    far = torch.cat([y, 1e6 * y])
    torch.testing.assert_close(block.pull_back(far)[:20], block.pull_back(y), rtol=1e-13, atol=1e-13)
    assert torch.equal(block.pull_back(y), block.pull_back(y))


@pytest.mark.parametrize("how", ["contraction too weak", "weights", "rows"])
def test_an_inverse_that_is_none_is_an_error_of_its_block(how: str) -> None:
    field = ContractionField(2, (4,), lipschitz=0.99999 if how == "contraction too weak" else 0.9)
    block, y = ResidualBlock(field, 0.5, index=7), normal(4, 2, seed=13).float()
    with torch.no_grad():
        if how == "weights":
            field.layers[0].weight[0, 0] = math.nan
        elif how == "rows":
            y[2] = math.inf
        else:
            field.linear.weight.copy_(-0.99999 * torch.eye(2))
    with pytest.raises(NumericalError, match=r"block 7: .*lower network.lipschitz") as caught:
        block.pull_back(y)
    error = caught.value
    assert error.block == 7
    assert error.bound == pytest.approx(math.sqrt(torch.finfo(torch.float32).eps))
    assert not error.value <= error.bound
    with pytest.raises(NumericalError, match="block 3"):
        pull_back_reference(block, y.double(), index=3)


def test_the_reference_of_a_float32_block_is_in_float64_and_leaves_the_block() -> None:
    block, y = affine_residual(MATRIX, SHIFT).float(), normal(10, 3, seed=14)
    found = pull_back_reference(block, y, index=1)
    whole = torch.eye(3).double() + block.field.linear.weight.detach().double()
    torch.testing.assert_close(found, torch.linalg.solve(whole, (y - SHIFT).T).T, rtol=0, atol=1e-12)
    assert {parameter.dtype for parameter in block.parameters()} == {torch.float32}
    assert not found.requires_grad


def test_the_reverse_pass_of_float32_blocks_is_at_their_rounding() -> None:
    blocks = [random_block(kind, 3, dtype=torch.float32) for kind in RESIDUAL_KINDS]
    found = reverse_error(blocks, 100)
    assert 1e-9 < found.coupled.value < 1e-5
    assert block_inversion_error(blocks[0].double(), normal(50, 3, seed=15), index=1) < 1e-13


@every_kind
def test_the_block_is_monotone_and_its_inverse_lipschitz_as_promised(kind: str) -> None:
    block, x = random_block(kind, 3, size=2.0), normal(100, 3, seed=16)
    found, promised = asymmetry(block, x), float(block.field.prepared().lipschitz)
    assert found.smallest >= 1 - promised
    assert found.lipschitz_inverse <= 1 / (1 - promised)
    linear = asymmetry(affine_residual(MATRIX, SHIFT), x)
    assert linear.lipschitz_inverse == pytest.approx(float(1 / torch.linalg.svdvals(WHOLE)[-1]), rel=1e-9)
    assert linear.kappa > 0.05


def test_the_score_after_linear_residual_blocks_that_do_not_commute() -> None:
    """p_2 = N(BS, (BA)(BA)ᵀ) + SHIFT for standard normal rows through Ax + SHIFT, then Bx."""
    other = WHOLE.T @ torch.diag(torch.tensor([1.0, 0.9, 1.1], dtype=torch.float64))
    blocks = [
        affine_residual(MATRIX, SHIFT),
        affine_residual(other - torch.eye(3).double(), 0 * SHIFT, lipschitz=0.99),
    ]
    assert float(torch.linalg.matrix_norm(other - torch.eye(3).double(), 2)) < 0.99
    y, both = 2 * normal(30, 3, seed=17), other @ WHOLE
    exact = -torch.linalg.solve(both @ both.T, (y - other @ SHIFT).T).T
    torch.testing.assert_close(score_after(blocks, y, lambda x: -x), exact, rtol=0, atol=1e-9)


def test_the_score_is_the_slope_of_the_log_density_whatever_the_block_s_own_log_det() -> None:
    block, y, h = random_block("residual_two_layers", 2, probes=2), normal(6, 2, seed=18), 1e-5
    found = score_after([block], y, lambda x: -x)

    def log_density(y: Tensor) -> Tensor:
        pushed = block.exact().inverse(y)
        return -0.5 * (pushed.x**2).sum(-1) - pushed.log_det

    for i in range(2):
        step = h * torch.eye(2, dtype=torch.float64)[i]
        slope = (log_density(y + step) - log_density(y - step)) / (2 * h)
        torch.testing.assert_close(found[:, i], slope, rtol=0, atol=1e-8)


SETTINGS = Training(
    flow_matching_iterations=70, iterations=250, learning_rate=1e-2, batch_size=256, validate_every=50
)


def fitted(
    law: Gaussian, step_size: float, *, settings: Training = SETTINGS, seed: int = 0
) -> tuple[ResidualBlock, Tensor, FitResult]:
    """A small block trained on rows of exactly these moments, the images of the rows, the outcome."""
    x = rows_with_exact_moments(law.mean.tolist(), law.std.tolist(), rows=2000, seed=1, dtype=torch.float32)
    block = ResidualBlock(ContractionField(len(law.mean), (16, 16), generator=stream(seed)), step_size)
    result = fit_block(block, x, x, settings, seed=seed, index=1)
    return block, block.push_forward(x).detach().double(), result


@pytest.mark.parametrize(
    ("mean", "std", "step_size"),
    [([1.0], [2.0], 0.5), ([2.0, -1.0], [0.6, 1.8], 0.5), ([1.0, -0.5], [0.5, 1.5], 1.0)],
)
def test_training_reaches_the_closed_form_of_a_gaussian_jko_step(
    mean: list[float], std: list[float], step_size: float
) -> None:
    """Means and standard deviations within 2 %; doing nothing would be off by 16 % at least."""
    law = Gaussian.of(mean, std)
    _, y, result = fitted(law, step_size)
    exact = gaussian.jko_step(law, step_size)
    np.testing.assert_allclose(y.mean(0), exact.mean, rtol=0.02, atol=0.02)
    np.testing.assert_allclose(y.std(0), exact.std, rtol=0.02)
    drop = result.curve[1].objective - result.best.objective
    ideal = (
        gaussian.kl(law)
        - gaussian.kl(exact)
        - np.sum((law.mean - exact.mean) ** 2 + (law.std - exact.std) ** 2) / (2 * step_size)
    )
    assert drop == pytest.approx(ideal, rel=0.02)


def test_flow_matching_is_set_aside_and_counts_nowhere() -> None:
    few = SETTINGS.model_copy(update={"iterations": 20, "validate_every": 10})
    seen: list[int] = []
    block = ResidualBlock(ContractionField(1, (4,), generator=stream(0)), 0.5)
    x = normal(100, 1, seed=19).float() + 1
    result = fit_block(block, x, x, few, seed=0, index=1, on_iteration=seen.append)
    assert seen == list(range(1, 21))
    assert [(record.phase, record.iteration) for record in result.curve[2:]] == [("jko", 10), ("jko", 20)]
    without = few.model_copy(update={"flow_matching_iterations": 0})
    again = ResidualBlock(ContractionField(1, (4,), generator=stream(0)), 0.5)
    assert repr(fit_block(again, x, x, without, seed=0, index=1)) == repr(result)
    with pytest.raises(InputError, match="velocity field"):
        flow_matching_loss(block, x, stream(0))


@pytest.mark.parametrize("probes", [0, 2])
def test_the_objective_is_the_same_by_the_series_and_never_worse_than_the_identity(probes: int) -> None:
    few = SETTINGS.model_copy(update={"iterations": 40, "validate_every": 10})
    x = rows_with_exact_moments([1.0, 0.0], [1.5, 0.7], rows=500, seed=2)
    block = ResidualBlock(ContractionField(2, (8,), generator=stream(0)).double(), 0.5, probes)
    result = fit_block(block, x, x, few, seed=0, index=1)
    assert result.best.objective < result.curve[1].objective - 0.1
    exact = float(jko_objective(block.exact(), x).total)
    assert exact == pytest.approx(result.best.objective, abs=0.1 if probes else 1e-9)


def test_training_is_deterministic_to_the_bit() -> None:
    few = SETTINGS.model_copy(update={"iterations": 15, "validate_every": 5, "jitter": 0.1})
    (one, first, _), (two, second, _) = (
        fitted(Gaussian.of([1.0], [1.5]), 0.5, settings=few) for _ in range(2)
    )
    assert torch.equal(first, second)
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name


def test_a_warm_start_keeps_the_map(tmp_path: object) -> None:
    """The state_dict of a trained block makes a new one the same map, and nothing else is needed."""
    settings = {"steps": {"count": 2}, "network": {"kind": "residual", "hidden": [5], "lipschitz": 0.7}}
    config = parse_config(settings)
    one, two = (new_block(config, k, 3) for k in (1, 2))
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.normal_(generator=stream(parameter.numel()))
    two.load_state_dict(one.state_dict())
    x = normal(5, 3, seed=20).float()
    assert torch.equal(one(x).log_det, two(x).log_det)
    assert float(two.field.prepared().lipschitz) == 0.7
    assert config.starts_warm(2)
    assert (one.index, two.index) == (1, 2)
