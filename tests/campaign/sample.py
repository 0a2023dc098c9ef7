"""Which cases of a campaign are carried out: a sample of them, or all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

#: cases of a campaign that are carried out
Part = slice
EVERY = slice(None)


def one_in(count: int, seed: int) -> Part:
    """One case of so many, evenly over all of them; the seed says which is the first.

    Args:
        count: best a prime, so that no kind of case that comes at regular intervals is passed over.
        seed: other seeds give other cases, and so many seeds in a row give every case.
    """
    return slice(seed % count, None, count)


def part_of(config: pytest.Config) -> Callable[[int], Part]:
    """Cases of a campaign by the options of pytest: one in so many, all with ``--whole``."""
    if config.getoption("--whole"):
        return lambda count: EVERY
    seed: int = config.getoption("--sample")
    return lambda count: one_in(count, seed)
