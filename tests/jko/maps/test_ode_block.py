"""One property list for every kind of block."""

import math

import pytest
import torch

from jko.maps.ode_block import Block, Solver
from tests.oracles import (
    BLOCK_KINDS,
    AffineField,
    identity_block,
    identity_residual,
    jacobian,
    normal,
    random_block,
    slogdet_of,
    stream,
)

SOLVERS = {"exact": 0, "hutchinson": 2}
every_kind = pytest.mark.parametrize("kind", BLOCK_KINDS)
every_solver = pytest.mark.parametrize("probes", SOLVERS.values(), ids=SOLVERS)


@every_kind
@every_solver
@torch.no_grad()
def test_shapes(kind: str, probes: int) -> None:
    block, x = random_block(kind, 3, probes=probes, steps=2), normal(7, 3, seed=0)
    for pushed in (block(x), block.inverse(x)):
        assert pushed.x.shape == (7, 3)
        assert pushed.log_det.shape == pushed.log_det_se.shape == (7,)
    assert block.push_forward(x).shape == block.pull_back(x).shape == (7, 3)
    assert block.dim == 3


@every_kind
@every_solver
@torch.no_grad()
def test_inverse_undoes_forward_both_ways(kind: str, probes: int) -> None:
    block, x = random_block(kind, 3, probes=probes, steps=8), normal(16, 3, seed=1)
    y = block(x).x
    assert (y - x).abs().mean() > 0.2  # far from the identity
    torch.testing.assert_close(block.inverse(y).x, x, rtol=0, atol=1e-4)
    torch.testing.assert_close(block.push_forward(block.pull_back(x)), x, rtol=0, atol=1e-4)


