"""When a chain has enough blocks. Loads nothing heavy: a plan asks it, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jko.config.sections import Stop


class Step(Protocol):
    """What a rule asks of a measured block."""

    @property
    def certificate_c(self) -> float | None:
        """(C) after the block, nats."""

    @property
    def bracket_upper_95(self) -> float | None:
        """The most that data and model are apart after the block, nats, on validation rows."""

    @property
    def bracket_looks(self) -> int | None:
        """For how many blocks together that level holds."""

    @property
    def movement(self) -> float:
        """√E|Tx − x|²."""


def stop_reason(stop: Stop, figures: Sequence[Step]) -> str:
    """Why a chain may end after its last measured block; empty if it must go on.

    Args:
        stop: the rule.
        figures: measured figures of blocks 1..k, with the certificates after each.

    Source: (C) ≤ tolerance, derived, see theory.md; the movement ratio after JKO-iFlow
    (arXiv:2212.14424), here the last block's √E|Tx − x|² over the sum of all.
    """
    bound = figures[-1].certificate_c
    if stop.certificate is not None and bound is not None and bound <= stop.certificate:
        return f"certificate (C) is {bound:.3g} ≤ {stop.certificate:g} nats"
    apart = figures[-1].bracket_upper_95
    if stop.bracket is not None and apart is not None and apart <= stop.bracket:
        return (
            f"data and model differ by at most {apart:.3g} ≤ {stop.bracket:g} nats at {stop.resolution:g} "
            f"standard deviations (95 %{_looks(figures[-1].bracket_looks)}, validation rows)"
        )
    moved = [own.movement for own in figures]
    total = sum(moved)
    if stop.movement is not None and total and moved[-1] / total < stop.movement:
        ratio = moved[-1] / total
        return f"the last block made {ratio:.2g} < {stop.movement:g} of all movement"
    return ""


def _looks(count: int | None) -> str:
    """What is said of a level that holds for several blocks together."""
    return f" for all {count} blocks together" if count and count > 1 else ""
