"""The triangular map of a Gaussian mixture to N(0, I), as a start map."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jko.maps.start_map import StartMap, log_normal_density

#: halvings of an interval that is at most some hundred wide, and steps of Newton's method afterwards
HALVINGS, POLISH = 40, 3
#: below this log-probability the start of Newton's method is the asymptotic quantile
FAR = -30.0


class MixtureMap(StartMap):
    r"""The increasing triangular map that takes a Gaussian mixture to N(0, I).

    .. math:: z_j = \Phi^{-1}\Bigl(\sum_k r_{kj}(u_{<j})\,\Phi(y_{kj})\Bigr), \quad
        y_k = L_k^{-1}(u - m_k), \quad r_{kj} \propto w_k \prod_{i<j} N(y_{ki}; 0, 1) / L_{k,ii}

    Its log-determinant is :math:`\log p_{mix}(u) - \log N(z; 0, I)`. The inverse is found column by column,
    by halving an interval that the components' own quantiles bound.

    Args:
        log_weights: log w_k, shape (K,).
        means: m_k, shape (K, d).
        factors: Cholesky factors L_k of the covariances, shape (K, d, d).

    Source: the Knothe–Rosenblatt map; Villani, Topics in Optimal Transportation (2003).
    """

    kind = "mixture"
    affine_tails = False  # the difference of two squares there, of which no digit may be left
    log_weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, log_weights: Tensor, means: Tensor, factors: Tensor) -> None:
        super().__init__()
        for name, value in (("log_weights", log_weights), ("means", means), ("factors", factors)):
            self.register_buffer(name, value.double())

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.means.shape[1]

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Images z and log p_mix(u) − log N(z; 0, I)."""
        away = u.double()[:, None, :] - self.means
        y = torch.linalg.solve_triangular(self.factors, away.unsqueeze(-1), upper=False).squeeze(-1)
        own = log_normal_density(y) - self._diagonal.log()  # (rows, K, d)
        joint = self.log_weights[:, None] + own.cumsum(-1)
        before = torch.cat([self.log_weights.expand(len(u), -1)[..., None], joint[..., :-1]], dim=-1)
        z = _scores(before.log_softmax(1), y)
        density = joint[..., -1].logsumexp(1)
        return z, density - log_normal_density(z).sum(-1)

    @torch.no_grad()
    def inverse(self, z: Tensor) -> Tensor:
        """Rows u, column by column."""
        z = z.double()
        weights = self.log_weights.expand(len(z), -1)
        y = z.new_zeros(len(z), len(self.means), self.dim)
        columns = []
        for j in range(self.dim):
            spread = self._diagonal[:, j]
            middle = self.means[:, j] + torch.einsum("kj,nkj->nk", self.factors[:, j, :j], y[..., :j])
            column = _quantile(weights.log_softmax(1), middle, spread, z[:, j])
            y[..., j] = (column[:, None] - middle) / spread
            weights = weights + log_normal_density(y[..., j]) - spread.log()
            columns.append(column)
        return torch.stack(columns, dim=1)

    @property
    def _diagonal(self) -> Tensor:
        return self.factors.diagonal(dim1=1, dim2=2)


def _scores(log_weights: Tensor, y: Tensor) -> Tensor:
    """Normal scores of mixtures' distribution functions, over the components in dimension 1."""
    below = (log_weights + torch.special.log_ndtr(y)).logsumexp(1)
    above = (log_weights + torch.special.log_ndtr(-y)).logsumexp(1)
    lower = below < above
    score = normal_quantile(torch.where(lower, below, above).clamp(max=-math.log(2)))
    return torch.where(lower, score, -score)


def _quantile(log_weights: Tensor, middle: Tensor, spread: Tensor, z: Tensor) -> Tensor:
    """Numbers at which mixtures in one dimension have the normal scores z, shape (rows,)."""
    ends = middle + spread * z[:, None]  # each component's own quantile; the mixture's lies between them
    low, high = ends.amin(1), ends.amax(1)
    for _ in range(HALVINGS):
        half = (low + high) / 2
        under = _scores(log_weights, (half[:, None] - middle) / spread) < z
        low, high = torch.where(under, half, low), torch.where(under, high, half)
    found = (low + high) / 2
    for _ in range(POLISH):
        y = (found[:, None] - middle) / spread
        score = _scores(log_weights, y)
        slope = (log_weights + log_normal_density(y) - spread.log()).logsumexp(1) - log_normal_density(score)
        step = (score - z) * torch.exp(-slope)
        found = torch.where(step.isfinite() & (step.abs() <= high - low), found - step, found)
    return found


def normal_quantile(log_p: Tensor) -> Tensor:
    r"""The number z ≤ 0 with :math:`\log \Phi(z)` given, also where Φ(z) is too small for a float.

    Args:
        log_p: at most −log 2.
    """
    fixed = log_p.detach()
    far = -torch.sqrt((-2 * fixed - math.log(2 * math.pi) - (-2 * fixed).log()).clamp(min=1e-9))
    z = torch.where(fixed < FAR, far, torch.special.ndtri(fixed.clamp(min=FAR).exp()))
    for _ in range(POLISH):
        z = _newton(z, fixed)
    return _newton(z, log_p)  # with the derivative of the quantile


def _newton(z: Tensor, log_p: Tensor) -> Tensor:
    below = torch.special.log_ndtr(z)
    return z - (below - log_p) * torch.exp(below - log_normal_density(z))
