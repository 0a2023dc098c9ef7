"""The computed inverse against the true one: matrix exponentials, Taylor polynomials, fine steps."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from jko.core.errors import NumericalError
from jko.maps.adaptive import PIECE
from jko.maps.ode_block import Block, Solver
from jko.measure.inversion import block_inversion_error, product_bound, pull_back_reference, reverse_error
from tests.oracles import FIELD_KINDS, AffineField, affine_block, identity_block, normal, random_block


class Cubic(nn.Module):
    """v = −x³: backwards from y the solution is (y⁻² − 2s)^{−1/2}, which ends at s = y⁻²/2."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim, self.rate = dim, nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return -self.rate * x**3


class Undefined(nn.Module):
    """v = log x, which is not a number on the left."""

    dim = 1

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return x.log()


def scaling_block(rate: float, steps: int) -> Block:
    """v = rate · x in one dimension: T⁻¹ is division by e^{rate}."""
    return Block(AffineField(torch.tensor([[rate]], dtype=torch.float64)), 0.5, Solver(steps=steps))


def computed_factor(rate: float, steps: int) -> float:
    """What RK4 multiplies by on the way back: the Taylor polynomial of e^{−rate/steps}, to the power."""
    return sum((-rate / steps) ** i / math.factorial(i) for i in range(5)) ** steps


def contractions() -> tuple[list[Block], list[float]]:
    """Affine contractions solved in few steps, with the Lipschitz constants of their inverses."""
    scales = [[0.4, 0.7], [0.5, 0.3], [0.8, 0.6]]
    blocks = [affine_block(scale, [0.5, -1.0], steps=1 + k) for k, scale in enumerate(scales)]
    return blocks, [1 / min(scale) for scale in scales]


@pytest.mark.parametrize("seed", range(4))
def test_the_true_inverse_of_a_linear_field_is_the_matrix_exponential(seed: int) -> None:
    matrix, y = 0.5 * normal(4, 4, seed=seed), normal(20, 4, seed=seed + 10)
    block = Block(AffineField(matrix), 0.5, Solver(steps=1))
    found = pull_back_reference(block, y, index=1)
    torch.testing.assert_close(found, y @ torch.matrix_exp(-matrix).T, rtol=0, atol=1e-8)


def test_the_true_inverse_of_an_affine_map_in_closed_form() -> None:
    y = normal(50, 2, seed=0)
    exact = (y - torch.tensor([0.4, -0.3], dtype=torch.float64)) / torch.tensor(
        [0.7, 1.3], dtype=torch.float64
    )
    found = pull_back_reference(affine_block([0.7, 1.3], [0.4, -0.3], steps=1), y, index=1)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", FIELD_KINDS)
@torch.no_grad()
def test_the_true_inverse_is_the_limit_of_ever_finer_steps(kind: str) -> None:
    block, y = random_block(kind, 3, steps=200), normal(30, 3, seed=1)
    limit = block.pull_back(y)
    torch.testing.assert_close(pull_back_reference(block, y, index=1), limit, rtol=0, atol=1e-8)


def test_the_true_inverse_of_a_nonlinear_field_in_closed_form() -> None:
    y = torch.linspace(-0.6, 0.6, 13, dtype=torch.float64)[:, None]
    exact = y / (1 - 2 * y**2).sqrt()
    found = pull_back_reference(Block(Cubic(1), 0.5, Solver(steps=1)), y, index=1)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-8)


def test_the_true_inverse_of_a_float32_block_is_in_float64_and_leaves_the_block() -> None:
    block, y = random_block("two_layers", 2, dtype=torch.float32), normal(10, 2, seed=2)
    found = pull_back_reference(block, y, index=1)
    assert found.dtype == torch.float64
    assert {parameter.dtype for parameter in block.parameters()} == {torch.float32}
    with torch.no_grad():
        limit = random_block("two_layers", 2, dtype=torch.float32, steps=200).double().pull_back(y)
    torch.testing.assert_close(found, limit, rtol=0, atol=1e-7)


def test_rows_have_the_true_inverse_they_have_alone_however_many_there_are() -> None:
    block, y = random_block("two_layers", 2, dtype=torch.float32), normal(2 * PIECE + 3, 2, seed=2)
    found = pull_back_reference(block, y, index=1)
    assert found.shape == y.shape
    alone = pull_back_reference(block, y[-3:], index=1)
    torch.testing.assert_close(found[-3:], alone, rtol=0, atol=1e-7)


def test_a_field_that_blows_up_backwards_is_an_error_of_its_block() -> None:
    y = torch.full((1, 1), 2.0, dtype=torch.float64)
    with pytest.raises(NumericalError, match=r"block 7: .*backwards") as caught:
        pull_back_reference(Block(Cubic(1), 0.5), y, index=7)
    assert caught.value.block == 7
    assert caught.value.remedy


def test_the_reverse_pass_names_the_block_that_cannot_be_inverted() -> None:
    blocks = [identity_block(1), Block(Undefined(), 0.5), identity_block(1)]
    with pytest.raises(NumericalError) as caught:
        reverse_error(blocks, 20)
    assert caught.value.block == 2


@pytest.mark.parametrize("steps", [1, 2])
def test_inversion_error_of_a_scaling_in_closed_form(steps: int) -> None:
    y, rate = normal(100, 1, seed=3), -1.2
    gap = abs(computed_factor(rate, steps) - math.exp(-rate))
    exact = gap * float((y**2).mean().sqrt())
    assert block_inversion_error(scaling_block(rate, steps), y, index=1) == pytest.approx(exact, rel=1e-4)


