r"""The Jacobian of a block at held-out particles: asymmetry κ, and how the inverse stretches."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.core.context import with_context
from jko.maps.invertible import InvertibleBlock
from jko.statistics.tails import tail_of


@dataclass(frozen=True)
class Asymmetry:
    r"""What the certificates with block pairing ask of ∇T, and the Lipschitz constant of the inverse.

    Args:
        kappa: :math:`\kappa = E[\log|\det \nabla T| - \log\det \mathrm{sym} \nabla T] \ge 0`, nats, 0
            for a gradient map; nan where sym ∇T is not positive at every sampled particle.
        kappa_se: its standard error over particles.
        kappa_tail: how much of it few particles carry, see :func:`jko.statistics.tails.tail_of`.
        smallest: the smallest eigenvalue of sym ∇T = (∇T + ∇Tᵀ)/2 over particles.
        lipschitz_inverse: largest 1/σ_min(∇T) over particles: an estimate, from below, of the
            Lipschitz constant of T⁻¹.
        lipschitz_inverse_q99: the 99 % quantile of the same.
        rows: number of particles.

    All but the rows are nan where a Jacobian is not finite.
    """

    kappa: float
    kappa_se: float
    smallest: float
    lipschitz_inverse: float
    lipschitz_inverse_q99: float
    rows: int
    kappa_tail: float = 0.0


def asymmetry(block: InvertibleBlock, x: Tensor, weight: Tensor | None = None) -> Asymmetry:
    """Look at the Jacobian of the block, as solved, at particles.

    Args:
        block: the block T.
        x: held-out samples of the law that enters it, shape (rows, d).
        weight: P(ρ)/ρ at T(x), by which κ is weighted under another internal energy than the entropy, shape
            (rows,); where it is 0, sym ∇T need not be positive.
    """
    jacobians = jacobian(block, x).double().cpu()
    if not jacobians.isfinite().all():
        return Asymmetry(math.nan, math.nan, math.nan, math.nan, math.nan, rows=len(x))
    eigenvalues = torch.linalg.eigvalsh((jacobians + jacobians.mT) / 2)
    smallest = float(eigenvalues.min())
    stretch = 1 / torch.linalg.svdvals(jacobians)[:, -1]
    kappa = torch.full((len(x),), math.nan, dtype=torch.float64)
    if smallest > 0:
        kappa = torch.linalg.slogdet(jacobians)[1] - eigenvalues.log().sum(-1)
    if weight is not None:
        counted = weight.double().cpu()
        kappa = torch.where(counted == 0, 0.0, counted * kappa)
    return Asymmetry(
        kappa=float(kappa.mean()),
        kappa_se=float(kappa.std() / math.sqrt(len(x))),
        smallest=smallest,
        lipschitz_inverse=float(stretch.max()),
        lipschitz_inverse_q99=float(stretch.quantile(0.99)),
        rows=len(x),
        kappa_tail=tail_of(kappa),
    )


def jacobian(block: InvertibleBlock, x: Tensor) -> Tensor:
    """∇T at each row by reverse mode, (rows, d, d): entry (i, j) is ∂T_i/∂x_j, the context held fixed."""
    frozen = copy.deepcopy(block).requires_grad_(False)  # half the time of one that keeps a graph

    def image(state: Tensor, row: Tensor) -> Tensor:
        return frozen.state_of(frozen.push_forward(with_context(state, row)[None])[0])

    parts = [
        torch.func.vmap(torch.func.jacrev(image))(frozen.state_of(rows), rows)
        for rows in x.split(max(1, 8192 // x.shape[1]))
    ]
    return torch.cat(parts)
