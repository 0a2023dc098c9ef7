"""Training of blocks: reaches the closed form, deterministic, keeps the best, fails in words."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from jko.config.sections import Training
from jko.core.errors import NumericalError
from jko.energies.objective import jko_objective, potential
from jko.energies.scheme import ornstein_uhlenbeck_pair
from jko.laws import gaussian
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField
from jko.training.block_trainer import FitRecord, FitResult, fit_block, flow_matching_loss
from tests.oracles import covariance, normal, rows_with_exact_moments, stream

GAMMA = 0.5
SHORT = Training(flow_matching_iterations=20, iterations=20, batch_size=32, validate_every=10)
LONG = Training(
    flow_matching_iterations=150,
    flow_matching_learning_rate=1e-2,
    iterations=100,
    learning_rate=5e-3,
    batch_size=128,
    validate_every=50,
)
BAD = [math.inf, -math.inf, math.nan, 1e30]


def new_block(*, hidden: int = 32, seed: int = 0, dtype: torch.dtype = torch.float32, dim: int = 2) -> Block:
    return Block(VelocityField(dim, (hidden,), generator=stream(seed)).to(dtype), GAMMA, Solver(steps=2))


def rows(seed: int, mean: float = 3.0, dtype: torch.dtype = torch.float32) -> Tensor:
    """256 rows whose sample mean and covariance are (mean, mean) and I exactly."""
    return rows_with_exact_moments([mean, mean], [1.0, 1.0], rows=256, seed=seed, dtype=dtype)


def fit(settings: Training, *, seed: int = 0, block: Block | None = None) -> tuple[Block, FitResult]:
    block = block or new_block(hidden=8)
    return block, fit_block(block, rows(0), rows(1), settings, seed=seed, index=1)


def objective(block: Block, x: Tensor) -> float:
    with torch.no_grad():
        return float(jko_objective(block, x).total)


@dataclass(frozen=True)
class Step:
    """One trained block with its held-out rows before and after."""

    block: Block
    result: FitResult
    before: Tensor
    after: Tensor


@pytest.fixture(scope="module")
def three_steps() -> list[Step]:
    """p₀ = N((3,3), I), γ = .5, three blocks one after the other, without standardisation."""
    train, held_out, steps = rows(0), rows(1), []
    for k in (1, 2, 3):
        block = new_block(seed=k)
        result = fit_block(block, train, held_out, LONG, seed=0, index=k)
        with torch.no_grad():
            steps.append(Step(block, result, held_out, block.push_forward(held_out)))
            train, held_out = block.push_forward(train), steps[-1].after
    return steps


@pytest.mark.parametrize(("k", "mean"), [(1, 2.0), (2, 1.333), (3, 0.889)])
def test_held_out_rows_reach_the_paper_s_gaussians(three_steps: list[Step], k: int, mean: float) -> None:
    """Means within .05, standard deviations within .08 of the exact JKO steps."""
    after = three_steps[k - 1].after.double()
    np.testing.assert_allclose(after.mean(0), [mean, mean], atol=0.05)
    np.testing.assert_allclose(after.std(0, correction=0), [1, 1], atol=0.08)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_identities_of_an_exact_step_hold(three_steps: list[Step], k: int) -> None:
    """(1+γ) E y = E x and (1+γ) Cov(y) − Cov(x, y) = γ I, within .1, on held-out rows."""
    x, y = three_steps[k - 1].before.double(), three_steps[k - 1].after.double()
    torch.testing.assert_close((1 + GAMMA) * y.mean(0), x.mean(0), rtol=0, atol=0.06)
    found = (1 + GAMMA) * covariance(y, y) - covariance(x, y)
    torch.testing.assert_close(found, GAMMA * torch.eye(2, dtype=y.dtype), rtol=0, atol=0.1)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_trained_map_is_near_the_optimal_map(three_steps: list[Step], k: int) -> None:
    """For N(m, I) the optimal map is the translation by −γ m/(1+γ): root-mean-square error under .15."""
    step = three_steps[k - 1]
    m = 3 / 1.5 ** (k - 1)
    error = step.after - (step.before - GAMMA * m / (1 + GAMMA))
    assert (error**2).sum(-1).mean().sqrt() < 0.15


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_objective_comes_close_to_the_closed_form_minimum(three_steps: list[Step], k: int) -> None:
    """KL(p') + E|Tx−x|²/(2γ) + H(p) − log Z of the exact step, within .05 nats."""
    law = gaussian.Gaussian.of([3 / 1.5 ** (k - 1)] * 2, [1, 1])
    after = gaussian.jko_step(law, GAMMA)
    moved = np.sum((after.mean - law.mean) ** 2)
    least = gaussian.kl(after) + moved / (2 * GAMMA) + gaussian.entropy(law) - math.log(2 * math.pi)
    assert three_steps[k - 1].result.best.objective == pytest.approx(least, abs=0.05)


def test_training_in_float64_works_too() -> None:
    block = new_block(dtype=torch.float64, hidden=8)
    x, y = rows(0, dtype=torch.float64), rows(1, dtype=torch.float64)
    result = fit_block(block, x, y, LONG.model_copy(update={"iterations": 20}), seed=0, index=1)
    assert {parameter.dtype for parameter in block.parameters()} == {torch.float64}
    assert result.best.objective < result.curve[0].objective - 1


def test_correlated_data_reach_their_closed_form() -> None:
    """Cov = R diag(s²) Rᵀ: the step acts on eigen-directions, the block must find them."""
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    std = [0.4, 1.8]
    train, held_out = (
        (rows_with_exact_moments([1.0, -1.0], std, rows=256, seed=s) @ turn.T).float() for s in (2, 3)
    )
    block = new_block(hidden=16)
    fit_block(block, train, held_out, LONG, seed=0, index=1)
    after = gaussian.jko_step(gaussian.Gaussian.of([1.0, -1.0], std), GAMMA)
    y = block.push_forward(held_out).detach().double() @ turn
    np.testing.assert_allclose(y.mean(0), after.mean, atol=0.06)
    np.testing.assert_allclose(covariance(y, y), np.diag(after.std**2), atol=0.15)


@pytest.mark.parametrize("probes", [0, 1], ids=["exact", "hutchinson"])
def test_training_is_a_function_of_the_seed_bit_for_bit(probes: int) -> None:
    """Also when other random numbers are drawn in between."""

    def weights(seed: int) -> dict[str, Tensor]:
        block = new_block(hidden=8)
        block.solver = Solver(steps=2, probes=probes)
        torch.rand(3)
        return fit(SHORT, seed=seed, block=block)[0].state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_another_block_index_draws_other_batches() -> None:
    first, second = new_block(hidden=8), new_block(hidden=8)
    fit_block(first, rows(0), rows(1), SHORT, seed=0, index=1)
    fit_block(second, rows(0), rows(1), SHORT, seed=0, index=2)
    assert not all(map(torch.equal, first.parameters(), second.parameters()))


def test_the_kept_weights_are_the_best_validated() -> None:
    """A far too large rate makes the curve go up and down; the block holds its minimum."""
    wild = SHORT.model_copy(update={"learning_rate": 0.3, "validate_every": 1, "iterations": 40})
    block, result = fit(wild)
    objectives = [record.objective for record in result.curve]
    assert objectives[-1] > min(objectives)
    assert result.best.objective == min(objectives)
    assert objective(block, rows(1)) == pytest.approx(result.best.objective, rel=1e-6)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_the_result_is_no_worse_than_the_start_nor_the_identity(start: float) -> None:
    """A warm start may be bad: L(kept) ≤ min(L(start), L(Id) = E V(x)) on validation rows."""
    block = new_block(hidden=8)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(start * torch.randn(parameter.shape, generator=stream(parameter.numel())))
    bound = min(objective(block, rows(1)), float(potential(rows(1)).mean()))
    fit(SHORT.model_copy(update={"learning_rate": 1.0, "flow_matching_learning_rate": 1.0}), block=block)
    assert objective(block, rows(1)) <= bound * (1 + 1e-6)


def test_without_iterations_a_warm_start_is_kept_only_where_it_beats_the_identity() -> None:
    """A contraction towards the target is kept bit for bit, an expansion away from it is not."""
    nothing = SHORT.model_copy(update={"flow_matching_iterations": 0, "iterations": 0})
    for rate, identity in ((-0.3, False), (0.3, True)):
        block = new_block(hidden=4)
        with torch.no_grad():
            block.field.linear.weight.copy_(rate * torch.eye(2))
        expected = rows(1) if identity else block.push_forward(rows(1)).detach()
        fit(nothing, block=block)
        assert torch.equal(block.push_forward(rows(1)), expected)


def test_validation_rows_decide_not_training_rows() -> None:
    """Training rows far to the left, validation rows already at the target: the identity is kept."""
    block = new_block(hidden=8)
    held_out = rows(1, mean=0.0)
    fit_block(block, rows(0, mean=-6.0), held_out, SHORT, seed=0, index=1)
    assert objective(block, held_out) <= float(potential(held_out).mean()) + 1e-6
    assert (block.push_forward(held_out) - held_out).abs().mean() < 0.3


@pytest.mark.parametrize("flow_matching", [0, 20])
@pytest.mark.parametrize("jko", [0, 20])
def test_either_phase_can_be_left_out(flow_matching: int, jko: int) -> None:
    settings = SHORT.model_copy(update={"flow_matching_iterations": flow_matching, "iterations": jko})
    block, result = fit(settings)
    assert {record.phase for record in result.curve if record.iteration > 0} == (
        ({"flow_matching"} if flow_matching else set()) | ({"jko"} if jko else set())
    )
    assert max(record.iteration for record in result.curve) == flow_matching + jko
    moved = (block.push_forward(rows(1)) - rows(1)).abs().max()
    assert (moved > 0) == (flow_matching + jko > 0)


def test_without_iterations_a_new_block_stays_the_identity() -> None:
    block, result = fit(SHORT.model_copy(update={"flow_matching_iterations": 0, "iterations": 0}))
    assert torch.equal(block.push_forward(rows(1)), rows(1))
    assert result.best.objective == pytest.approx(float(potential(rows(1)).mean()), rel=1e-6)
    assert result.rollbacks == 0


def test_the_validation_figure_is_the_mean_over_all_rows() -> None:
    """Rows are validated in batches; 8193 rows leave a batch of one, which must not weigh as much."""
    held_out = normal(8193, 1, seed=4)
    held_out[-1] = 100.0
    nothing = SHORT.model_copy(update={"flow_matching_iterations": 0, "iterations": 0})
    block = new_block(hidden=2, dim=1, dtype=torch.float64)
    result = fit_block(block, held_out[:64], held_out, nothing, seed=0, index=1)
    assert result.best.objective == pytest.approx(float(potential(held_out).mean()), rel=1e-9)


def test_records_are_reported_as_they_are_made_and_in_order() -> None:
    seen: list[FitRecord] = []
    result = fit_block(new_block(hidden=4), rows(0), rows(1), SHORT, seed=0, index=1, on_record=seen.append)
    assert tuple(seen) == result.curve
    iterations = [record.iteration for record in seen]
    assert iterations == sorted(iterations)
    assert {10, 20, 30, 40} <= set(iterations)
    for record in seen:
        total = record.potential - record.log_det + record.transport
        assert record.objective == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("bad", BAD, ids=str)
@pytest.mark.parametrize("where", ["training rows", "validation rows", "both"])
def test_rows_out_of_range_raise_a_numerical_error_that_names_the_block(bad: float, where: str) -> None:
    """Every row is bad, in a float32 block; 1e30 overflows when squared."""
    train, held_out = rows(0), rows(1)
    if where != "validation rows":
        train = torch.full_like(train, bad)
    if where != "training rows":
        held_out = torch.full_like(held_out, bad)
    with pytest.raises(NumericalError, match=r"^block 7\b.*; .*learning_rate.*outliers") as caught:
        fit_block(new_block(hidden=4), train, held_out, SHORT, seed=0, index=7)
    assert caught.value.block == 7
    assert caught.value.exit_code == 3


def test_a_few_infinite_rows_do_not_pass_unnoticed() -> None:
    """A tenth of the training rows: nearly every batch is hit."""
    train = rows(0)
    train[::10] = math.inf
    with pytest.raises(NumericalError):
        fit_block(new_block(hidden=4), train, rows(1), SHORT, seed=0, index=1)


def test_one_rare_bad_row_is_survived_and_counted() -> None:
    """One infinite row met once or a few times: rolled back, finished with finite weights."""
    train = rows(0).repeat(20, 1)
    train[0] = math.inf
    block = new_block(hidden=4)
    settings = SHORT.model_copy(update={"batch_size": 128})
    result = fit_block(block, train, rows(1), settings, seed=1, index=1)
    assert 1 <= result.rollbacks <= 3
    assert all(torch.isfinite(parameter).all() for parameter in block.parameters())


def test_training_does_not_change_its_rows() -> None:
    train, held_out = rows(0), rows(1)
    fit_block(new_block(hidden=4), train, held_out, SHORT, seed=0, index=1)
    assert torch.equal(train, rows(0))
    assert torch.equal(held_out, rows(1))


def test_a_batch_may_be_larger_than_the_data() -> None:
    train = rows(0)[:5]
    result = fit_block(new_block(hidden=4), train, rows(1), SHORT, seed=0, index=1)
    assert math.isfinite(result.best.objective)


@torch.no_grad()
def test_ou_pair_has_the_law_of_the_closed_form() -> None:
    """Mean, variance and correlation with x at t = log(1+γ), within 4 SE."""
    x = 3 + 0.5 * normal(4000, 2, seed=5)
    y = ornstein_uhlenbeck_pair(x, GAMMA, stream(6))
    law = gaussian.ornstein_uhlenbeck(gaussian.Gaussian.of([3, 3], [0.5, 0.5]), math.log(1 + GAMMA))
    se = law.std[0] / 4000**0.5
    np.testing.assert_allclose(y.mean(0), law.mean, atol=4 * se)
    np.testing.assert_allclose(y.std(0), law.std, atol=4 * se)
    np.testing.assert_allclose(covariance(x, y).diagonal(), 0.25 / (1 + GAMMA), atol=4 * 0.5 * se)


def test_flow_matching_loss_of_the_zero_field_is_the_mean_squared_displacement() -> None:
    """E|y − x|²/d with the same draw; also E over noise = (1−e^{-t})² E|x|²/d + 1 − e^{-2t}."""
    x = rows(0, dtype=torch.float64)
    block = new_block(dtype=torch.float64)
    y = ornstein_uhlenbeck_pair(x, GAMMA, stream(7))
    assert flow_matching_loss(block, x, stream(7)).item() == pytest.approx(float(((y - x) ** 2).mean()))
    shrink = 1 / (1 + GAMMA)
    expected = (1 - shrink) ** 2 * 10 + 1 - shrink**2
    draws = [flow_matching_loss(block, x, stream(i)).item() for i in range(100)]
    assert abs(np.mean(draws) - expected) < 4 * np.std(draws) / 10
