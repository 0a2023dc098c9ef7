"""A flow as a distribution of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints


class Model(Protocol):
    """What a distribution asks of a flow."""

    @property
    def dim(self) -> int:
        """Dimension d of a row."""

    @property
    def has_rsample(self) -> bool:
        """Whether samples have gradients."""

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density of rows, nats, shape (rows,)."""

    def drawn(self, rows: int, context: Tensor | None, seed: int) -> Tensor:
        """Rows of the model, shape (rows, d)."""


class FlowDistribution(Distribution):
    """The law of a flow's rows, or the laws given each of some contexts.

    ``event_shape`` is (d,). ``batch_shape`` is empty, or that of the contexts. Samples are drawn by torch's
    global generator, as those of every distribution of torch, and have gradients with respect to weights and
    contexts where the flow can be inverted with gradients (``has_rsample``).

    Args:
        flow: the flow.
        context: shape (c,) or (batch, c), data units; ``None`` where the flow is not conditional.
        batch_shape: of the distribution; that of the context by default.
        validate_args: whether values are checked; torch's default where ``None``.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.independent(constraints.real, 1)

    def __init__(
        self,
        flow: Model,
        context: Tensor | None = None,
        batch_shape: Size | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.flow, self.context = flow, context
        shape = Size() if context is None else context.shape[:-1]
        super().__init__(batch_shape or shape, Size([flow.dim]), validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether samples have gradients."""
        return self.flow.has_rsample

    def expand(self, batch_shape: Sequence[int], _instance: Distribution | None = None) -> FlowDistribution:
        """The same law for every entry of a larger batch."""
        shape = Size(batch_shape)
        context = self.context
        if context is not None:
            context = context.expand(*shape, context.shape[-1])
        return FlowDistribution(self.flow, context, shape, validate_args=self._validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, data units; shape (…, d) to (…)."""
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        rows = value.expand(*shape, self.flow.dim).reshape(-1, self.flow.dim)
        found = self.flow.log_prob(rows, self._rows_of_context(shape))
        return found.reshape(shape)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Independent draws without gradients, shape (*sample_shape, *batch_shape, d)."""
        with torch.no_grad():
            return self._drawn(Size(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Independent draws with gradients with respect to weights and contexts.

        Raises:
            NotImplementedError: the flow cannot be inverted with gradients.
        """
        if not self.has_rsample:
            raise NotImplementedError("this flow is inverted without gradients; use sample")
        return self._drawn(Size(sample_shape))

    def _drawn(self, sample_shape: Size) -> Tensor:
        shape = self._extended_shape(sample_shape)
        count = int(torch.tensor(shape[:-1]).prod()) if len(shape) > 1 else 1
        seed = int(torch.randint(2**62, ()))
        context = self._rows_of_context(shape[:-1])
        return self.flow.drawn(count, context, seed).reshape(shape)

    def _rows_of_context(self, shape: Size) -> Tensor | None:
        """The context of every row, shape (rows, c)."""
        if self.context is None:
            return None
        width = self.context.shape[-1]
        return self.context.expand(*shape, width).reshape(-1, width)
