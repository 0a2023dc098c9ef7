"""∇T of a block against autograd row by row, and what is made of it against linear algebra."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jko.maps.jacobian import asymmetry, jacobian
from jko.maps.ode_block import Block, Solver
from tests import oracles
from tests.oracles import BLOCK_KINDS, AffineField, affine_block, identity_block, normal, random_block


class Swirl(nn.Module):
    """Turns the plane about the origin, by an angle of rate · |x|²."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.dim, self.rate = 2, nn.Parameter(torch.tensor(rate, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        turned = torch.stack([-x[:, 1], x[:, 0]], dim=-1)
        return self.rate * (x**2).sum(-1, keepdim=True) * turned


def rotation_block(angle: float) -> Block:
    """T turns the plane by an angle."""
    field = AffineField(torch.tensor([[0.0, -angle], [angle, 0.0]], dtype=torch.float64))
    return Block(field, 0.5, Solver(steps=64))


def linear_block(matrix: Tensor) -> tuple[Block, Tensor]:
    """T(x) = expm(matrix) x, with expm(matrix)."""
    return Block(AffineField(matrix), 0.5, Solver(steps=64)), torch.matrix_exp(matrix)


@pytest.mark.parametrize("kind", BLOCK_KINDS)
@pytest.mark.parametrize("dim", [1, 3])
def test_the_jacobian_is_that_of_autograd_at_each_row(kind: str, dim: int) -> None:
    block, x = random_block(kind, dim, steps=3), normal(5, dim, seed=0)
    found = jacobian(block, x)
    assert found.shape == (5, dim, dim)
    torch.testing.assert_close(found, oracles.jacobian(block.push_forward, x), rtol=1e-10, atol=1e-12)


def test_entry_i_j_is_the_derivative_of_component_i_along_j() -> None:
    """By central differences; the block is far from symmetric, so a transpose would show."""
    block, x, h = random_block("two_layers", 3, steps=4), normal(4, 3, seed=1), 1e-5
    found = jacobian(block, x)
    for j in range(3):
        step = h * torch.eye(3, dtype=torch.float64)[j]
        slope = (block.push_forward(x + step) - block.push_forward(x - step)) / (2 * h)
        torch.testing.assert_close(found[:, :, j], slope, rtol=0, atol=1e-7)
    assert (found - found.mT).abs().max() > 0.05


def test_the_jacobian_of_a_linear_block_is_its_matrix_at_every_row() -> None:
    block, matrix = linear_block(0.5 * normal(4, 4, seed=2))
    found = jacobian(block, normal(3, 4, seed=3))
    torch.testing.assert_close(found, matrix.expand(3, 4, 4), rtol=0, atol=1e-7)


def test_many_rows_come_back_in_order() -> None:
    """More than one portion."""
    block, x = random_block("one_layer", 5, steps=1), normal(2000, 5, seed=4)
    found = jacobian(block, x)
    assert len(found) == 2000
    for rows in (slice(0, 3), slice(1635, 1643), slice(1995, 2000)):
        torch.testing.assert_close(found[rows], jacobian(block, x[rows]), rtol=1e-10, atol=1e-12)


def test_looking_leaves_the_block_as_it_was() -> None:
    block, x = random_block("two_layers", 2, steps=2), normal(4, 2, seed=5)
    before = {name: value.clone() for name, value in block.state_dict().items()}
    asymmetry(block, x)
    assert all(parameter.requires_grad for parameter in block.parameters())
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())


@pytest.mark.parametrize("kind", BLOCK_KINDS)
def test_every_figure_by_hand(kind: str) -> None:
    block, x = random_block(kind, 3, steps=2, size=0.3), normal(30, 3, seed=6)
    found = asymmetry(block, x)
    matrices = oracles.jacobian(block.push_forward, x).numpy()
    symmetric = (matrices + matrices.transpose(0, 2, 1)) / 2
    kappa = np.linalg.slogdet(matrices)[1] - np.linalg.slogdet(symmetric)[1]
    stretch = [1 / np.linalg.svd(matrix, compute_uv=False)[-1] for matrix in matrices]
    smallest = min(np.linalg.eigvalsh(each)[0] for each in symmetric)
    assert smallest > 0
    assert (kappa > 0).all()
    assert found.kappa == pytest.approx(kappa.mean(), rel=1e-8)
    assert found.kappa_se == pytest.approx(kappa.std(ddof=1) / math.sqrt(30), rel=1e-8)
    assert found.smallest == pytest.approx(smallest, rel=1e-8)
    assert found.lipschitz_inverse == pytest.approx(max(stretch), rel=1e-8)
    assert found.lipschitz_inverse_q99 == pytest.approx(np.quantile(stretch, 0.99), rel=1e-8)
    assert found.lipschitz_inverse_q99 < found.lipschitz_inverse
    assert found.rows == 30


def test_symmetric_affine_maps_have_no_asymmetry() -> None:
    root = 0.4 * normal(4, 4, seed=7)
    block, matrix = linear_block(root + root.T)
    found = asymmetry(block, normal(10, 4, seed=8))
    assert found.kappa == pytest.approx(0, abs=1e-9)
    assert found.kappa_se == pytest.approx(0, abs=1e-9)
    assert found.smallest == pytest.approx(float(torch.linalg.eigvalsh(matrix)[0]), rel=1e-6)


