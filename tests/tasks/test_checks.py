"""Rows that no density can be learned of: fill values, far units, columns that say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jko.config import Config, parse_config
from jko.core.errors import InputError
from jko.preparation.checks import far_out
from jko.preparation.dependence import refuse_equal
from jko.preparation.prepare import Prepared, dequantise, prepare
from jko.preparation.table import Table
from tasks.datasets.sources import SOURCES

RNG = np.random.default_rng(0)
N = 400
BODY, OTHER = np.round(RNG.normal(15, 3, N), 3), RNG.normal(0, 1, N)


def config(**data: Any) -> Config:
    return parse_config({"data": {"source": "moons", **data}, "steps": {"count": 1}})


def prepared(columns: dict[str, np.ndarray], context: np.ndarray | None = None, **data: Any) -> Prepared:
    rows = np.stack(list(columns.values()), axis=1)
    names = () if context is None else ("u",)
    return prepare(Table("t", rows, tuple(columns), context=context, context_columns=names), config(**data))


def filled(value: float, cells: int) -> np.ndarray:
    column = BODY.copy()
    column[7 : 7 + cells] = value
    return column


@pytest.mark.parametrize(("value", "cells"), [(1e20, 8), (1e9, 1), (-1e12, 2), (3e38, 1)])
def test_a_fill_value_that_destroys_a_column_is_refused(value: float, cells: int) -> None:
    with pytest.raises(InputError, match=r"column 'a' has \d+ distinct values, and \d+ of them") as raised:
        prepared({"a": filled(value, cells), "b": OTHER})
    assert f"data.missing_values=[{value:.10g}]" in str(raised.value)


@pytest.mark.parametrize(
    ("value", "cells"),
    [(-999, 6), (-999, 1), (9999, 5), (99, 3), (1e6, 1), (1e7, 1), (-999.9, 2), (32767, 1)],
)
def test_a_mark_is_named_with_its_share(value: float, cells: int) -> None:
    notes = prepared({"a": filled(value, cells), "b": OTHER}).notes
    said = [note for note in notes if note.startswith("warning: column 'a'")]
    assert len(said) == 1
    assert f"{cells} of {N} rows" in said[0]
    assert f"hold {value:.10g}" in said[0]
    assert f"data.missing_values=[{value:.10g}]" in said[0]


@pytest.mark.parametrize(
    "column",
    [
        RNG.standard_normal(2000),
        RNG.standard_t(2, 2000),
        np.exp(RNG.normal(0, 2, 2000)),
        RNG.poisson(3, 2000).astype(float),
        RNG.zipf(3.5, 2000).astype(float),
        RNG.integers(0, 2, 500).astype(float),
        np.where(RNG.random(2000) < 0.5, 0, np.exp(RNG.normal(3, 1, 2000))),
        RNG.standard_t(3, 5000),
    ],
    ids=["normal", "t of 2", "lognormal", "counts", "Zipf", "binary", "half zero", "t of 3"],
)
def test_tails_are_no_marks(column: np.ndarray) -> None:
    assert far_out(column) == []


@pytest.mark.parametrize("value", [1e60, 1e20, -1e8])
def test_a_held_out_cell_far_from_the_training_rows_is_refused(value: float) -> None:
    columns = {"a": BODY.copy(), "b": OTHER}
    test = prepared(columns).arrays["test_rows"]
    columns["a"][test[0]] = value
    with pytest.raises(InputError, match="column 'a' holds a number more than a million standard"):
        prepared(columns)


@pytest.mark.parametrize(
    ("factor", "says"), [(1e300, r"column 'a' reaches 3\.\d+e\+300"), (1e-300, "column 'a' spreads over")]
)
def test_units_beyond_float64_are_refused(factor: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        prepared({"a": OTHER * factor, "b": BODY})


@pytest.mark.parametrize("factor", [1e44, 1e-44, 1e90])
def test_far_units_are_those_near_by_after_standardisation(factor: float) -> None:
    near, far = prepared({"a": OTHER, "b": BODY}), prepared({"a": OTHER * factor, "b": BODY})
    np.testing.assert_allclose(far.arrays["train"], near.arrays["train"], rtol=1e-5, atol=1e-6)
    assert far.scale[0] == pytest.approx(near.scale[0] * factor)


def test_an_offset_that_float64_holds_is_no_constant() -> None:
    found = prepared({"a": 1e12 + OTHER, "b": BODY})
    assert found.arrays["train"][:, 0].std() == pytest.approx(1, abs=1e-3)
    with pytest.raises(InputError, match="column 'a' is constant"):
        prepared({"a": np.full(N, 0.1), "b": BODY})
    with pytest.raises(InputError, match=r"distinct values.*data\.standardise=on"):
        prepared({"a": 1e9 + OTHER, "b": BODY}, standardise="off")


CELSIUS = RNG.normal(15, 8, 2000)
SHARES = RNG.dirichlet([2, 3, 4], 2000)
NOISE = RNG.normal(0, 1, 2000)
DEPENDENT: dict[str, tuple[dict[str, np.ndarray], tuple[str, ...]]] = {
    "a copy": ({"x": NOISE, "y": CELSIUS, "x_copy": 2 * NOISE}, ("'x', 'x_copy'",)),
    "Fahrenheit": ({"c": CELSIUS, "y": NOISE, "f": 1.8 * CELSIUS + 32}, ("'c', 'f'",)),
    "shares": ({**dict(zip("abc", SHARES.T, strict=True)), "y": NOISE}, ("'a', 'b', 'c'",)),
    "a sum": (
        {"x": NOISE, "y": CELSIUS, "z": NOISE + CELSIUS, "w": RNG.normal(size=2000)},
        ("'x', 'y', 'z'",),
    ),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_columns_that_determine_each_other_are_refused_by_name(name: str) -> None:
    columns, says = DEPENDENT[name]
    with pytest.raises(InputError, match="linearly dependent") as raised:
        prepared(columns)
    assert f"columns {says[0]} are linearly dependent" in str(raised.value)
    assert "data.columns" in str(raised.value)


def test_smoothing_gives_dependent_columns_a_density() -> None:
    assert prepared(DEPENDENT["a copy"][0], smoothing=0.01).arrays["train"].shape == (1600, 3)


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"c": CELSIUS.round(1), "f": (1.8 * CELSIUS + 32).round(1), "y": NOISE}, "'c', 'f'"),
        (dict(zip("abc", SHARES.round(3).T, strict=True)) | {"y": NOISE}, "'a', 'b', 'c'"),
    ],
    ids=["Fahrenheit", "shares"],
)
def test_what_only_rounding_keeps_apart_is_named(columns: dict[str, np.ndarray], names: str) -> None:
    notes = [note for note in prepared(columns).notes if "nearly linearly dependent" in note]
    assert len(notes) == 1
    assert f"columns {names} are" in notes[0]


def test_a_function_of_the_context_is_refused_and_dependent_contexts_are_not() -> None:
    with pytest.raises(InputError, match="column 'f' is linearly dependent given the context"):
        prepared({"f": 1.8 * CELSIUS + 32, "y": NOISE}, CELSIUS[:, None])
    found = prepared({"y": NOISE}, CELSIUS[:, None])
    assert not any("dependent" in note for note in found.notes)


@pytest.mark.parametrize("source", ["breast_cancer", "digits"])
def test_correlated_measurements_and_constant_pixels_train(source: str) -> None:
    settings = config(source=source)
    notes = prepare(SOURCES[source](settings.data, 0), settings).notes
    assert not any("dependent" in note for note in notes)


def test_few_rows_of_many_columns_are_not_called_dependent() -> None:
    rows = RNG.normal(size=(40, 30))
    assert prepare(Table("t", rows, tuple(f"c{i}" for i in range(30))), config()).notes == ()


def test_atoms_of_continuous_columns_are_named_and_no_grid_is_seen() -> None:
    area = np.where(NOISE < 0, 0.0, np.exp(CELSIUS / 8))
    found = prepared({"wind": CELSIUS, "area": area})
    assert not found.grid.any()
    assert found.atoms == ("area",)
    assert any(
        note.startswith("column 'area': a share of 0.5") and "exactly 0" in note for note in found.notes
    )


def test_the_digits_prepare_as_before() -> None:
    """What is stored beside their arrays is part of a chain's content, so no sentence may be added to it."""
    settings = config(source="digits")
    table = SOURCES["digits"](settings.data, 0)
    found = prepare(table, settings)
    assert [note[:11] for note in found.notes] == ["dequantised", "dequantised"]
    noisy = dequantise(table.rows, np.ones(64), 0)[found.arrays["train_rows"]]
    expected = ((noisy - noisy.mean(axis=0)) / noisy.std(axis=0)).astype(np.float32)
    np.testing.assert_array_equal(found.arrays["train"], expected)


