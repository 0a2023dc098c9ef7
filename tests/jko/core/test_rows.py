"""Samples of rows in the order of a file."""

from __future__ import annotations

import numpy as np
import torch

from jko.core.rows import at_most, drawn


def test_a_sample_of_sorted_rows_is_of_all_of_them() -> None:
    rows = np.arange(100_000)
    sample = drawn(rows, 1000)
    assert len(set(sample)) == 1000
    assert abs(sample.mean() - rows.mean()) < 4 * rows.std() / np.sqrt(1000)
    assert abs(sample[:100].mean() - rows.mean()) < 4 * rows.std() / np.sqrt(100)


def test_equally_many_values_keep_their_rows_together() -> None:
    rows = torch.arange(60).reshape(30, 2)
    twice = drawn(rows.numpy() * 2, 7)
    np.testing.assert_array_equal(drawn(rows, 7).numpy() * 2, twice)
    assert len(drawn(rows)) == 30


def test_few_rows_are_left_as_they_are() -> None:
    rows = torch.arange(30)
    assert at_most(rows, 30) is rows
    assert len(at_most(rows, 29)) == 29
