"""Problems with exact answers, shared by the tests: fields, blocks, rows, independent derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from jko.chain.chain import Chain
from jko.maps.contraction import ContractionField
from jko.maps.invertible import InvertibleBlock
from jko.maps.ode_block import Block, Solver
from jko.maps.residual_block import ResidualBlock
from jko.maps.velocity import VelocityField

#: Every way a VelocityField can be built, by the path its divergence takes.
FIELD_KINDS: dict[str, dict] = {
    "one_layer": {"hidden": (6,), "activation": "tanh"},
    "two_layers": {"hidden": (6, 5), "activation": "silu"},
    "three_layers": {"hidden": (6, 5, 4), "activation": "softplus"},
    "fourier": {"hidden": (6, 5), "activation": "silu", "fourier": 3, "fourier_scale": 0.7},
}
#: The same networks as the f of x + f(x).
RESIDUAL_KINDS: dict[str, dict] = {
    f"residual_{name}": network for name, network in FIELD_KINDS.items() if "fourier" not in network
}
#: Every way a block can be built.
BLOCK_KINDS = (*FIELD_KINDS, *RESIDUAL_KINDS)


class AffineField(nn.Module):
    """v(x) = A x + c. Offers no divergence of its own, so the generic one is used."""

    def __init__(self, matrix: Tensor, offset: Tensor | None = None) -> None:
        super().__init__()
        self.dim = len(matrix)
        self.matrix = nn.Parameter(matrix.clone())
        self.offset = nn.Parameter(torch.zeros_like(matrix[0]) if offset is None else offset.clone())

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return x @ self.matrix.T + self.offset


def stream(seed: int) -> torch.Generator:
    """A fresh generator."""
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers of the given shape."""
    return torch.randn(shape, generator=stream(seed), dtype=dtype)


def random_field(
    kind: str, dim: int, *, seed: int = 0, size: float = 0.4, dtype: torch.dtype = torch.float64
) -> VelocityField:
    """A field of the given kind whose parameters are all non-zero: N(0, size²)."""
    field = VelocityField(dim, **FIELD_KINDS[kind], generator=stream(seed)).to(dtype)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.normal_(0, size, generator=stream(seed + parameter.numel()))
    return field


def random_contraction(
    kind: str,
    dim: int,
    *,
    seed: int = 0,
    size: float = 0.2,
    dtype: torch.dtype = torch.float64,
    lipschitz: float = 0.9,
) -> ContractionField:
    """A contraction of the given kind whose parameters are all non-zero: N(0, size²)."""
    network = RESIDUAL_KINDS[kind]
    field = ContractionField(dim, **network, lipschitz=lipschitz, generator=stream(seed)).to(dtype)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.normal_(0, size, generator=stream(seed + parameter.numel()))
    return field


def random_block(
    kind: str,
    dim: int,
    *,
    seed: int = 0,
    probes: int = 0,
    steps: int = 16,
    dtype: torch.dtype = torch.float64,
    size: float = 0.4,
) -> InvertibleBlock:
    """A block that is far from the identity; only those of ODEs are solved in steps."""
    if kind in RESIDUAL_KINDS:
        return ResidualBlock(
            random_contraction(kind, dim, seed=seed, dtype=dtype, size=size / 2), 0.5, probes
        )
    return Block(
        random_field(kind, dim, seed=seed, dtype=dtype, size=size), 0.5, Solver(steps=steps, probes=probes)
    )


def random_chain(
    dim: int,
    *,
    blocks: int = 2,
    probes: int = 0,
    steps: int = 8,
    dtype: torch.dtype = torch.float64,
    kind: str = "two_layers",
) -> Chain:
    """A chain of non-trivial blocks with a non-trivial standardisation."""
    shift, scale = torch.linspace(-0.5, 0.5, dim, dtype=dtype), torch.linspace(0.7, 1.3, dim, dtype=dtype)
    return Chain(
        [
            random_block(kind, dim, seed=10 + k, probes=probes, steps=steps, dtype=dtype)
            for k in range(blocks)
        ],
        shift,
        scale,
    )