COUNTS = RNG.poisson(4, N).astype(float)


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ({"a": COUNTS, "b": OTHER, "c": COUNTS}, N),
        ({"a": BODY, "b": OTHER, "c": BODY}, N),
        ({"a": BODY, **{f"x{i}": RNG.normal(0, 1, N) for i in range(20)}, "c": BODY}, 12),
        ({"a": COUNTS * 0.0 - 0.0 * (COUNTS > 4) + (COUNTS > 2), "b": OTHER, "c": 1.0 * (COUNTS > 2)}, N),
    ],
    ids=["counts", "continuous", "few rows", "signs of zero"],
)
def test_equal_columns_are_refused_by_name(columns: dict[str, np.ndarray], rows: int) -> None:
    some = {name: values[:rows] for name, values in columns.items()}
    with pytest.raises(InputError, match="columns 'a', 'c' are equal in every row"):
        prepared(some)
    assert prepared(some, smoothing=0.01).smoothing == 0.01


def test_a_column_equal_to_the_context_is_refused() -> None:
    with pytest.raises(InputError, match="columns 'b', 'u' are equal"):
        prepared({"a": BODY, "b": OTHER}, context=OTHER[:, None])


def test_two_constant_columns_are_refused_as_constant() -> None:
    with pytest.raises(InputError, match="'a' is constant"):
        prepared({"a": np.ones(N), "b": OTHER, "c": np.ones(N)})


def test_all_of_several_atoms_are_named() -> None:
    common = (0.0, 1.5, 4.7, 9.1, 20.3)
    column = np.where(np.arange(N) < 0.8 * N, np.resize(common, N), BODY + OTHER)
    notes = prepared({"a": RNG.permutation(column), "b": OTHER}).notes
    assert all(any(f"holds exactly {value:g} " in note for note in notes) for value in common)


def test_no_row_is_no_equal_column() -> None:
    refuse_equal(np.empty((0, 2)), ("a", "b"), 2, "t")
