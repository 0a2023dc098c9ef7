"""Sources, dequantisation, split and standardisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jko.config import Config, parse_config
from jko.densities import entropy
from jko.errors import InputError
from tasks.datasets.files import load_file
from tasks.datasets.pictures import load_picture
from tasks.datasets.prepare import dequantise, grid_step, prepare
from tasks.datasets.sources import SOURCES
from tasks.datasets.table import Table

RNG = np.random.default_rng(0)


def config(**data: Any) -> Config:
    return parse_config({"data": data, "steps": {"count": 1}})


def table(rows: np.ndarray) -> Table:
    return Table("t", rows, tuple(f"c{i}" for i in range(rows.shape[1])))


@pytest.mark.parametrize(
    ("column", "step"),
    [
        (RNG.integers(0, 17, 500).astype(float), 1.0),
        (RNG.integers(0, 40, 500) * 0.25 + 3, 0.25),
        (RNG.standard_normal(500), 0.0),
        (np.full(500, 7.0), 0.0),
        (np.where(RNG.random(500) < 0.3, 0.0, np.round(RNG.standard_normal(500), 2)), 0.01),
    ],
    ids=["integers", "quarters", "continuous", "constant", "many at one value"],
)
def test_grid_steps(column: np.ndarray, step: float) -> None:
    assert grid_step(column) == pytest.approx(step, abs=1e-9)


def test_dequantisation_is_uniform_over_one_step_and_fixed_by_the_seed() -> None:
    rows = RNG.integers(0, 5, (4000, 2)).astype(float)
    grid = np.array([1.0, 0.0])
    noise = dequantise(rows, grid, seed=3) - rows
    assert np.array_equal(noise, dequantise(rows, grid, seed=3) - rows)
    assert not noise[:, 1].any()
    assert abs(noise[:, 0]).max() <= 0.5
    assert noise[:, 0].var() == pytest.approx(1 / 12, rel=0.1)


def test_parts_are_disjoint_and_cover_every_row_once() -> None:
    arrays = prepare(table(RNG.standard_normal((103, 2))), config(source="moons")).arrays
    rows = np.concatenate([arrays[f"{part}_rows"] for part in ("train", "validation", "test")])
    assert sorted(rows) == list(range(103))


def test_standardisation_is_fitted_on_training_rows_and_undone_exactly() -> None:
    raw = table(RNG.standard_normal((500, 3)) * [1, 10, 100] + 5)
    prepared = prepare(raw, config(source="moons"))
    train = prepared.arrays["train"]
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(0), 1, atol=1e-5)
    back = prepared.arrays["test"] * prepared.scale + prepared.shift
    np.testing.assert_allclose(back, raw.rows[prepared.arrays["test_rows"]], rtol=1e-4)


def test_switched_off_standardisation_changes_nothing() -> None:
    prepared = prepare(table(RNG.standard_normal((50, 2)) * 9), config(source="moons", standardise="off"))
    assert (prepared.shift == 0).all()
    assert (prepared.scale == 1).all()


def test_smoothed_copies_follow_the_training_rows_and_only_them() -> None:
    settings = config(source="moons", augment={"copies": 4, "width": 0.2})
    plain = prepare(table(RNG.standard_normal((200, 2))), config(source="moons")).arrays
    more = prepare(table(RNG.standard_normal((200, 2))), settings).arrays
    n = len(plain["train"])
    assert len(more["train"]) == 4 * n
    assert (more["train_rows"].reshape(4, n) == plain["train_rows"]).all()
    assert len(more["test"]) == len(plain["test"])


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "file"])
def test_every_source_gives_named_finite_rows(name: str) -> None:
    loaded = SOURCES[name](config(source=name, rows=300).data, 0)
    assert loaded.rows.shape[1] == len(loaded.columns)
    assert np.isfinite(loaded.rows).all()


def test_digits_constant_pixels_get_noise() -> None:
    settings = config(source="digits")
    prepared = prepare(SOURCES["digits"](settings.data, 0), settings)
    assert prepared.arrays["train"].shape == (1437, 64)
    assert (prepared.grid == 1).all()


def test_a_picture_on_paper_is_the_density_of_its_darkness(tmp_path: Path) -> None:
    """One dark pixel is one Gaussian of half a pixel's width: its entropy is known."""
    grey = np.full((9, 9), 255, np.uint8)
    grey[4, 4] = 0
    Image.fromarray(grey).save(tmp_path / "dot.png")
    _, density = load_picture(str(tmp_path / "dot.png"))
    estimate = entropy(density)
    exact = np.log(2 * np.pi * np.e * 0.5**2)  # pixels have side 8/8 = 1
    assert abs(estimate.value - exact) < 4 * estimate.se


def test_transparent_parts_of_a_picture_are_white(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[1, 1, 3] = 255
    Image.fromarray(picture, "RGBA").save(tmp_path / "p.png")
    _, density = load_picture(str(tmp_path / "p.png"))
    assert np.count_nonzero(density.darkness) == 1


def test_csv_takes_numeric_columns_and_says_what_it_left(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,word,b\n1.5,x,2\n2.5,y,3\n")
    loaded = load_file(config(source="file", file=str(path)).data)
    assert loaded.columns == ("a", "b")
    assert loaded.notes == ("left out, not numeric: word",)


def test_empty_cells_drop_their_rows_where_allowed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n,3\n4,5\n")
    loaded = load_file(config(source="file", file=str(path), missing="drop").data)
    assert loaded.rows.tolist() == [[1, 2], [4, 5]]
    assert loaded.notes == ("dropped 1 of 3 rows with empty cells",)


def test_npy_of_one_dimension_is_a_column(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(5.0))
    assert load_file(config(source="file", file=str(tmp_path / "x.npy")).data).rows.shape == (5, 1)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="not a readable NPY"):
        load_file(config(source="file", file=str(tmp_path / "x.npy")).data)
