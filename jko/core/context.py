"""Rows that carry a context: the state in the first d columns, what it is conditioned on in the last c.

Blocks pass the context through unchanged, so that shuffling, slicing and storing rows needs no second,
aligned array. What is said of a law is then said of the state given the context, averaged over contexts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jko.core.errors import InputError


def state_of(rows: Tensor, dim: int) -> Tensor:
    """The first d columns, shape (…, d + c) to (…, d); the rows themselves where c = 0."""
    return rows if rows.shape[-1] == dim else rows[..., :dim]


def with_context(state: Tensor, rows: Tensor) -> Tensor:
    """A state beside the context of other rows.

    Args:
        state: shape (…, d).
        rows: shape (…, d + c); with c = 0 the state is returned itself.

    Returns:
        Shape (…, d + c).
    """
    dim = state.shape[-1]
    return state if rows.shape[-1] == dim else torch.cat([state, rows[..., dim:].to(state)], dim=-1)


def joined(state: Tensor, context: Tensor | None, size: int) -> Tensor:
    """Rows made of a state and a context given apart, or rows that carry theirs already.

    Args:
        state: shape (rows, d), or (rows, d + c) with ``None`` for the context.
        context: shape (c,) for all rows, or (rows, c).
        size: the c wanted.

    Raises:
        InputError: a context of another width or number of rows.
    """
    if context is None:
        return state
    given = context.expand(len(state), -1) if context.dim() == 1 else context
    if given.shape != (len(state), size):
        raise InputError(
            f"{len(state)} rows need a context of shape ({size},) or ({len(state)}, {size}), "
            f"not {tuple(context.shape)}"
        )
    return torch.cat([state, given.to(state)], dim=-1)


def reference_rows(rows: Tensor, dim: int, draw: torch.Generator) -> Tensor:
    """Draws of N(0, I) beside the contexts of given rows: the reference law of (state, context).

    Args:
        rows: shape (rows, d + c).
        dim: d.
        draw: source of the normal numbers.

    Returns:
        float64, shape (rows, d + c).
    """
    z = torch.randn(len(rows), dim, generator=draw, dtype=torch.float64)
    return with_context(z, rows.double().cpu())