def test_inversion_error_sums_over_dimensions_and_averages_over_rows() -> None:
    """Two equal coordinates: √2 times the error of one."""
    y = normal(100, 1, seed=4)
    one = block_inversion_error(affine_block([0.3], [0.0], steps=1), y, index=1)
    two = block_inversion_error(affine_block([0.3, 0.3], [0.0, 0.0], steps=1), y.expand(-1, 2), index=1)
    assert two == pytest.approx(math.sqrt(2) * one, rel=1e-5)


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_inversion_error_shrinks_at_the_order_of_rk4(kind: str) -> None:
    """Twice the steps, about 2⁴ less: down to 32 steps, so the reference must be far more accurate."""
    y = normal(50, 3, seed=5)
    errors = [
        block_inversion_error(random_block(kind, 3, seed=1, steps=n), y, index=1) for n in (4, 8, 16, 32)
    ]
    for coarse, fine in pairwise(errors):
        assert 9 < coarse / fine < 40


def test_inversion_error_of_the_identity_is_zero() -> None:
    assert block_inversion_error(identity_block(3), normal(20, 3, seed=6), index=1) < 1e-12


def test_the_reverse_pass_of_identities_is_exact() -> None:
    found = reverse_error([identity_block(3)] * 3, 50)
    assert len(found.per_block) == 3
    assert max(*found.per_block, found.coupled.value, found.coupled.se, found.worst) < 1e-12
    assert found.rows == 50


def test_errors_are_told_in_the_order_of_the_blocks() -> None:
    found = reverse_error([scaling_block(-1.0, 1), scaling_block(-1.0, 16)], 50)
    assert found.per_block[0] > 1e3 * found.per_block[1]
    found = reverse_error([scaling_block(-1.0, 16), scaling_block(-1.0, 1)], 50)
    assert found.per_block[1] > 1e3 * found.per_block[0]


def test_errors_of_two_scalings_on_the_same_draws_in_closed_form() -> None:
    """The root mean square of z drops out of every ratio if both passes start from the same z.

    Block 2 sees z itself; block 1 sees what block 2 *computed*, which is 2 % off.
    """
    one, two = -0.9, -1.5
    found = reverse_error([scaling_block(one, 1), scaling_block(two, 1)], 200)
    first, second = computed_factor(one, 1), computed_factor(two, 1)
    unit = found.per_block[1] / abs(second - math.exp(-two))
    assert unit == pytest.approx(1, abs=4 / math.sqrt(2 * 200))
    assert found.per_block[0] == pytest.approx(abs(first - math.exp(-one)) * second * unit, rel=1e-3)
    whole = abs(first * second - math.exp(-one - two))
    assert found.coupled.value == pytest.approx(whole * unit, rel=1e-3)
    assert 2 * found.coupled.value < found.worst < 5 * found.coupled.value


def test_the_standard_error_of_the_coupled_distance_is_that_of_a_chi() -> None:
    """√mean z² over n draws has standard error 1/√(2n)."""
    found = reverse_error([scaling_block(-1.5, 1)], 2000)
    assert found.coupled.se == pytest.approx(found.coupled.value / math.sqrt(4000), rel=0.15)
    assert found.rows == 2000


def test_the_coupled_distance_lies_below_the_product_bound() -> None:
    """Row by row, for the exact Lipschitz constants of affine contractions."""
    blocks, lipschitz = contractions()
    found = reverse_error(blocks, 300)
    bound = product_bound(found.per_block, lipschitz)
    assert 0.1 * bound < found.coupled.value < bound
    assert found.coupled.value > found.per_block[0]


def test_both_passes_share_their_draws() -> None:
    """Independent draws would be about √(2d) times the samples' spread apart."""
    found = reverse_error([random_block("two_layers", 3, seed=seed, steps=8) for seed in (1, 2)], 200)
    assert found.coupled.value < 1e-3
    assert found.worst < 1e-2


def test_the_seed_decides_the_draws() -> None:
    blocks, _ = contractions()
    assert reverse_error(blocks, 40, seed=3) == reverse_error(blocks, 40, seed=3)
    assert reverse_error(blocks, 40, seed=3).coupled != reverse_error(blocks, 40, seed=4).coupled


def test_a_float32_chain_stays_at_the_floor_of_float32_however_fine_its_steps() -> None:
    single, double = (
        reverse_error(
            [random_block("two_layers", 2, seed=seed, steps=64, dtype=dtype) for seed in (1, 2)], 100
        )
        for dtype in (torch.float32, torch.float64)
    )
    assert 5e-8 < single.coupled.value < 2e-5
    assert double.coupled.value < 1e-8


def test_the_product_bound_by_hand() -> None:
    assert product_bound([0.1, 0.2, 0.3], [2.0, 5.0, 7.0]) == pytest.approx(0.1 + 2 * 0.2 + 10 * 0.3)
    assert product_bound([], []) == 0
    with pytest.raises(ValueError, match="zip"):
        product_bound([0.1, 0.2], [1.0])


def test_the_product_bound_is_the_geometric_sum_for_equal_blocks() -> None:
    """theory.md, section 3: ε (Lᴺ − 1)/(L − 1)."""
    assert product_bound([0.01] * 6, [1.5] * 6) == pytest.approx(0.01 * (1.5**6 - 1) / 0.5)
