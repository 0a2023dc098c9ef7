"""The chain: change of variables, standardisation, batches, sampling, saving."""

import io
import math

import pytest
import torch

from jko.chain.chain import Chain, reference_log_prob
from jko.core.errors import NumericalError
from jko.maps.ode_block import Block, Solver
from tests.oracles import (
    AffineField,
    affine_block,
    grid,
    identity_block,
    normal,
    random_block,
    random_chain,
    slogdet_of,
)

SHIFT = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
SCALE = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
every_kind = pytest.mark.parametrize("kind", ["two_layers", "residual_two_layers"])


def test_the_reference_is_the_standard_normal() -> None:
    z = normal(20, 3, seed=0)
    exact = torch.distributions.Normal(torch.zeros_like(z), torch.ones_like(z)).log_prob(z).sum(-1)
    torch.testing.assert_close(reference_log_prob(z), exact, rtol=1e-13, atol=1e-13)


@every_kind
def test_log_prob_is_the_change_of_variables_by_hand(kind: str) -> None:
    """log N(x_N) + Σ log|det ∇T_k| − Σ log scale, the blocks applied one after the other."""
    chain, x = random_chain(3, kind=kind), normal(30, 3, seed=1)
    first, second = chain
    middle = first((x - chain.shift) / chain.scale)
    last = second(middle.x)
    expected = (
        -0.5 * (last.x**2).sum(-1)
        - 1.5 * math.log(2 * math.pi)
        + middle.log_det
        + last.log_det
        - chain.scale.log().sum()
    )
    log_prob, se = chain.log_prob(x)
    torch.testing.assert_close(log_prob, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(se, torch.zeros(30, dtype=torch.float64))


@every_kind
def test_forward_s_log_det_is_that_of_the_whole_map_from_data_units(kind: str) -> None:
    """Against the autograd Jacobian of x ↦ T₂T₁((x − shift)/scale)."""
    chain, x = random_chain(3, kind=kind, steps=24), normal(3, 3, seed=2)

    def whole(rows: torch.Tensor) -> torch.Tensor:
        y = (rows - chain.shift) / chain.scale
        for block in chain:
            y = block.push_forward(y)
        return y

    torch.testing.assert_close(chain(x).log_det, slogdet_of(whole, x), rtol=0, atol=1e-5)
    torch.testing.assert_close(chain(x).x, whole(x).detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_a_chain_of_identities_is_the_gaussian_of_its_standardisation(blocks: int) -> None:
    """N(shift, diag(scale²)) exactly, and samples are shift + scale · z."""
    chain, x = Chain([identity_block(3) for _ in range(blocks)], SHIFT, SCALE), 3 * normal(50, 3, seed=3)
    exact = torch.distributions.Normal(SHIFT, SCALE).log_prob(x).sum(-1)
    torch.testing.assert_close(chain.log_prob(x)[0], exact, rtol=1e-12, atol=1e-12)
    z = normal(8, 3, seed=4)
    torch.testing.assert_close(chain.inverse(z), SHIFT + SCALE * z, rtol=1e-13, atol=1e-13)


def test_a_chain_of_affine_blocks_is_a_gaussian() -> None:
    """T₂T₁ = s₂(s₁u + b₁) + b₂ with u = (x − shift)/scale: x ~ N(shift − scale·b/s, (scale/s)²)."""
    chain = Chain(
        [affine_block([0.5, 1.5], [1.0, -1.0]), affine_block([2.0, 0.8], [0.3, 0.2])], SHIFT[:2], SCALE[:2]
    )
    s = torch.tensor([1.0, 1.2], dtype=torch.float64)
    b = torch.tensor([2.0 * 1.0 + 0.3, 0.8 * -1.0 + 0.2], dtype=torch.float64)
    exact = torch.distributions.Normal(SHIFT[:2] - SCALE[:2] * b / s, SCALE[:2] / s)
    x = normal(40, 2, seed=5)
    torch.testing.assert_close(chain.log_prob(x)[0], exact.log_prob(x).sum(-1), rtol=0, atol=1e-6)


@every_kind
@pytest.mark.parametrize(("dim", "half_width", "points"), [(1, 12.0, 1201), (2, 14.0, 141)])
def test_the_density_integrates_to_one(kind: str, dim: int, half_width: float, points: int) -> None:
    """A random chain far from Gaussian; the normalisation holds in data units."""
    nodes, cell = grid(dim, half_width, points)
    log_prob, _ = random_chain(dim, kind=kind).log_prob(torch.from_numpy(nodes))
    assert float(log_prob.exp().sum() * cell) == pytest.approx(1, abs=1e-4)


@every_kind
@torch.no_grad()
def test_samples_follow_the_density(kind: str) -> None:
    """E_q₀[f] by sampling equals ∫ f q₀ on a grid, f the coordinates and their squares."""
    chain = random_chain(2, kind=kind, steps=4)
    nodes, cell = grid(2, 14.0, 141)
    nodes = torch.from_numpy(nodes)
    weights = chain.log_prob(nodes)[0].exp() * cell
    drawn = chain.sample(4000, seed=1)
    for power in (1, 2):
        exact = (weights[:, None] * nodes**power).sum(0)
        se = (drawn**power).std(0) / 4000**0.5
        assert (((drawn**power).mean(0) - exact).abs() < 4 * se).all()


@every_kind
@pytest.mark.parametrize("probes", [0, 2], ids=["exact", "hutchinson"])
def test_batch_size_changes_neither_positions_nor_log_prob(kind: str, probes: int) -> None:
    chain, x = random_chain(3, kind=kind, probes=probes, steps=2), normal(50, 3, seed=6)
    whole = chain(x)
    for batch in (7, 49):
        parts = chain(x, batch=batch)
        torch.testing.assert_close(parts.x, whole.x, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(parts.log_det, whole.log_det, rtol=1e-12, atol=1e-12)


@every_kind
def test_batch_size_does_not_change_the_inverse_or_samples(kind: str) -> None:
    chain, z = random_chain(3, kind=kind), normal(50, 3, seed=7)
    torch.testing.assert_close(chain.inverse(z, batch=7), chain.inverse(z), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(chain.sample(50, batch=7), chain.sample(50), rtol=1e-12, atol=1e-12)


@every_kind
def test_inverse_undoes_forward_in_data_units(kind: str) -> None:
    chain, x = random_chain(3, kind=kind, steps=16), normal(30, 3, seed=8)
    torch.testing.assert_close(chain.inverse(chain(x).x), x, rtol=0, atol=1e-5)


@every_kind
def test_row_i_of_the_output_is_the_image_of_row_i(kind: str) -> None:
    chain, x = random_chain(3, kind=kind), normal(20, 3, seed=9)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(chain(x[order], batch=6).x, chain(x).x[order], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(chain.inverse(x[order], batch=6), chain.inverse(x)[order])


@every_kind
def test_sample_is_a_function_of_the_seed(kind: str) -> None:
    chain = random_chain(3, kind=kind)
    assert torch.equal(chain.sample(10, seed=1), chain.sample(10, seed=1))
    assert not torch.equal(chain.sample(10, seed=1), chain.sample(10, seed=2))


@every_kind
def test_hutchinson_log_prob_is_a_function_of_the_seed_and_reports_its_error(kind: str) -> None:
    chain, x = random_chain(3, kind=kind, probes=4, steps=2), normal(200, 3, seed=10)
    exact = random_chain(3, kind=kind, steps=2).log_prob(x)[0]
    (first, se), (again, _), (other, _) = (chain.log_prob(x, seed=s) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    error = first - exact
    assert error.mean().abs() < 4 * error.std() / 200**0.5
    assert float(error.square().mean() / se.square().mean()) == pytest.approx(1, rel=0.4)


@every_kind
def test_the_chain_of_k_plus_1_blocks_is_the_next_block_after_the_chain_of_k(kind: str) -> None:
    longer, x = random_chain(3, kind=kind, blocks=3), normal(20, 3, seed=11)
    shorter = Chain(list(longer)[:2], longer.shift, longer.scale)
    before, whole = shorter(x), longer(x)
    step = list(longer)[2](before.x)
    assert torch.equal(whole.x, step.x)
    torch.testing.assert_close(whole.log_det, before.log_det + step.log_det, rtol=1e-13, atol=1e-13)


def test_blocks_are_applied_in_their_order() -> None:
    """First double, then shift by 1: 2x + 1, not 2(x + 1)."""
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    chain = Chain([affine_block([2.0], [0.0]), affine_block([1.0], [1.0])], zero, one)
    x = normal(5, 1, seed=12)
    torch.testing.assert_close(chain(x).x, 2 * x + 1, rtol=0, atol=1e-7)
    torch.testing.assert_close(chain.inverse(2 * x + 1), x, rtol=0, atol=1e-7)


def test_a_saved_and_loaded_chain_is_the_same_chain() -> None:
    """Weights, frequencies, shift and scale: all of it is in the state_dict, loadable as plain tensors."""
    blocks = [random_block(kind, 3, steps=2) for kind in ("two_layers", "fourier", "residual_one_layer")]
    fresh = [
        random_block(kind, 3, steps=2, seed=99) for kind in ("two_layers", "fourier", "residual_one_layer")
    ]
    chain, other = Chain(blocks, SHIFT, SCALE), Chain(fresh, 0 * SHIFT, 0 * SCALE + 1)
    x, file = normal(10, 3, seed=13), io.BytesIO()
    assert not torch.equal(chain.log_prob(x)[0], other.log_prob(x)[0])
    torch.save(chain.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(chain.log_prob(x)[0], other.log_prob(x)[0])
    assert torch.equal(chain.sample(5), other.sample(5))


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_chain_s_dtype_whatever_the_rows(kind: str, dtype: torch.dtype) -> None:
    chain = random_chain(3, kind=kind, dtype=dtype, steps=2)
    for rows in (torch.float32, torch.float64):
        x = normal(4, 3, seed=14, dtype=rows)
        assert {chain(x).x.dtype, chain(x).log_det.dtype, chain.log_prob(x)[0].dtype} == {dtype}
        assert chain.inverse(x).dtype == chain.sample(4).dtype == dtype


@every_kind
def test_no_rows_give_no_rows(kind: str) -> None:
    chain, none = random_chain(3, kind=kind, steps=2), torch.zeros(0, 3, dtype=torch.float64)
    assert chain(none).x.shape == chain.inverse(none).shape == (0, 3)
    assert chain.log_prob(none)[0].shape == (0,)


@every_kind
def test_arguments_are_not_changed_and_no_graph_is_kept(kind: str) -> None:
    chain, x = random_chain(3, kind=kind, steps=2), normal(6, 3, seed=15)
    before = x.clone()
    assert not chain(x).x.requires_grad
    assert not chain.log_prob(x)[0].requires_grad
    assert not chain.inverse(x).requires_grad
    assert torch.equal(x, before)


def test_a_linear_chain_has_the_log_prob_of_its_covariance() -> None:
    """T = expm(A): the model is N(0, expm(−A) expm(−A)ᵀ), correlations included."""
    matrix, x = 0.4 * normal(3, 3, seed=16), normal(12, 3, seed=17)
    chain = Chain([Block(AffineField(matrix), 0.5, Solver(steps=32))], 0 * SHIFT, 0 * SCALE + 1)
    back = torch.matrix_exp(-matrix)
    exact = torch.distributions.MultivariateNormal(0 * SHIFT, back @ back.T).log_prob(x)
    torch.testing.assert_close(chain.log_prob(x)[0], exact, rtol=0, atol=1e-6)


def test_samples_that_are_not_finite_name_the_block() -> None:
    """The second of two blocks stretches beyond what numbers hold."""
    bad = affine_block([1e-20, 1e-20], [0.0, 0.0])
    chain = Chain([identity_block(2), bad], SHIFT[:2], SCALE[:2])
    with pytest.raises(NumericalError, match=r"block 2: pulling rows back .* not finite in 5 of 5 rows"):
        chain.inverse(torch.full((5, 2), 1e300, dtype=torch.float64))
    rows = chain.inverse(torch.full((5, 2), 1e300, dtype=torch.float64), finite=False)
    assert not rows.isfinite().any()
