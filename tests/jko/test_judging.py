"""Models judged by their samples: a right one, and wrong ones of several kinds."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

import jko
from jko.judged import Judged
from jko.statistics.classifier_test import classifier_test


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
    assert right.energy.p > 0.01
    assert right.energy.rows == 1000
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
    assert found.energy.p <= 0.001
    assert all(one.distance < 1.5 * one.limit for one in found.coverage)
    assert "x0 and x1" in found.apart[-1]


def test_a_wide_column_is_found_in_its_column(judged: dict[str, Judged]) -> None:
    found = judged["wide"]
    assert [one.least > 0 for one in found.columns] == [False, False, True]
    assert [one.central > 0.95 for one in found.coverage] == [False, False, True]
    assert not found.coverage[2].even
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
    assert [column.column for column in one.columns] == ["a", "b", "c"]


def test_the_json_has_the_keys_that_are_documented() -> None:
    found = jko.judge(drawn(100, 8), {"a": drawn(300, 9)}, resolutions=(0.4,))
    plain = json.loads(json.dumps(found.plain()))
    assert set(plain) == {"models", "notes"}
    (one,) = plain["models"]
    assert next(iter(one)) == "name"
    assert set(one) == {
        "name", "bracket", "certified_resolution", "columns", "pairs", "classifier", "energy", "coverage",
        "copies", "groups", "conditional", "rows_needed",
    }  # fmt: skip
    assert [set(column) for column in one["columns"]] == [{"column", "bracket", "least"}] * 3
    assert [set(pair) for pair in one["pairs"]] == [{"columns", "bracket", "least"}] * 3
    assert set(one["energy"]) == {"statistic", "null_quantile", "p", "rows"}
    assert {"column", "ranks", "fewest", "most", "central", "central_se"} <= set(one["coverage"][0])
    assert found["a"] == next(iter(found))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros((9, 2)), "2 columns beside the 3"),
        (np.zeros((1, 3)), "two rows or more"),
        (np.full((9, 3), np.nan), "row 0 is not finite"),
        ({}, "no samples"),
        (pd.DataFrame({"a": [1.0, 2.0]}), "samples model: the data frame has no column 'x0'"),
        (drawn(20, 8)[::-1], "samples model: these are the held-out rows"),
        (np.zeros((9, 3, 2)), r"samples model: rows of shape"),
        (np.zeros((9, 3), complex), "complex"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: object, said: str) -> None:
    with pytest.raises(jko.InputError, match=said):
        jko.judge(drawn(20, 8), samples)


def test_samples_that_are_mostly_held_out_rows_are_refused() -> None:
    held_out = drawn(60, 8)
    mixed = np.concatenate([held_out[:40].astype(np.float32), drawn(30, 9)])
    with pytest.raises(jko.InputError, match="40 of 70 rows are held-out rows"):
        jko.judge(held_out, mixed)
    with pytest.raises(jko.InputError, match="training rows: these are the held-out rows"):
        jko.judge(held_out, drawn(90, 9), train=held_out)


def test_rows_of_few_values_may_well_be_equal() -> None:
    rng = np.random.default_rng(3)
    held_out, samples, train = (rng.integers(0, 3, (rows, 2)) * 1.0 for rows in (80, 400, 300))
    found = jko.judge(held_out, samples, train=train, resolutions=(0.4,))
    assert found.notes == ("80 of 80 held-out rows equal a training row; are they held out?",)
    assert max(one.least for one in (*found["model"].columns, *found["model"].pairs)) == 0


def test_samples_that_are_not_rounded_as_the_data_are_said() -> None:
    held_out, samples = drawn(300, 1), drawn(900, 2)
    held_out[:, 0] = held_out[:, 0].round(1)
    found = jko.judge(held_out, {"a": samples, "b": samples.round(1)}, resolutions=(0.4,))
    assert found.notes == (
        "a: x0: most held-out rows share their value with another one, and hardly any samples do; round "
        "samples as the data are, or the classifier sees nothing else",
    )


def test_constant_columns_are_said_and_judged_in_their_own_unit() -> None:
    held_out, samples = drawn(300, 1), drawn(900, 2)
    held_out[:, 1] = samples[:, 1] = 7
    found = jko.judge(held_out, samples, resolutions=(0.4,))
    assert found.notes[0].startswith("x1: one value in all held-out rows")
    assert found["model"].columns[1].least == 0
    samples[:, 1] = 9
    assert jko.judge(held_out, samples, resolutions=(0.4,))["model"].columns[1].least > 1


def test_few_rows_one_column_and_samples_far_out_give_finite_figures() -> None:
    rng = np.random.default_rng(4)
    far = rng.normal(size=(50, 1))
    far[0] = 1e300
    for held_out, samples in (
        (rng.normal(size=(2, 1)), rng.normal(size=(2, 1))),
        (rng.normal(size=(3, 2)), rng.normal(size=(500, 2))),
        (rng.normal(size=(60, 1)), far),
    ):
        (one,) = jko.judge(held_out, samples, resolutions=(0.2, 0.9))
        figures = [figure for at in one.bracket for figure in (at.upper, at.lower, at.upper_95, at.lower_95)]
        assert None not in figures
        assert 0 <= one.classifier.p <= 1
        assert 0 < one.energy.p <= 1


def conditional(rows: int, seed: int, *, slope: float = 2.0) -> pd.DataFrame:
    """Text and a number as contexts, and two columns that depend on them."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["new", "old"], rows)
    age = rng.uniform(20, 60, rows)
    x = np.where(kind == "old", slope, -slope) + rng.normal(size=rows)
    y = age / 10 + np.where(kind == "old", 0.5, 1) * rng.normal(size=rows)
    return pd.DataFrame({"x": x, "kind": kind, "y": y, "age": age})


