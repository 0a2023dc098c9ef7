"""Threads are as many as asked, and given back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from threadpoolctl import threadpool_info

from jko.core.threads import all_threads, torch_threads

Holding = Callable[[int], AbstractContextManager[None]]


@pytest.mark.parametrize("held", [torch_threads, all_threads])
def test_threads_are_given_back_also_after_an_error(
    held: Holding,
) -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError):
        _failed(held, before + 1)
    assert torch.get_num_threads() == before


def _failed(held: Holding, count: int) -> None:
    with held(count):
        assert torch.get_num_threads() == count
        raise KeyError


def test_other_libraries_are_limited_too() -> None:
    with all_threads(1):
        assert {one["num_threads"] for one in threadpool_info()} == {1}
