"""A chain of blocks: the normalizing flow, with the standardisation of its data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from jko.invertible import InvertibleBlock, Pushed
from jko.objective import potential
from jko.seeds import generator

#: log-density of the law at the end of a chain, nats, (rows, d) to (rows,); up to log Z where that is unknown
Reference = Callable[[Tensor], Tensor]


def reference_log_prob(z: Tensor) -> Tensor:
    """The log-density log N(z; 0, I) in nats, shape (batch, d) to (batch,)."""
    return -potential(z) - 0.5 * z.shape[-1] * math.log(2 * math.pi)


class Chain(nn.Module):
    r"""Blocks :math:`T_N \circ \dots \circ T_1` after :math:`x \mapsto (x - shift) / scale`.

    .. math:: \log q_0(x) = \log q(x_N) + \sum_k \log|\det \nabla T_k(x_{k-1})| - \sum_i \log scale_i

    Positions that enter ``forward`` and leave ``inverse`` and ``sample`` are in data units, and
    so are log-densities.

    Args:
        blocks: the blocks in forward order.
        shift: subtracted from the data, shape (d,).
        scale: the data are divided by it, shape (d,).
        reference: log q, of N(0, I) by default.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        blocks: Iterable[InvertibleBlock],
        shift: Tensor,
        scale: Tensor,
        reference: Reference = reference_log_prob,
    ) -> None:
        super().__init__()
        self.reference = reference
        self.blocks = nn.ModuleList(blocks)
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    def __iter__(self) -> Iterator[InvertibleBlock]:
        for block in self.blocks:
            assert isinstance(block, InvertibleBlock)  # a ModuleList knows modules only
            yield block

    @property
    def dim(self) -> int:
        """Dimension d of the data."""
        return self.shift.shape[0]

    def standardise(self, x: Tensor) -> Tensor:
        """Data units to standardised units, shape (batch, d), in the blocks' dtype.

        The subtraction is done in the dtype of ``shift``: give it in float64 where the data's
        offset is large against their spread.
        """
        return ((x.to(self.shift) - self.shift) / self.scale).to(self.dtype)

    @property
    def dtype(self) -> torch.dtype:
        """The blocks' dtype, or that of ``shift`` without blocks."""
        return next((parameter.dtype for parameter in self.parameters()), self.shift.dtype)

    @torch.no_grad()
    def forward(self, x: Tensor, *, batch: int = 4096, seed: int = 0) -> Pushed:
        """Data → reference; ``log_det`` includes the standardisation's.

        Args:
            x: rows in data units, shape (rows, d).
            batch: rows pushed at a time.
            seed: seed of the probes, where blocks use them.

        Returns:
            x_N in standardised units, log|det| in nats and its standard error, all rows.
        """
        y = self.standardise(x)
        log_det = -torch.log(self.scale).sum().expand(len(y))
        variance = torch.zeros_like(log_det)
        for k, block in enumerate(self, start=1):
            pushed = push_in_batches(block, y, batch, generator(seed, k, "probes"))
            y, log_det = pushed.x, log_det + pushed.log_det
            variance = variance + pushed.log_det_se**2
        return Pushed(y, log_det, variance.sqrt())

    @torch.no_grad()
    def inverse(self, z: Tensor, *, batch: int = 4096) -> Tensor:
        """Reference → data, deterministic: x in data units for z, shapes (rows, d)."""
        parts = []
        for rows in z.to(device=self.shift.device, dtype=self.dtype).split(batch):
            y = rows
            for block in reversed(list(self)):
                y = block.pull_back(y)
            parts.append(y * self.scale + self.shift)
        return torch.cat(parts)

    def log_prob(self, x: Tensor, *, batch: int = 4096, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Log-density of rows under the model q_0.

        Args:
            x: rows in data units, shape (rows, d).
            batch: rows at a time.
            seed: seed of the probes, where blocks use them.

        Returns:
            log q_0(x) in nats with respect to Lebesgue measure in data units, shape (rows,), and
            its standard error (zero where the log-determinants are exact).
        """
        pushed = self(x, batch=batch, seed=seed)
        return self.reference(pushed.x) + pushed.log_det, pushed.log_det_se

    def sample(self, rows: int, *, seed: int = 0, batch: int = 4096) -> Tensor:
        """Draw from the model: the inverse of standard normal draws, shape (rows, d)."""
        z = torch.randn(rows, self.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return self.inverse(z, batch=batch)


@torch.no_grad()
def push_in_batches(block: InvertibleBlock, x: Tensor, batch: int, draw: torch.Generator) -> Pushed:
    """Push rows through one block, some at a time; the result does not depend on how many.

    Args:
        block: the block.
        x: all rows, standardised units, shape (rows, d).
        batch: rows at a time.
        draw: source of the probes, drawn for all rows at once.
    """
    probes = block.draw_probes(x, draw)
    parts = []
    for start in range(0, max(len(x), 1), batch):
        rows = slice(start, start + batch)
        parts.append(block(x[rows], probes=None if probes is None else probes.of(rows)))
    return Pushed(
        torch.cat([part.x for part in parts]),
        torch.cat([part.log_det for part in parts]),
        torch.cat([part.log_det_se for part in parts]),
    )