@pytest.mark.parametrize("kind", BLOCK_KINDS)
def test_every_block_in_one_dimension_is_a_gradient_map(kind: str) -> None:
    found = asymmetry(random_block(kind, 1, steps=8), normal(30, 1, seed=9))
    assert found.kappa == pytest.approx(0, abs=1e-12)
    assert found.smallest > 0


@pytest.mark.parametrize("dim", [2, 4])
def test_asymmetry_of_an_affine_map_in_closed_form(dim: int) -> None:
    block, matrix = linear_block(0.35 * normal(dim, dim, seed=10))
    symmetric = (matrix + matrix.T) / 2
    assert torch.linalg.eigvalsh(symmetric)[0] > 0
    exact = float(torch.linalg.slogdet(matrix)[1] - torch.linalg.slogdet(symmetric)[1])
    assert exact > 0.01
    found = asymmetry(block, normal(10, dim, seed=11))
    assert found.kappa == pytest.approx(exact, abs=1e-6)
    assert found.smallest == pytest.approx(float(torch.linalg.eigvalsh(symmetric)[0]), abs=1e-6)


@pytest.mark.parametrize("degrees", [30, 80])
def test_asymmetry_of_a_rotation_is_minus_the_logarithm_of_its_cosines(degrees: float) -> None:
    angle = math.radians(degrees)
    found = asymmetry(rotation_block(angle), normal(10, 2, seed=12))
    assert found.kappa == pytest.approx(-2 * math.log(math.cos(angle)), abs=1e-5)
    assert found.smallest == pytest.approx(math.cos(angle), abs=1e-6)
    assert found.lipschitz_inverse == pytest.approx(1, abs=1e-6)


def test_beyond_a_right_angle_there_is_no_asymmetry_to_tell() -> None:
    found = asymmetry(rotation_block(2 * math.pi / 3), normal(10, 2, seed=13))
    assert math.isnan(found.kappa)
    assert math.isnan(found.kappa_se)
    assert found.smallest == pytest.approx(-0.5, abs=1e-5)


def test_a_single_particle_where_the_symmetric_part_is_not_positive_spoils_the_asymmetry() -> None:
    """Near the origin the swirl barely turns."""
    block = Block(Swirl(0.5), 0.5, Solver(steps=32))
    near = 0.3 * normal(20, 2, seed=14)
    assert asymmetry(block, near).kappa >= 0
    spoiled = asymmetry(block, torch.cat([near, torch.tensor([[1.9, 0.0]], dtype=torch.float64)]))
    assert math.isnan(spoiled.kappa)
    assert spoiled.smallest < 0


def test_the_inverse_of_an_affine_map_stretches_by_its_smallest_singular_value() -> None:
    block, matrix = linear_block(0.5 * normal(3, 3, seed=15))
    found = asymmetry(block, normal(10, 3, seed=16))
    exact = 1 / float(torch.linalg.svdvals(matrix)[-1])
    assert found.lipschitz_inverse == pytest.approx(exact, rel=1e-6)
    assert found.lipschitz_inverse_q99 == pytest.approx(exact, rel=1e-6)
    assert asymmetry(affine_block([0.5, 2.0], [3.0, -1.0]), normal(5, 2, seed=0)).lipschitz_inverse == (
        pytest.approx(2, rel=1e-6)
    )


def test_the_stretch_is_never_undercut_by_pairs_of_particles() -> None:
    """|x − x'| ≤ L |Tx − Tx'| for neighbours, to first order."""
    block, x = random_block("two_layers", 3, steps=8), normal(40, 3, seed=17)
    direction = nn.functional.normalize(normal(40, 3, seed=18), dim=-1)
    ratio = 1e-5 / (block.push_forward(x + 1e-5 * direction) - block.push_forward(x)).norm(dim=-1)
    assert ratio.max().item() <= asymmetry(block, x).lipschitz_inverse * (1 + 1e-4)


def test_the_identity() -> None:
    found = asymmetry(identity_block(3), normal(5, 3, seed=19))
    assert found.kappa == 0
    assert found.kappa_se == 0
    assert found.smallest == found.lipschitz_inverse == found.lipschitz_inverse_q99 == 1


def test_a_float32_block_gives_the_same_figures_to_its_precision() -> None:
    x = normal(50, 3, seed=20)
    exact = asymmetry(random_block("two_layers", 3, steps=4), x)
    block = random_block("two_layers", 3, steps=4)
    found = asymmetry(block.float(), x.float())
    assert exact.kappa > 0.01
    assert found.kappa == pytest.approx(exact.kappa, abs=1e-5)
    assert found.lipschitz_inverse == pytest.approx(exact.lipschitz_inverse, rel=1e-4)


def test_hutchinson_probes_do_not_matter() -> None:
    x = normal(10, 2, seed=21)
    plain, probed = (random_block("two_layers", 2, steps=3, probes=probes) for probes in (0, 2))
    assert asymmetry(plain, x) == asymmetry(probed, x)
