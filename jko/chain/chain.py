"""A chain of blocks: the normalizing flow, with block 0, the way of its data into start coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from jko.chain.correction import Correction
from jko.chain.defence import Defence
from jko.core.context import joined, state_of
from jko.core.errors import InputError, NumericalError
from jko.energies.objective import potential
from jko.maps.invertible import InvertibleBlock, Pushed
from jko.maps.row_seeds import ProbeSource, RowSeeds, probe_source
from jko.maps.start_map import StartMap

#: log-density of the law at the end of a chain, nats, (rows, d) to (rows,); up to log Z where that is unknown
Reference = Callable[[Tensor], Tensor]


def reference_log_prob(z: Tensor) -> Tensor:
    """The log-density log N(z; 0, I) in nats, shape (batch, d) to (batch,)."""
    return -potential(z) - 0.5 * z.shape[-1] * math.log(2 * math.pi)


class Chain(nn.Module):
    r"""Blocks :math:`T_N \circ \dots \circ T_1` after :math:`x \mapsto S((x - shift) / scale)`.

    .. math:: \log q_0(x) = \log q(x_N) + \sum_k \log|\det \nabla T_k(x_{k-1})|
        + \log|\det \nabla S| - \sum_i \log scale_i

    S is the start map (:mod:`jko.maps.start_map`), the identity where there is none; what it gives are the
    start coordinates, in standardised units.

    Positions that enter ``forward`` and leave ``inverse`` and ``sample`` are in data units, and
    so are log-densities. A conditional chain has a context u of c numbers behind every row; x given u is
    what it models, and all log-densities are those of x given u. ``forward`` and ``inverse`` pass u along:
    theirs are rows of d + c columns, at both ends. ``log_prob`` and ``sample`` take it apart.

    A chain from a known law to a target may have corrections between its blocks
    (:mod:`jko.chain.correction`). ``forward`` and ``inverse`` are its blocks alone; its law is that of
    :mod:`jko.chain.sampling`.

    With a defence (:mod:`jko.chain.defence`) the law of the chain is one share of the model, and
    ``log_prob`` and ``sample`` are those of the model; ``forward`` and ``inverse`` are the blocks alone.

    Args:
        blocks: the blocks in forward order.
        shift: subtracted from the data, shape (d + c,).
        scale: the data are divided by it, shape (d + c,).
        reference: log q, of N(0, I) by default.
        context: c.
        corrections: one for each block, ``None`` where its rows stay as they are; none by default.
        defence: a broad law in the model; none by default.
        start: the map S of the state; ``None`` for the identity.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        blocks: Iterable[InvertibleBlock],
        shift: Tensor,
        scale: Tensor,
        reference: Reference = reference_log_prob,
        *,
        context: int = 0,
        corrections: Sequence[Correction | None] = (),
        defence: Defence | None = None,
        start: StartMap | None = None,
    ) -> None:
        super().__init__()
        self.reference, self.context = reference, context
        self.blocks = nn.ModuleList(blocks)
        self.corrections = tuple(corrections) or (None,) * len(self.blocks)
        if len(self.corrections) != len(self.blocks):
            raise InputError(f"{len(self.corrections)} corrections for {len(self.blocks)} blocks")
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
        self.defence = defence
        self.start = start
        if start is not None and start.dim != self.dim:
            raise InputError(f"a start map of {start.dim} columns for a state of {self.dim}")

    def __iter__(self) -> Iterator[InvertibleBlock]:
        for block in self.blocks:
            assert isinstance(block, InvertibleBlock)  # a ModuleList knows modules only
            yield block

    @property
    def dim(self) -> int:
        """Dimension d of the data."""
        return self.shift.shape[0] - self.context

    @property
    def corrected(self) -> bool:
        """Whether rows are drawn again between its blocks."""
        return any(self.corrections)

    def start_log_det(self, x: Tensor) -> Tensor:
        """Block 0's log-determinant at rows x in data units, nats, shape (rows,)."""
        return self._started(x)[1]

    def reference_log_prob(self, z: Tensor) -> Tensor:
        """The log-density log q of the state of rows at the chain's end, shape (rows, d + c) to (rows,)."""
        return self.reference(state_of(z, self.dim))

    def standardise(self, x: Tensor) -> Tensor:
        """Data units to start coordinates, shape (batch, d + c), in the blocks' dtype.

        The subtraction is done in the dtype of ``shift``: give it in float64 where the data's
        offset is large against their spread.
        """
        return self._started(x)[0]

    def in_data_units(self, y: Tensor) -> Tensor:
        """Start coordinates to data units, in the dtype of ``shift``, shape (batch, d + c)."""
        if self.start is not None:
            state = self.start.inverse(y[..., : self.dim]).to(self.shift)
            y = torch.cat([state, y[..., self.dim :].to(self.shift)], dim=-1)
        return y * self.scale + self.shift

    def _started(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Start coordinates in the blocks' dtype, and block 0's log-determinants."""
        u = (x.to(self.shift) - self.shift) / self.scale
        z, log_det = self._state(u, self.start)
        if self.start is None:
            return u.to(self.dtype), log_det
        return torch.cat([z.to(self.dtype), u[..., self.dim :].to(self.dtype)], dim=-1), log_det

    def _state(self, u: Tensor, start: StartMap | None) -> tuple[Tensor, Tensor]:
        """The state of standardised rows u behind a start map, and log-determinants from data units."""
        constant = -torch.log(self.scale[: self.dim]).sum()
        if start is None:
            return u[..., : self.dim], constant.expand(len(u))
        z, log_det = start(u[..., : self.dim])
        return z, constant + log_det.to(constant)

    @property
    def _broad_start(self) -> StartMap | None:
        """The start map before the broad law (see :class:`jko.chain.defence.Defence`)."""
        return self.start if self.start is not None and self.start.affine_tails else None

    @property
    def dtype(self) -> torch.dtype:
        """The blocks' dtype, or that of ``shift`` without blocks."""
        return next((parameter.dtype for parameter in self.parameters()), self.shift.dtype)

    def forward(self, x: Tensor, *, batch: int = 4096, seed: int | RowSeeds = 0) -> Pushed:
        """Data → reference without gradients (see :meth:`push`)."""
        with torch.no_grad():
            return self.push(x, batch=batch, seed=seed)

    def push(self, x: Tensor, *, batch: int = 4096, seed: int | RowSeeds = 0) -> Pushed:
        """Data → reference; ``log_det`` includes block 0's, and gradients are kept where torch keeps them.

        Args:
            x: rows in data units, shape (rows, d + c).
            batch: rows pushed at a time.
            seed: seed of the probes, where blocks use them, or one for every row.

        Returns:
            x_N in standardised units, log|det| in nats and its standard error, all rows.
        """
        y, log_det = self._started(x)
        variance = torch.zeros_like(log_det)
        for k, block in enumerate(self, start=1):
            pushed = _in_batches(block, y, batch, probe_source(seed, k))
            y, log_det = pushed.x, log_det + pushed.log_det
            variance = variance + pushed.log_det_se.detach() ** 2
        return Pushed(y, log_det, variance.sqrt())

    @torch.no_grad()
    def trajectory(self, x: Tensor, *, batch: int = 4096) -> Tensor:
        """Positions before the first block and behind every one, start coordinates.

        Args:
            x: rows in data units, shape (rows, d + c).
            batch: rows at a time.

        Returns:
            Shape (N + 1, rows, d + c).
        """
        y = self.standardise(x)
        found = [y]
        for block in self:
            found.append(torch.cat([block.push_forward(rows) for rows in found[-1].split(batch)]))
        return torch.stack(found)

    def inverse(self, z: Tensor, *, batch: int = 4096, finite: bool = True) -> Tensor:
        """Reference → data without gradients (see :meth:`pull`), shapes (rows, d + c)."""
        with torch.no_grad():
            return self.pull(z, batch=batch, finite=finite)

    def pull(self, z: Tensor, *, batch: int = 4096, finite: bool = True) -> Tensor:
        """Reference → data, deterministic: x in data units for z, shapes (rows, d + c).

        Args:
            z: rows of the reference; gradients are kept where torch keeps them.
            batch: rows at a time.
            finite: whether rows that get values that are not finite are an error, or are left so.

        Raises:
            NumericalError: some do; with the block.
        """
        parts = []
        for rows in z.to(device=self.shift.device, dtype=self.dtype).split(batch):
            y = rows
            for k, block in reversed(list(enumerate(self, start=1))):
                y = block.pull_back(y)
                if finite:
                    _check_rows(y, k)
            parts.append(self.in_data_units(y))
        return torch.cat(parts)

    def log_prob(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        batch: int = 4096,
        seed: int | RowSeeds = 0,
        gradient: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Log-density of rows under the model, which is q_0 and the defence's broad law, given their context.

        Args:
            x: rows in data units, shape (rows, d), or (rows, d + c) with the context in them.
            context: the context in data units, where it is given apart: shape (c,) or (rows, c).
            batch: rows at a time.
            seed: seed of the probes, where blocks use them, or one for every row.
            gradient: whether gradients with respect to rows and weights are kept.

        Returns:
            log q(x) in nats with respect to Lebesgue measure in data units, shape (rows,), and
            its standard error (zero where the log-determinants are exact).

        Raises:
            InputError: a context of another width, or none where one is needed; a corrected chain.
        """
        self._refuse_corrections()
        rows = self._rows(x, context)
        pushed = (self.push if gradient else self)(rows, batch=batch, seed=seed)
        values, errors = self.reference_log_prob(pushed.x) + pushed.log_det, pushed.log_det_se
        if gradient and self.defence is not None and not values.isfinite().all():
            # such a row has the broad law's density, and a gradient of the blocks' own value would be NaN
            near = values.detach().isfinite()
            pushed = self.push(torch.where(near[:, None], rows, self.shift.to(rows)), batch=batch, seed=seed)
            values = torch.where(near, self.reference_log_prob(pushed.x) + pushed.log_det, -math.inf)
        return self.defended(values, errors, self.broad_log_prob(rows))

    def defended(self, values: Tensor, errors: Tensor, broad: Tensor | None) -> tuple[Tensor, Tensor]:
        """Log-densities of the model from those of the blocks alone, or the same without a defence.

        Args:
            values: log-densities in nats, of the whole chain or of one that is cut, shape (rows,).
            errors: their standard errors, shape (rows,).
            broad: what :meth:`broad_log_prob` gives for the same rows.
        """
        if self.defence is None or broad is None:
            return values, errors
        return self.defence.mixed(values, errors, broad)

    def broad_log_prob(self, x: Tensor) -> Tensor | None:
        """Log-density of rows under the defence's broad law, nats, data units; ``None`` without a defence.

        Args:
            x: rows in data units, shape (rows, d + c).

        Returns:
            Shape (rows,), finite wherever x is, differentiable.
        """
        if self.defence is None:
            return None
        # not in the blocks' dtype, whose range ends where this density must not
        u = (x.to(self.shift.device).double() - self.shift) / self.scale
        z, log_det = self._state(u, self._broad_start)
        return self.defence.law.log_prob(z) + log_det

    def sample(self, rows: int, *, context: Tensor | None = None, seed: int = 0, batch: int = 4096) -> Tensor:
        """Draw from the model: the inverse of standard normal draws, and a few rows of the defence's law.

        Args:
            rows: how many.
            context: what the rows are conditioned on, data units, shape (c,) or (rows, c).
            seed: of the draws.
            batch: rows at a time.

        Returns:
            Shape (rows, d), data units.

        Raises:
            InputError: a context of another width, or none where one is needed; a corrected chain.
        """
        with torch.no_grad():
            return self.drawn(rows, context=context, seed=seed, batch=batch)

    def drawn(self, rows: int, *, context: Tensor | None = None, seed: int = 0, batch: int = 4096) -> Tensor:
        """What :meth:`sample` draws, with gradients where torch keeps them."""
        self._refuse_corrections()
        z = torch.randn(rows, self.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        z = z.to(self.shift.device)
        if self.context and context is not None:
            start = self.dim
            context = (context.to(self.shift) - self.shift[start:]) / self.scale[start:]
        z = self._rows(z, context)
        x = state_of(self.pull(z, batch=batch), self.dim)
        if self.defence is None:
            return x
        # all rows went through the blocks, so that the others are those of the chain alone to the last bit
        chosen, broad = self.defence.draws(rows, seed)
        before, u = self._broad_start, broad.to(self.shift.device)
        u = u if before is None else before.inverse(u)
        found = u * self.scale[: self.dim] + self.shift[: self.dim]
        return x.index_copy(0, chosen.to(x.device), found.to(x))

    def _refuse_corrections(self) -> None:
        if self.corrected:
            raise InputError(
                "a chain with corrections has no law at its beginning; its samples and their density are "
                "those of its end (jko.chain.sampling, or jko sample and jko score)"
            )

    def _rows(self, state: Tensor, context: Tensor | None) -> Tensor:
        """Rows of d + c columns from a state and a context."""
        found = joined(state, context, self.context)
        if self.context and found.shape[-1] != self.dim + self.context:
            raise InputError(
                f"the chain is conditional: {len(state)} rows of {state.shape[-1]} numbers need a context of "
                f"{self.context} more"
            )
        return found


def _check_rows(y: Tensor, k: int) -> None:
    bad = int((~y.isfinite()).any(1).sum())
    if bad:
        raise NumericalError(
            f"pulling rows back through it gives values that are not finite in {bad} of {len(y)} rows",
            block=k,
            remedy="train it again with a smaller step size or more solver.steps",
        )


def push_in_batches(block: InvertibleBlock, x: Tensor, batch: int, draw: ProbeSource) -> Pushed:
    """Push rows through one block, some at a time; the result does not depend on how many.

    Args:
        block: the block.
        x: all rows, standardised units, shape (rows, d).
        batch: rows at a time.
        draw: source of the probes, drawn for all rows at once.
    """
    with torch.no_grad():
        return _in_batches(block, x, batch, draw)


def _in_batches(block: InvertibleBlock, x: Tensor, batch: int, draw: ProbeSource) -> Pushed:
    probes = block.draw_probes(x, draw) if isinstance(draw, torch.Generator) else draw(block, x)
    parts = []
    for start in range(0, max(len(x), 1), batch):
        rows = slice(start, start + batch)
        parts.append(block(x[rows], probes=None if probes is None else probes.of(rows)))
    return Pushed(
        torch.cat([part.x for part in parts]),
        torch.cat([part.log_det for part in parts]),
        torch.cat([part.log_det_se for part in parts]),
    )
