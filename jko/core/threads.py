"""Compute with a given number of threads: bits must not depend on the cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads in torch while the body runs; what was set before is set again."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def all_threads(count: int) -> Iterator[None]:
    """So many threads in every library while the body runs, which costs a look at all that are loaded."""
    with torch_threads(count), threadpool_limits(count):
        yield
