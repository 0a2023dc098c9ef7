"""Models judged by their samples: a right one, and wrong ones of several kinds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import jko
from jko.judging import Judged
from jko.statistics.classifier_test import classifier_test
from jko.statistics.coverage import ranks


def drawn(rows: int, seed: int) -> np.ndarray:
    """Two related columns and one of its own, in units far apart."""
    z = np.random.default_rng(seed).normal(size=(rows, 3))
    return np.stack([z[:, 0], 1000 * (0.8 * z[:, 0] + 0.6 * z[:, 1]), 0.01 * z[:, 2] + 5], 1)


@pytest.fixture(scope="module")
def judged() -> dict[str, Judged]:
    shuffled = drawn(6000, 2)
    shuffled[:, 1] = np.roll(shuffled[:, 1], 1)
    wide = drawn(6000, 3)
    wide[:, 2] = 5 + 1.5 * (wide[:, 2] - 5)
    train = drawn(2000, 4)
    copied = np.concatenate([train[:1500], drawn(4500, 5)])
    models = {"right": drawn(6000, 1), "shuffled": shuffled, "wide": wide, "copied": copied}
    found = jko.judge(drawn(1000, 0), models, train=train, resolutions=(0.1, 0.2, 0.4))
    return {one.name: one for one in found}


def test_the_right_model_is_not_accused(judged: dict[str, Judged]) -> None:
    right = judged["right"]
    assert max(one.least for one in (*right.columns, *right.pairs)) == 0
    assert right.certified_resolution == 0.4
    assert abs(right.classifier.auc - 0.5) < 3 * right.classifier.auc_se
    for one in right.coverage:
        assert abs(one.central - 0.9) < 3 * one.central_se
        assert one.distance < 1.5 * one.limit
    assert right.copies.share < 0.03
    assert "differ by at most" in right.apart[0]


def test_shuffled_columns_are_found_in_their_pair_alone(judged: dict[str, Judged]) -> None:
    found = judged["shuffled"]
    assert found.pairs[0].columns == ("x0", "x1")
    assert found.pairs[0].least > 0.2
    assert [one.least for one in found.pairs[1:]] == [0, 0]
    assert [one.least for one in found.columns] == [0, 0, 0]
    assert found.classifier.p < 1e-6
    assert all(one.distance < 1.5 * one.limit for one in found.coverage)
    assert "x0 and x1" in found.apart[1]


def test_a_wide_column_is_found_in_its_column(judged: dict[str, Judged]) -> None:
    found = judged["wide"]
    assert [one.least > 0 for one in found.columns] == [False, False, True]
    assert [one.central > 0.95 for one in found.coverage] == [False, False, True]
    assert found.coverage[2].distance > found.coverage[2].limit


def test_copies_are_counted(judged: dict[str, Judged]) -> None:
    assert judged["copied"].copies.share == pytest.approx(0.25, abs=0.05)


def test_frames_are_matched_by_the_names_of_their_columns() -> None:
    rows = pd.DataFrame(drawn(300, 6), columns=["a", "b", "c"])
    samples = pd.DataFrame(drawn(900, 7), columns=["a", "b", "c"])
    (one,) = jko.judge(rows, samples[["c", "a", "b"]], resolutions=(0.4,))
    (same,) = jko.judge(rows, samples, resolutions=(0.4,))
    (tensors,) = jko.judge(torch.tensor(rows.to_numpy()), samples.to_numpy(), resolutions=(0.4,))
    assert one.bracket == same.bracket == tensors.bracket
    assert [column.columns for column in one.columns] == [("a",), ("b",), ("c",)]
    plain = one.plain()
    assert set(plain) >= {"name", "bracket", "columns", "pairs", "classifier", "coverage"}


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros((9, 2)), "2 columns beside the 3"),
        (np.zeros((1, 3)), "two rows or more"),
        (np.full((9, 3), np.nan), "row 0 is not finite"),
        ({}, "no samples"),
        (pd.DataFrame({"a": [1.0, 2.0]}), "column"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: object, said: str) -> None:
    with pytest.raises(jko.InputError, match=said):
        jko.judge(drawn(20, 8), samples)


def test_the_classifier_finds_a_shift_of_the_size_that_it_says_it_sees() -> None:
    """Of ten shifts of 1.5 times that size most are found; of ten that are none hardly one."""
    rng = np.random.default_rng(9)
    sees = classifier_test(rng.normal(size=(2000, 2)), rng.normal(size=(4000, 2))).sees
    assert 0.08 < sees < 0.5
    found = []
    for shift in (0.0, 1.5 * sees):
        tests = [
            classifier_test(rng.normal(size=(2000, 2)), rng.normal(size=(4000, 2)) + np.array([shift, 0]))
            for _ in range(10)
        ]
        found.append(sum(one.p < 0.05 for one in tests))
    assert found[0] <= 3
    assert found[1] >= 7


def test_ranks_are_uniform_for_one_law() -> None:
    rng = np.random.default_rng(10)
    found = ranks(rng.normal(size=4000), rng.normal(size=4000))
    assert found.mean() == pytest.approx(0.5, abs=0.02)
    assert np.histogram(found, 10, (0, 1))[0].min() > 300
    assert ranks(np.zeros(3), np.array([-1.0, 0.0, 0.0, 1.0])).tolist() == [0.5] * 3
