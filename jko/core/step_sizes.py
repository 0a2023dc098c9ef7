"""Step sizes of a chain."""

from __future__ import annotations

import math
from collections.abc import Sequence


def step_sizes(
    count: int | None = None,
    *,
    first: float = 0.5,
    ratio: float = 1.2,
    maximum: float = 5.0,
    sizes: Sequence[float] | None = None,
) -> tuple[float, ...]:
    r"""The step sizes :math:`\gamma_k = \min(\gamma_1 \rho^{k-1}, \gamma_{max})`, k = 1..N.

    Args:
        count: N; may be left out when ``sizes`` is given.
        first: γ_1 > 0.
        ratio: ρ > 0.
        maximum: γ_max > 0.
        sizes: the step sizes themselves, used instead of the formula; must hold at least N.

    Returns:
        N step sizes.

    Raises:
        ValueError: fewer ``sizes`` than ``count``.

    Source: the geometric schedule of JKO-iFlow (arXiv:2212.14424).

    >>> step_sizes(3, first=0.25, ratio=2.0, maximum=0.6)
    (0.25, 0.5, 0.6)
    """
    if sizes is not None:
        if count is not None and count > len(sizes):
            raise ValueError(
                f"steps.count = {count} needs as many steps.sizes, got {len(sizes)}; "
                "steps.sizes = null takes the geometric schedule instead"
            )
        return tuple(sizes[:count])
    # through logarithms: a power could overflow before the maximum is taken
    growth = math.log(ratio)
    highest = math.log(maximum)
    return tuple(
        first * ratio**k if math.log(first) + k * growth < highest else maximum for k in range(count or 0)
    )


def stored(step_size: float) -> float | None:
    """A step size as JSON: ``null`` for that of a free block, which is infinite."""
    return None if math.isinf(step_size) else step_size


def shown(step_size: float | None) -> str:
    """A step size, or what :func:`stored` made of it, for people.

    >>> shown(0.125), shown(None)
    ('0.125', '∞')
    """
    return "∞" if step_size is None or math.isinf(step_size) else f"{step_size:.3g}"
