"""Sources, dequantisation, split, standardisation and smoothing."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import KDTree

from jko.config import Config, parse_config
from jko.core.errors import InputError
from jko.laws.densities import entropy
from jko.laws.smoothing import smoothing_w2_bound
from jko.preparation.facts import DataFacts, facts_of
from jko.preparation.grid import grid_step
from jko.preparation.prepare import Prepared, dequantise, prepare
from jko.preparation.table import Table
from tasks.datasets.files import load_file
from tasks.datasets.pictures import load_picture
from tasks.datasets.sources import SOURCES
from tasks.prepare import entropy_of

PARTS = ("train", "validation", "test")
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
    rows = np.concatenate([arrays[f"{part}_rows"] for part in PARTS])
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


def smoothing_noise(plain: np.ndarray, smooth: np.ndarray, time: float) -> np.ndarray:
    """The z of every smoothed row, standard normal."""
    return (smooth - math.exp(-time) * plain.astype(float)) / math.sqrt(1 - math.exp(-2 * time))


def test_without_smoothing_rows_are_the_standardised_ones_to_the_byte() -> None:
    raw = table(RNG.standard_normal((100, 2)) * 3 + 1)
    prepared = prepare(raw, config(source="moons", smoothing=0.0))
    for part in PARTS:
        rows = raw.rows[prepared.arrays[f"{part}_rows"]]
        expected = ((rows - prepared.shift) / prepared.scale).astype(np.float32)
        assert prepared.arrays[part].tobytes() == expected.tobytes()
    assert (prepared.smoothing, prepared.smoothing_w2, prepared.notes) == (0.0, None, ())


def test_smoothing_acts_on_all_parts_in_standardised_units() -> None:
    """The same rows with Gaussian noise of the right width, copies of training rows included."""
    time, raw = 0.1, table(RNG.uniform(-1, 1, (20_000, 2)) * [1, 50] + 7)
    settings: dict[str, Any] = {"source": "moons", "augment": {"copies": 2, "width": 0.3}}
    plain, smooth = prepare(raw, config(**settings)), prepare(raw, config(**settings, smoothing=time))
    assert (plain.shift == smooth.shift).all()
    assert (plain.scale == smooth.scale).all()
    for part in PARTS:
        assert smooth.arrays[part].dtype == np.float32
        assert (plain.arrays[f"{part}_rows"] == smooth.arrays[f"{part}_rows"]).all()
        noise = smoothing_noise(plain.arrays[part], smooth.arrays[part], time)
        error = 4 / math.sqrt(len(noise))  # four standard errors
        np.testing.assert_allclose(noise.mean(0), 0, atol=error)
        np.testing.assert_allclose(noise.std(0), 1, atol=error)
        correlations = np.corrcoef(noise.T, plain.arrays[part].T)[:2]
        np.testing.assert_allclose(correlations, np.eye(2, 4), atol=error)
    kept = slice(None, len(np.unique(smooth.arrays["train_rows"])))
    np.testing.assert_allclose(smooth.arrays["train"][kept].std(0), 1, atol=0.03)  # e^{-2t}·1 + 1 − e^{-2t}


def test_smoothing_noise_is_fixed_by_the_seed_and_each_part_has_its_own() -> None:
    raw = table(RNG.standard_normal((100, 2)))
    settings = config(source="moons", smoothing=0.1, split={"validation": 0.3, "test": 0.3})
    unsmoothed = config(**settings.data.model_dump(exclude={"smoothing"}))
    plain, first, again = (prepare(raw, each) for each in (unsmoothed, settings, settings))
    other = prepare(raw, settings.model_copy(update={"seed": 1}))
    noise = {part: smoothing_noise(plain.arrays[part], first.arrays[part], 0.1)[:30] for part in PARTS}
    for part in PARTS:
        assert first.arrays[part].tobytes() == again.arrays[part].tobytes()
        assert first.arrays[part].tobytes() != other.arrays[part].tobytes()
    for one, two in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert np.abs(noise[one] - noise[two]).min() > 1e-4


def test_copies_of_training_rows_leave_the_noise_of_the_rows_themselves() -> None:
    raw = table(RNG.standard_normal((100, 2)))
    alone = prepare(raw, config(source="moons", smoothing=0.1))
    copied = prepare(raw, config(source="moons", smoothing=0.1, augment={"copies": 3, "width": 0.2}))
    assert (copied.arrays["train"][: len(alone.arrays["train"])] == alone.arrays["train"]).all()
    assert copied.smoothing_w2 == alone.smoothing_w2  # M2 is that of the rows, not of their copies


@pytest.mark.parametrize("standardise", ["on", "off"])
def test_the_bound_takes_the_training_rows_before_smoothing(standardise: str) -> None:
    raw = table(RNG.standard_normal((500, 3)) * 2 + 1)
    plain = prepare(raw, config(source="moons", standardise=standardise)).arrays["train"].astype(float)
    bound = prepare(raw, config(source="moons", standardise=standardise, smoothing=0.05)).smoothing_w2
    assert bound == pytest.approx(smoothing_w2_bound((plain**2).sum(1).mean(), 3, 0.05), rel=1e-6)


def test_a_known_entropy_is_not_that_of_the_smoothed_law() -> None:
    loaded = SOURCES["moons"](config(source="moons", rows=300).data, 0)
    plain, smooth = (
        facts_of(loaded, prepared, entropy=entropy_of(loaded, prepared, settings))
        for settings in (config(source="moons"), config(source="moons", smoothing=0.02))
        for prepared in [prepare(loaded, settings)]
    )
    assert plain.entropy is not None
    assert (plain.smoothing, plain.smoothing_w2) == (0.0, None)
    assert smooth.entropy is None
    assert smooth.smoothing == 0.02
    assert smooth.smoothing_w2 == pytest.approx(math.sqrt(4 * (1 - math.exp(-0.02))))  # M2 = d = 2


def test_facts_of_older_chains_know_no_smoothing() -> None:
    raw = table(RNG.standard_normal((50, 2)))
    stored = asdict(facts_of(raw, prepare(raw, config(source="moons"))))
    older = {key: value for key, value in stored.items() if not key.startswith("smoothing")}
    assert DataFacts(**older) == DataFacts(**stored)


@pytest.mark.parametrize(
    ("rows", "smoothing", "says", "silent"),
    [
        (RNG.standard_normal((60, 2)), 0.0, (), ("jumps", "smoothed law")),
        (RNG.integers(0, 5, (60, 2)).astype(float), 0.0, ("jumps", "data.smoothing"), ("smoothed law",)),
        (RNG.standard_normal((60, 2)), 0.02, ("time 0.02", "at most 0.281"), ("jumps",)),
        (RNG.integers(0, 5, (60, 2)).astype(float), 0.02, ("dequantised", "time 0.02"), ("jumps",)),
    ],
    ids=["continuous", "gridded", "smoothed", "gridded and smoothed"],
)
def test_notes_on_jumps_and_smoothing(
    rows: np.ndarray, smoothing: float, says: tuple[str, ...], silent: tuple[str, ...]
) -> None:
    notes = " | ".join(prepare(table(rows), config(source="moons", smoothing=smoothing)).notes)
    assert all(part in notes for part in says)
    assert not any(part in notes for part in silent)


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        (-1, "greater than or equal to 0"),
        (5.5, "less than or equal to 5"),
        (float("nan"), "finite"),
        ("much", "number"),
    ],
    ids=str,
)
def test_impossible_smoothing_is_refused_in_one_sentence(value: Any, allowed: str) -> None:
    with pytest.raises(InputError, match=r"data\.smoothing") as raised:
        config(smoothing=value)
    assert repr(value) in str(raised.value)
    assert allowed in str(raised.value)
    assert "\n" not in str(raised.value)


def curve(rows: int, **data: Any) -> Prepared:
    settings = config(source="curve", rows=rows, **data)
    return prepare(SOURCES["curve"](settings.data, 0), settings)


def test_the_curve_s_rows_lie_on_it_and_are_not_taken_for_a_grid() -> None:
    loaded = SOURCES["curve"](config(source="curve", rows=10_000).data, 0)
    assert loaded.entropy is None
    assert not prepare(loaded, config(source="curve")).grid.any()
    angle = np.linspace(0, 2 * np.pi, 100_001)
    on_curve = [np.sin(angle) + 2 * np.sin(2 * angle), np.cos(angle) - 2 * np.cos(2 * angle)]
    distance = KDTree(np.stack(on_curve, axis=1)).query(loaded.rows)[0]
    assert distance.max() < 5 * np.pi / 100_000  # half a step of the angle at the highest speed, 5
    np.testing.assert_allclose(loaded.rows.T @ loaded.rows / 10_000, 2.5 * np.eye(2), atol=0.1)


@pytest.mark.parametrize("time", [0.005, 0.05, 0.5])
def test_smoothed_rows_of_the_curve_lie_within_the_bound(time: float) -> None:
    """Exact optimal transport between 1500 rows and their own smoothed copies.

    Both empirical laws hold the same rows, so pairing each row with its copy is one of the couplings
    and the optimal cost is at most the paired one: that holds for any rows. The paired cost is an
    average over the noise with mean bound², M2 being that of the same rows, so it may lie above the
    bound; the optimal cost does not here, as it need not pay for noise along the curve. An independent
    draw of either law would be no valid comparison: the distance between two empirical laws does not
    vanish with δ.
    """
    import ot

    plain, smooth = (curve(1875, smoothing=each).arrays["train"].astype(float) for each in (0.0, time))
    cost = ot.dist(plain, smooth)
    weights = np.full(len(plain), 1 / len(plain))
    optimal = math.sqrt(ot.emd2(weights, weights, cost))
    paired = math.sqrt(((plain - smooth) ** 2).sum(1).mean())
    bound = smoothing_w2_bound((plain**2).sum(1).mean(), 2, time)
    assert optimal <= paired * (1 + 1e-6)
    assert paired == pytest.approx(bound, rel=0.1)
    assert 0.3 * bound < optimal <= bound  # and the bound is no empty one


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in ("file", "rows")])
def test_every_source_gives_named_finite_rows(name: str) -> None:
    loaded = SOURCES[name](config(source=name, rows=300).data, 0)
    assert loaded.rows.shape[1] == len(loaded.columns)
    assert np.isfinite(loaded.rows).all()


def test_rows_from_python_are_nowhere_else() -> None:
    with pytest.raises(InputError, match=r"given from Python and are not here; call jko\.fit"):
        SOURCES["rows"](config(source="rows", content="0" * 64).data, 0)


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
