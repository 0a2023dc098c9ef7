"""Threads are as many as asked, and given back."""

from __future__ import annotations

import pytest
import torch
from threadpoolctl import threadpool_info

from jko.core.threads import all_threads, torch_threads


@pytest.mark.parametrize("held", [torch_threads, all_threads])
def test_threads_are_given_back_also_after_an_error(held: object) -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), held(before + 1):  # type: ignore[operator]
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


def test_other_libraries_are_limited_too() -> None:
    with all_threads(1):
        assert {one["num_threads"] for one in threadpool_info()} == {1}