@every_kind
@every_solver
@torch.no_grad()
def test_with_or_without_log_det_the_positions_are_the_same(kind: str, probes: int) -> None:
    block, x = random_block(kind, 3, probes=probes, steps=3), normal(9, 3, seed=2)
    torch.testing.assert_close(block(x).x, block.push_forward(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(block.inverse(x).x, block.pull_back(x), rtol=1e-12, atol=1e-12)


@every_kind
@pytest.mark.parametrize(("steps", "tolerance"), [(4, 2e-3), (24, 2e-6)])
def test_log_det_is_the_slogdet_of_the_autograd_jacobian(kind: str, steps: int, tolerance: float) -> None:
    """Few RK4 steps: to the integral's error; many: tight. Without steps it is tight at once."""
    block, x = random_block(kind, 3, steps=steps), normal(3, 3, seed=3)
    log_det = block(x).log_det
    assert log_det.abs().max() > 0.1
    torch.testing.assert_close(log_det, slogdet_of(block.push_forward, x), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("steps", "gap"), [(1, 2.5e-3), (2, 1.2e-4), (4, 6e-6)])
def test_the_documented_gap_between_integral_and_discrete_log_det(steps: int, gap: float) -> None:
    """A contraction by e^{-0.7}: the figures in the docstring of Block."""
    block = Block(AffineField(torch.tensor([[-0.7]], dtype=torch.float64)), 0.5, Solver(steps=steps))
    x = normal(3, 1, seed=4)
    measured = (block(x).log_det - slogdet_of(block.push_forward, x)).abs().max()
    assert measured.item() == pytest.approx(gap, rel=0.2)


@every_kind
@every_solver
@torch.no_grad()
def test_log_det_of_the_inverse_is_that_of_the_forward_map_at_the_preimage(kind: str, probes: int) -> None:
    block, x = random_block(kind, 3, probes=probes, steps=5), normal(8, 3, seed=5)
    pushed = block(x, stream(6))
    back = block.inverse(pushed.x, stream(6))
    torch.testing.assert_close(back.log_det, pushed.log_det, rtol=0, atol=1e-3)


@every_kind
@torch.no_grad()
def test_hutchinson_log_det_is_unbiased_and_its_standard_error_honest(kind: str) -> None:
    """4 points, each repeated 500 times with 4 probes of its own."""
    x = normal(4, 3, seed=7)
    exact = random_block(kind, 3, steps=2)(x)
    rows = x.repeat_interleave(500, dim=0)
    estimate = random_block(kind, 3, steps=2, probes=4)(rows, stream(8))
    log_det, claimed = estimate.log_det.reshape(4, 500), estimate.log_det_se.reshape(4, 500)
    assert torch.equal(exact.log_det_se, torch.zeros(4, dtype=torch.float64))
    assert ((log_det.mean(-1) - exact.log_det).abs() < 4 * log_det.std(-1) / 500**0.5).all()
    torch.testing.assert_close(claimed.square().mean(-1), log_det.var(-1), rtol=0.25, atol=0)


@every_kind
def test_a_single_probe_has_no_standard_error(kind: str) -> None:
    assert random_block(kind, 2, probes=1)(normal(4, 2, seed=0)).log_det_se.isnan().all()


@every_kind
@every_solver
@torch.no_grad()
def test_row_i_of_the_output_is_the_image_of_row_i(kind: str, probes: int) -> None:
    block, x = random_block(kind, 3, probes=probes, steps=3), normal(12, 3, seed=9)
    order = torch.randperm(12, generator=stream(10))
    torch.testing.assert_close(block(x[order]).x, block(x).x[order], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(block.inverse(x[order]).x, block.inverse(x).x[order], rtol=1e-12, atol=1e-12)
    if probes == 0:
        torch.testing.assert_close(block(x[order]).log_det, block(x).log_det[order], rtol=1e-12, atol=1e-12)


@every_kind
@torch.no_grad()
def test_a_row_does_not_depend_on_the_other_rows(kind: str) -> None:
    block, x = random_block(kind, 3, steps=3), normal(6, 3, seed=11)
    whole, alone = block(x), [block(row[None]) for row in x]
    torch.testing.assert_close(whole.x, torch.cat([p.x for p in alone]), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(whole.log_det, torch.cat([p.log_det for p in alone]), rtol=1e-12, atol=1e-12)


@every_kind
@every_solver
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@torch.no_grad()
def test_dtype_is_kept(kind: str, probes: int, dtype: torch.dtype) -> None:
    block, x = random_block(kind, 3, probes=probes, dtype=dtype, steps=2), normal(5, 3, seed=12, dtype=dtype)
    for pushed in (block(x), block.inverse(x)):
        assert {pushed.x.dtype, pushed.log_det.dtype, pushed.log_det_se.dtype} == {dtype}
    assert block.push_forward(x).dtype == block.pull_back(x).dtype == dtype


@every_solver
def test_a_new_block_is_the_identity_with_log_det_zero(probes: int) -> None:
    block, x = identity_block(3), normal(5, 3, seed=13)
    block.solver = Solver(probes=probes)
    for new in (block, identity_residual(3, probes=probes)):
        assert torch.equal(new(x).x, x)
        assert torch.equal(new.pull_back(x), x)
        assert torch.equal(new(x).log_det, torch.zeros(5, dtype=x.dtype))


@every_kind
@torch.no_grad()
def test_without_its_output_a_block_is_the_identity(kind: str) -> None:
    block, x = random_block(kind, 3, steps=2), normal(5, 3, seed=13)
    before = block.state_dict()["field.stack.0.weight"].clone()
    block.reset_output()
    assert torch.equal(block(x).x, x)
    assert torch.equal(block.state_dict()["field.stack.0.weight"], before)


@every_kind
@every_solver
def test_the_gradient_reaches_every_parameter(kind: str, probes: int) -> None:
    """Also that of the log-determinant alone, but for the biases of outputs, which it does not have."""
    block, x = random_block(kind, 3, probes=probes, steps=2), normal(20, 3, seed=21)
    pushed = block(x)
    names, parameters = zip(*block.named_parameters(), strict=True)
    last = f"field.stack.{len(block.field.layers) - 1}.bias"
    outputs = {"": pushed.x.square().sum() + pushed.log_det.sum(), last: pushed.log_det.sum()}
    for spared, output in outputs.items():
        found = torch.autograd.grad(output, parameters, retain_graph=True, allow_unused=True)
        missed = [name for name, own in zip(names, found, strict=True) if own is None or not own.abs().max()]
        assert set(missed) <= {spared}


@every_kind
def test_the_inverse_has_the_gradient_of_the_inverse_map(kind: str) -> None:
    """∇T⁻¹ at y = T(x) is the inverse matrix of ∇T at x."""
    block, x = random_block(kind, 2, steps=8), normal(2, 2, seed=22)
    y = block.push_forward(x).detach()
    forward, back = jacobian(block.push_forward, x), jacobian(block.pull_back, y)
    torch.testing.assert_close(back @ forward, torch.eye(2).to(x).expand(2, 2, 2), rtol=0, atol=1e-4)
    torch.testing.assert_close(jacobian(lambda y: block.inverse(y).x, y), back, rtol=1e-10, atol=1e-10)


@every_kind
@torch.no_grad()
def test_the_exact_copy_is_frozen_in_float64_and_leaves_the_block(kind: str) -> None:
    block, x = random_block(kind, 3, probes=2, steps=3, dtype=torch.float32), normal(5, 3, seed=23)
    twin = block.exact()
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    assert all(parameter.requires_grad for parameter in block.parameters())
    assert block.draw_probes(x.float()) is not None
    torch.testing.assert_close(twin(x).x, block(x.float()).x.double(), rtol=0, atol=1e-5)
    assert twin(x).log_det.dtype == torch.float64
    assert torch.equal(twin(x).log_det_se, torch.zeros(5, dtype=torch.float64))


def test_a_linear_field_gives_the_matrix_exponential_and_its_trace() -> None:
    """v = Ax: T = expm(A), log|det ∇T| = tr A."""
    matrix, x = 0.5 * normal(4, 4, seed=14), normal(10, 4, seed=15)
    block = Block(AffineField(matrix), 0.5, Solver(steps=32))
    pushed, back = block(x), block.inverse(x)
    torch.testing.assert_close(pushed.x, x @ torch.matrix_exp(matrix).T, rtol=0, atol=1e-6)
    torch.testing.assert_close(back.x, x @ torch.matrix_exp(-matrix).T, rtol=0, atol=1e-6)
    torch.testing.assert_close(pushed.log_det, matrix.trace().expand(10), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(back.log_det, matrix.trace().expand(10), rtol=1e-12, atol=1e-12)


def test_jacobian_of_a_linear_field_s_block() -> None:
    """The oracle of the slogdet tests itself: ∇T = expm(A) at every row."""
    matrix, x = 0.5 * normal(3, 3, seed=16), normal(2, 3, seed=17)
    found = jacobian(Block(AffineField(matrix), 0.5, Solver(steps=64)).push_forward, x)
    torch.testing.assert_close(found, torch.matrix_exp(matrix).expand(2, 3, 3), rtol=0, atol=1e-7)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_the_solver_s_method_and_steps_are_used(method: str, order: int) -> None:
    """For v = ax one step of each method is the Taylor polynomial of its order, cubed for 3 steps."""
    rate, steps = 0.9, 3
    block = Block(
        AffineField(torch.tensor([[rate]], dtype=torch.float64)), 0.5, Solver(method=method, steps=steps)
    )
    factor = sum((rate / steps) ** i / math.factorial(i) for i in range(order + 1)) ** steps
    x = normal(4, 1, seed=18)
    torch.testing.assert_close(block(x).x, factor * x, rtol=1e-12, atol=0)


@every_kind
@every_solver
def test_without_a_generator_the_result_is_still_deterministic(kind: str, probes: int) -> None:
    block, x = random_block(kind, 3, probes=probes, steps=2), normal(5, 3, seed=19)
    assert torch.equal(block(x).log_det, block(x).log_det)


@every_kind
def test_different_generators_give_different_probes(kind: str) -> None:
    block, x = random_block(kind, 3, probes=2, steps=2), normal(5, 3, seed=19)
    assert not torch.equal(block(x, stream(1)).log_det, block(x, stream(2)).log_det)
    assert torch.equal(block(x, stream(1)).log_det, block(x, stream(1)).log_det)


@every_kind
def test_forward_does_not_change_its_argument(kind: str) -> None:
    block, x = random_block(kind, 3), normal(5, 3, seed=20)
    before = x.clone()
    block(x)
    block.inverse(x)
    assert torch.equal(x, before)