def test_groups_show_where_a_conditional_model_is_wrong() -> None:
    held_out, right, wrong = conditional(1200, 0), conditional(6000, 1), conditional(6000, 2)
    old = wrong.kind == "old"
    wrong.loc[old, "y"] += 2.0 * np.random.default_rng(3).normal(size=old.sum())
    found = jko.judge(held_out, {"right": right, "wrong": wrong}, groups=["kind", "age"], resolutions=(0.4,))
    names = [one.group for one in found["right"].groups]
    assert names[:2] == ["kind = new", "kind = old"]
    assert names[2].startswith("age below ")
    assert len(names) == 6
    assert [[one.column for one in group.columns] for group in found["right"].groups] == [["x", "y"]] * 6
    assert sum(group.rows for group in found["right"].groups[:2]) == 1200
    assert max(max(one.least for one in group.columns) for group in found["right"].groups) == 0
    new, old_group = found["wrong"].groups[:2]
    assert [one.least > 0 for one in new.columns] == [False, False]
    assert [one.least > 0 for one in old_group.columns] == [False, True]
    assert old_group.classifier.p < 1e-3 < new.classifier.p
    assert old_group.energy.p < 0.05
    assert any("age: 4 groups, between the held-out rows' quantiles" in note for note in found.notes)
    # no sample has the age of a held-out row
    assert found["right"].conditional is None
    assert any(
        "right: 0% of the held-out rows have samples for their own context" in one for one in found.notes
    )


@pytest.mark.slow
def test_quantiles_given_the_context_are_judged_from_samples_of_the_same_contexts() -> None:
    held_out = conditional(600, 4)
    many = held_out.loc[held_out.index.repeat(20)].reset_index(drop=True)
    rng = np.random.default_rng(5)
    centre = np.where(many.kind == "old", 2.0, -2.0)
    right, narrow = (
        many.assign(
            x=centre + spread * rng.normal(size=len(many)),
            y=many.age / 10 + np.where(many.kind == "old", 0.5, 1) * rng.normal(size=len(many)),
        )
        for spread in (1.0, 0.6)
    )
    found = jko.judge(
        held_out, {"right": right, "narrow": narrow}, groups=("kind", "age"), resolutions=(0.4,)
    )
    for name, low in (("right", True), ("narrow", False)):
        seen = found[name].conditional
        assert (seen.rows, seen.share, seen.contexts, seen.samples) == (600, 1, 600, 20)
        assert [one.column for one in seen.coverage] == ["x", "y"]
        assert seen.coverage[0].even is low
        assert all(one.distance < one.limit for one in seen.coverage[1:])
    assert found["narrow"].conditional.coverage[0].central < 0.8
    assert not any("own context" in note for note in found.notes)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("price", "groups: no column 'price'; there are x, kind, y, age"),
        (["age", "age"], "name every column once"),
        (["x", "y", "kind", "age"], "none is left to judge"),
    ],
)
def test_groups_that_there_cannot_be_are_refused(groups: object, said: str) -> None:
    with pytest.raises(jko.InputError, match=said):
        jko.judge(conditional(50, 0), conditional(50, 1), groups=groups)
    with pytest.raises(jko.InputError, match="holds text"):
        jko.judge(conditional(50, 0), conditional(50, 1)[["x", "y", "age"]].to_numpy(), groups="kind")
    with pytest.raises(jko.InputError, match="no column 'kind'"):
        jko.judge(conditional(50, 0), conditional(50, 1)[["x", "y", "age"]], groups="kind")


def test_small_groups_and_unknown_categories_are_said() -> None:
    held_out, samples = conditional(300, 6), conditional(900, 7)
    held_out.loc[:4, "kind"] = "rare"
    samples.loc[:9, "kind"] = "unheard"
    found = jko.judge(held_out, samples, groups="kind", resolutions=(0.4,))
    assert [one.group for one in found["model"].groups] == ["kind = new", "kind = old"]
    said = " ".join(found.notes)
    assert "kind = rare is left out: 5 held-out rows and 0 samples, and 20 of each are needed" in said
    assert "10 of 900 samples are in none of the groups of kind" in said


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_classifier_accuses_a_right_model_in_5_percent_of_repetitions() -> None:
    """Cross-fitted classifiers err alike: with the error of a single one it were 15 percent."""
    rng = np.random.default_rng(12)
    found = np.array([
        classifier_test(rng.normal(size=(100, 2)), rng.normal(size=(100, 2)), seed=i).p for i in range(150)
    ])  # fmt: skip
    assert np.mean(found < 0.05) < 0.1
    assert np.mean(found < 0.01) < 0.04
    assert np.mean(found < 0.5) > 0.3