def identity_block(dim: int, step_size: float = 0.5, *, dtype: torch.dtype = torch.float64) -> Block:
    """A new block: the identity map."""
    return Block(VelocityField(dim, (4,), generator=stream(0)).to(dtype), step_size)


def identity_residual(dim: int, step_size: float = 0.5, *, probes: int = 0) -> ResidualBlock:
    """A new residual block: the identity map."""
    return ResidualBlock(ContractionField(dim, (4,), generator=stream(0)).double(), step_size, probes)


def affine_residual(matrix: Tensor, shift: Tensor, *, lipschitz: float = 0.9) -> ResidualBlock:
    """The block with T(x) = x + matrix x + shift, where ‖matrix‖ ≤ lipschitz."""
    block = ResidualBlock(ContractionField(len(matrix), (4,), lipschitz=lipschitz).to(matrix), 0.5)
    with torch.no_grad():
        block.field.linear.weight.copy_(matrix)
        block.field.layers[-1].bias.copy_(shift)
    return block


def affine_block(
    scale: Sequence[float], shift: Sequence[float], step_size: float = 0.5, *, steps: int = 16
) -> Block:
    """The block with T(x) = scale · x + shift per coordinate, to the solver's accuracy."""
    rate = torch.tensor(scale, dtype=torch.float64).log()
    gain = torch.where(rate.abs() > 1e-12, torch.expm1(rate) / rate, 1.0)  # ∫ e^{rate (1-t)} dt
    offset = torch.tensor(shift, dtype=torch.float64) / gain
    return Block(AffineField(rate.diag(), offset), step_size, Solver(steps=steps))


def gaussian_affine_block(
    before: tuple[Sequence[float], Sequence[float]],
    after: tuple[Sequence[float], Sequence[float]],
    step_size: float,
) -> Block:
    """The optimal map between two diagonal Gaussians, each given as (mean, std)."""
    (m0, s0), (m1, s1) = (np.asarray(law, dtype=float) for law in (before, after))
    return affine_block((s1 / s0).tolist(), (m1 - s1 / s0 * m0).tolist(), step_size)


def rows_with_exact_moments(
    mean: Sequence[float], std: Sequence[float], *, rows: int, seed: int, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Normal draws moved so that their mean and (1/n) covariance are mean and diag(std²) exactly."""
    z = normal(rows, len(mean), seed=seed)
    z = z - z.mean(0)
    z = torch.linalg.solve_triangular(torch.linalg.cholesky(z.T @ z / rows), z.T, upper=False).T
    return (torch.tensor(mean) + torch.tensor(std) * z).to(dtype)


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Jacobian of a row-by-row function at each row, by reverse mode: shape (batch, d, d)."""
    return torch.stack([torch.autograd.functional.jacobian(lambda r: function(r[None])[0], row) for row in x])


def slogdet_of(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """log|det| of that Jacobian, shape (batch,)."""
    return torch.linalg.slogdet(jacobian(function, x))[1]


def covariance(x: Tensor, y: Tensor) -> Tensor:
    """Cov(x, y) over rows with weight 1/n, shape (d, d)."""
    return (x - x.mean(0)).T @ (y - y.mean(0)) / len(x)


def grid(dim: int, half_width: float, points: int) -> tuple[np.ndarray, float]:
    """Nodes of a regular grid on [−h, h]^dim, shape (points^dim, dim), and the volume of a cell."""
    axis = np.linspace(-half_width, half_width, points)
    mesh = np.meshgrid(*[axis] * dim, indexing="ij")
    return np.stack([m.ravel() for m in mesh], axis=1), float((axis[1] - axis[0]) ** dim)


def standard_error(values: Tensor) -> float:
    """Standard error of the mean of independent values."""
    return float(values.std()) / math.sqrt(len(values))
