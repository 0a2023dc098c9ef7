"""Divergence of a velocity field: exact, or Hutchinson's estimate with fixed probes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Field = Callable[[Tensor, Tensor], Tensor]
#: dimension up to which d derivatives for an exact trace are worth their time
EXACT_LIMIT = 8
#: (x, t) -> velocity (batch, d) and divergences, (batch,) or (batch, probes)
FieldWithDivergence = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def exact_divergence(field: Field) -> FieldWithDivergence:
    r"""The field with :math:`\nabla\cdot v`, by d forward-mode derivatives.

    A field that offers a cheaper exact form is asked for it: ``prepared()``, a function of (x, t)
    that holds for the field's weights at this moment, or ``with_divergence``.

    Args:
        field: maps x (batch, d) and t () to velocities (batch, d), row by row.

    Returns:
        A function of (x, t) giving velocities (batch, d) and divergences (batch,).
    """
    if hasattr(field, "prepared"):
        return field.prepared()
    if hasattr(field, "with_divergence"):
        return field.with_divergence

    def evaluate(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        div = torch.zeros(x.shape[0], dtype=x.dtype, device=x.device)
        for i in range(x.shape[1]):
            unit = torch.zeros_like(x)
            unit[:, i] = 1
            div = div + torch.func.jvp(lambda y: field(y, t), (x,), (unit,))[1][:, i]
        return field(x, t), div

    return evaluate


def hutchinson_divergence(field: Field, probes: Tensor) -> FieldWithDivergence:
    r"""The field with the estimates :math:`e^\top \nabla v\, e`, one for each probe e.

    The probes stay fixed over a solve, so that the right side is a smooth function of time
    and the estimate of :math:`\int \nabla\cdot v\,dt` is unbiased. A field that offers a cheaper form
    is asked for it: ``probed(probes)``, which holds for its weights at this moment.

    Args:
        field: maps x (batch, d) and t () to velocities (batch, d), row by row.
        probes: shape (probes, batch, d), with E[e eᵀ] = I.

    Returns:
        A function of (x, t) giving velocities (batch, d) and estimates (batch, probes).

    Source: Hutchinson's trace estimator, as used for continuous normalizing flows in FFJORD
    (arXiv:1810.01367).
    """
    if hasattr(field, "probed"):
        return field.probed(probes)

    def evaluate(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        columns = []
        for probe in probes:
            velocity, product = torch.func.jvp(lambda y: field(y, t), (x,), (probe,))[:2]
            columns.append((probe * product).sum(-1))
        return velocity, torch.stack(columns, dim=-1)

    return evaluate


def rademacher(probes: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Random signs of shape (probes, *like.shape) in like's dtype and device."""
    signs = torch.randint(0, 2, (probes, *like.shape), generator=generator, dtype=torch.int8)
    return (2 * signs - 1).to(dtype=like.dtype, device=like.device)
