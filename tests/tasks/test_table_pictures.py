"""Pictures of tables: what stands behind bars, what stands beside axes, and tables of every shape."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Tick, XTick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from PIL import Image

from jko.columns.aside import Constant
from jko.columns.cells import cells_of
from jko.columns.infer import infer
from jko.columns.levels import Categorical
from jko.columns.real import Continuous
from jko.columns.schema import Schema, schema_of
from tasks.report.content import Content
from tasks.report.drawing import DATA, MODEL, STYLE, small_png
from tasks.report.make import render
from tasks.report.table.looks import look_of
from tasks.report.table.of_chain import section_of, table_of
from tasks.report.table.panel import shares_of
from tasks.report.table.records import Picture, TableSection
from tasks.report.table.section import table_pictures, table_section
from tasks.report.table.shown import shown_table
from tasks.report.table.ticks import places_of
from tests.tasks.test_report_certificate import NO_PICTURES, certificate, content

Frame = Mapping[str, np.ndarray]


def orders(rows: int, seed: int, *, wrong: bool = False) -> pd.DataFrame:
    """Counts, skewed amounts, zeros, categories, directions, hours, dates, an order, holes."""
    rng = np.random.default_rng(seed)
    lot = rng.normal(size=rows)
    names = np.array(["shop", "online", "phone", "partner network"], object)
    zero = rng.random(rows) < (0.30 if wrong else 0.45)
    frame = pd.DataFrame({
        "visits": rng.poisson(np.exp(0.8 + 0.5 * lot)),
        "amount_eur": np.round(np.exp(3 + 1.1 * (rng.normal(size=rows) if wrong else lot)), 2),
        "discount_pct": np.where(zero, 0, np.round(75 * rng.beta(1.3, 4, rows), 1)),
        "channel": names[np.clip(np.digitize(lot, [-0.6, 0.7, 1.6]), 0, 2 if wrong else 3)],
        "wind_dir": 10.0 * (rng.integers(0, 36, rows) if wrong else (rng.binomial(35, 0.3, rows) + 29) % 36),
        "hour": (12 + 3 * rng.normal(size=rows)) % 24,
        "order_date": np.datetime64("2025-01-01", "s") + (365 * rng.beta(2, 2, rows)).astype("m8[D]"),
        "rating": pd.Categorical(
            np.array(["low", "medium", "high"])[np.digitize(lot + rng.normal(size=rows), [-0.5, 0.6])],
            ["low", "medium", "high"], ordered=True,
        ),
        "member": rng.random(rows) < 1 / (1 + np.exp(-lot)),
        "temperature (°C)": 20 + 8 * rng.normal(size=rows),
        "country": np.array([f"C{i:02d} land" for i in range(18)], object)[
            np.minimum(rng.geometric(0.25, rows) - 1, 17)
        ],
    })  # fmt: skip
    empty = rng.random(rows) < 0.12
    frame.loc[empty, "temperature (°C)"] = np.nan
    frame.loc[empty & (rng.random(rows) < 0.7), "wind_dir"] = np.nan
    frame.loc[rng.random(rows) < 0.08, "country"] = None
    return frame


@pytest.fixture(scope="module")
def schema() -> Schema:
    return infer(orders(4000, 9))


@pytest.fixture(scope="module")
def section(schema: Schema) -> TableSection:
    with matplotlib.rc_context(STYLE):
        return table_section(schema, orders(3000, 0), orders(2000, 1, wrong=True))


def only(schema: Schema, *names: str) -> Schema:
    """Some columns of a schema."""
    return schema_of([column for column in schema.columns if column.name in names])


def picture(section: TableSection, title: str) -> Picture:
    return next(one for one in section.pictures if title in (one.title, one.name))


def axes_of(section: TableSection, title: str) -> list[Axes]:
    return picture(section, title).figure.get_axes()


def steps(axes: Axes) -> list[StepPatch]:
    """The histograms of data and samples."""
    return [patch for patch in axes.patches if isinstance(patch, StepPatch)]


def test_the_table_is_of_all_kinds(schema: Schema) -> None:
    kinds = {column.kind for column in schema.columns}
    assert kinds >= {
        "integer", "positive", "atoms", "categorical", "circular", "date", "ordinal", "boolean", "continuous"
    }  # fmt: skip


def test_histograms_are_shares_of_the_cells(section: TableSection) -> None:
    (axes,) = axes_of(section, "temperature (°C)")
    for frame, drawn in zip((orders(3000, 0), orders(2000, 1, wrong=True)), steps(axes), strict=True):
        values, edges, _ = drawn.get_data()
        cells = frame["temperature (°C)"].dropna()
        np.testing.assert_allclose(values, 100 * np.histogram(cells, edges)[0] / len(cells))
    assert axes.get_ylabel() == "% of cells"
    data = steps(axes)[0].get_data()
    assert 99 < data.values.sum() < 100 + 1e-9


def test_bars_are_shares_of_levels_in_their_order(section: TableSection) -> None:
    (axes,) = axes_of(section, "rating")
    data, samples = orders(3000, 0), orders(2000, 1, wrong=True)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["low", "medium", "high"]
    heights = [bar.get_height() for bar in axes.patches]
    for frame, drawn in ((data, heights[:3]), (samples, heights[3:])):
        share = frame["rating"].value_counts(normalize=True)
        np.testing.assert_allclose(drawn, 100 * share[["low", "medium", "high"]])
    assert axes.get_ylabel() == "% of rows"


def test_a_level_that_samples_lack_has_an_empty_bar_and_a_new_one_is_shown() -> None:
    rows = np.array(["a", "b", "c"], object)[np.random.default_rng(0).integers(0, 3, 300)]
    samples = np.where(rows == "c", "ghost", rows).astype(object)
    column = Categorical(name="which", levels=("a", "b", "c"))
    (one,) = table_pictures(schema_of([column]), {"which": rows}, {"which": samples})
    (axes,) = one.figure.get_axes()
    words = [label.get_text() for label in axes.get_yticklabels()]
    assert words == ["a", "b", "c", "ghost"]
    lengths = [bar.get_width() for bar in axes.patches]
    shares = [100 * float((rows == level).mean()) for level in ("a", "b", "c")]
    np.testing.assert_allclose(lengths, [*shares, 0, *shares[:2], 0, shares[2]])


def test_rare_levels_are_one(section: TableSection) -> None:
    (axes,) = axes_of(section, "country")
    words = [label.get_text() for label in axes.get_yticklabels()]
    assert len(words) == 10
    assert words[-1] == "9 others"
    bars = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose([sum(bars[:10]), sum(bars[10:])], 100)


def test_atoms_stand_beside_the_others_on_their_own_scale(section: TableSection) -> None:
    atoms, others = axes_of(section, "discount_pct")
    zero = [100 * (orders(*own)["discount_pct"] == 0).mean() for own in ((3000, 0),)]
    assert atoms.patches[0].get_height() == pytest.approx(zero[0])
    assert [label.get_text() for label in atoms.get_xticklabels()] == ["= 0"]
    assert steps(others)[0].get_data().values.sum() == pytest.approx(100 - zero[0], abs=1)
    assert atoms.get_position().x1 < others.get_position().x0


def test_circles_are_roses_whose_radius_is_the_share(section: TableSection) -> None:
    (axes,) = axes_of(section, "wind_dir")
    assert axes.name == "polar"
    cells = orders(3000, 0)["wind_dir"].dropna()
    radii = [bar.get_height() for bar in axes.patches]
    assert sum(radii) == pytest.approx(100)
    assert len(radii) == 18  # 36 steps, two in a bin
    assert radii[0] == pytest.approx(100 * cells.isin([0, 10]).mean())
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0°", "90°", "180°", "270°"]


def test_directions_beyond_a_turn_are_not_hidden_by_a_rose() -> None:
    rng = np.random.default_rng(0)
    rows, samples = 360 * rng.random(400), 380 * rng.random(400) - 10
    (one,) = table_pictures(infer({"wind_dir": rows}), {"wind_dir": rows}, {"wind_dir": samples})
    assert one.figure.get_axes()[0].name == "rectilinear"


def test_dates_stand_on_an_axis_of_dates(section: TableSection) -> None:
    (axes,) = axes_of(section, "order_date")
    values, edges, _ = steps(axes)[0].get_data()
    days = orders(3000, 0)["order_date"].to_numpy().astype("M8[D]").astype(float)
    np.testing.assert_allclose(values, 100 * np.histogram(days, edges)[0] / len(days))
    texts = [label.get_text() for label in axes.get_xticklabels()]
    assert "May" in texts
    assert {"2025", "2026"} & {*texts}


@pytest.mark.parametrize("most", [3, 4])
def test_a_date_that_stands_alone_on_an_axis_is_no_time_of_day(most: int) -> None:
    rng = np.random.default_rng(0)
    days = np.datetime64("2024-03-01", "s") + rng.integers(0, 300, 400).astype("m8[D]")
    frame = {"day": days}
    (column,) = infer(frame).columns
    look = look_of(column, cells_of(frame)["day"], cells_of(frame)["day"])
    assert look is not None
    places, words = places_of(look, most)
    assert len(places) == len(words) > 0
    assert not any(":" in word for word in words)


def test_positive_skewed_numbers_have_a_logarithmic_axis_unless_samples_do_not_fit_it(schema: Schema) -> None:
    data, samples = orders(3000, 0), orders(2000, 1)
    one = only(schema, "amount_eur")
    assert axes_of(table_section(one, data, samples), "amount_eur")[0].get_xscale() == "log"
    samples.loc[:100, "amount_eur"] = -5.0
    assert axes_of(table_section(one, data, samples), "amount_eur")[0].get_xscale() == "linear"


def test_what_is_beyond_the_axis_is_told() -> None:
    rng = np.random.default_rng(0)
    rows = {"x": rng.normal(size=1000)}
    samples = {"x": np.r_[rng.normal(size=900), np.full(100, 1e6)]}
    (one,) = table_pictures(schema_of([Continuous(name="x")]), rows, samples)
    title = one.figure.get_axes()[0].get_title(loc="right")
    assert title.startswith("beyond the axis: 0")
    assert title.endswith("and 10 %")


def test_whiskers_hold_equal_laws_and_show_wrong_ones(schema: Schema) -> None:
    data = cells_of(orders(3000, 0))

    def outside(samples: pd.DataFrame) -> tuple[int, int]:
        drawn = cells_of(samples)
        looks = [look_of(column, data[column.name], drawn[column.name]) for column in schema.columns]
        shares = [one for look in looks if look is not None for one in shares_of(look)]
        apart = [np.abs(one.data - one.samples) > 2 * one.errors for one in shares]
        return int(sum(one.sum() for one in apart)), sum(map(len, apart))

    right, bars = outside(orders(3000, 5))
    assert right < 0.1 * bars
    assert outside(orders(3000, 5, wrong=True))[0] > 0.15 * bars


@pytest.mark.parametrize("least", [None, {"rating": 0.2, "member": 0.5, "wind_dir/cos": 0.3}])
def test_the_worst_columns_come_first(schema: Schema, least: dict[str, float] | None) -> None:
    some = only(schema, "hour", "member", "rating", "wind_dir", "channel")
    found = table_section(some, orders(2000, 0), orders(2000, 1, wrong=True), least=least)
    names = [line.name for line in found.lines]
    if least is None:
        assert names[0] == "wind_dir"
        assert names.index("channel") < names.index("hour")
    else:
        assert names[:3] == ["member", "wind_dir", "rating"]
        assert "wrong by ≥ 0.5 nats" in found.pictures[0].alt
    shown = [one.title for one in found.pictures if one.name.startswith("column_")]
    assert shown == names


def test_every_axis_says_what_it_is(section: TableSection) -> None:
    for one in section.pictures:
        assert one.alt
        assert len(one.title) > 2
        axes = one.figure.get_axes()
        if one.name == "pair_plot":
            grid = np.array(axes).reshape(8, 8)
            names = [own.get_xlabel() for own in grid[-1]]
            assert names == [own.get_ylabel() for own in grid[:, 0]]
            assert all(names)
        else:
            assert all(own.get_xlabel() or own.get_ylabel() for own in axes)
            assert all(own.get_xlabel() for own in axes if own.get_label() != "<colorbar>")
        if one.name.startswith("column_"):
            assert one.title in (axes[-1].get_xlabel(), axes[-1].get_ylabel())


def seen(axes: Axes, tick: Tick) -> bool:
    """Whether a tick is on its axis; others are not drawn."""
    low, high = sorted(axes.get_xlim() if isinstance(tick, XTick) else axes.get_ylim())
    return low - 1e-9 <= tick.get_loc() <= high + 1e-9


def words_of(figure: Figure) -> list[tuple[str, np.ndarray]]:
    """All words that are drawn with their boxes, without those on a polar axis' own circle."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = [*figure.texts, *figure.legends[0].get_texts()] if figure.legends else [*figure.texts]
    for axes in figure.get_axes():
        ticks = (*axes.xaxis.get_major_ticks(), *axes.yaxis.get_major_ticks())
        texts += [axes.xaxis.label, axes.yaxis.label, *(tick.label1 for tick in ticks if seen(axes, tick))]
        texts += [axes.title, axes._right_title]
    shown = [text for text in texts if text.get_text() and text.get_visible()]
    return [(text.get_text(), text.get_window_extent(renderer).extents) for text in shown]


def test_no_words_overlap_and_none_is_cut(section: TableSection) -> None:
    for one in section.pictures:
        found = words_of(one.figure)
        wide, high = one.figure.bbox.width, one.figure.bbox.height
        for text, (left, low, right, top) in found:
            assert min(left, low) > -1.5, (one.name, text)
            assert right < wide + 1.5, (one.name, text)
            assert top < high + 1.5, (one.name, text)
        for (text, own), (other, box) in combinations(found, 2):
            across = min(own[2], box[2]) - max(own[0], box[0])
            down = min(own[3], box[3]) - max(own[1], box[1])
            assert min(across, down) < 1.5, (one.name, text, other)


#: linear RGB as seen without one kind of cones (Machado, Oliveira & Fernandes 2009, severity 1)
BLIND = {
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def lab(colour: str, kind: str) -> np.ndarray:
    """CIELAB of a colour as it is seen."""
    share = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLIND[kind]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    f = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLIND)
def test_data_and_samples_are_told_apart_by_all_eyes(kind: str) -> None:
    """25 is ten times the difference that is just seen; fill and line differ beside it."""
    assert np.linalg.norm(lab(DATA, kind) - lab(MODEL, kind)) > 25


def test_colours_are_those_of_the_house(section: TableSection) -> None:
    (axes,) = axes_of(section, "temperature (°C)")
    filled, line = steps(axes)
    assert matplotlib.colors.to_hex(filled.get_facecolor()) == DATA
    assert matplotlib.colors.to_hex(line.get_edgecolor()) == MODEL


def test_pairs_are_shaded_by_their_rows(section: TableSection) -> None:
    grid = np.array(axes_of(section, "pair_plot")).reshape(8, 8)
    names = [axes.get_xlabel() for axes in grid[-1]]
    data, samples = orders(3000, 0), orders(2000, 1, wrong=True)
    i, j = sorted((names.index("channel"), names.index("member")))
    for axes, frame in ((grid[j, i], data), (grid[i, j], samples)):
        share = axes.images[0].get_array()
        assert share.sum() == pytest.approx(1)
        both = (frame["channel"] == "shop") & frame["member"]
        assert np.isclose(share, both.mean()).any()
    assert "amount_eur" in names
    assert "visits" in names


def test_maps_mark_what_may_be_chance(schema: Schema, section: TableSection) -> None:
    with matplotlib.rc_context(STYLE):
        right = table_section(schema, orders(3000, 0), orders(3000, 3))
    for name in ("information", "correlations"):
        counts = {}
        for tag, found in (("wrong", section), ("right", right)):
            one = picture(found, name)
            axes = one.figure.get_axes()[0]
            hatched = [patch for patch in axes.patches if patch.get_hatch()]
            clear = int(np.isfinite(axes.images[0].get_array().filled(np.nan)).sum())
            pairs = int(one.alt.split(" of ")[1].split()[0])
            assert len(hatched) + clear == pairs
            counts[tag] = clear / pairs
        assert counts["right"] < 0.12
        assert counts["wrong"] > counts["right"]
    # amounts follow visits in the data alone
    axes = picture(section, "correlations").figure.get_axes()[0]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    value = axes.images[0].get_array()[1 + rows.index("amount_eur"), columns.index("visits")]
    assert value > 0.3


def test_empty_cells_and_their_patterns(section: TableSection) -> None:
    data, samples = orders(3000, 0), orders(2000, 1, wrong=True)
    (axes,) = axes_of(section, "empty_cells")
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == ["country", "temperature (°C)", "wind_dir"]
    bars = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(bars[:3], 100 * data[names].isna().mean())
    np.testing.assert_allclose(bars[3:], 100 * samples[names].isna().mean())
    _, right = axes_of(section, "empty_patterns")
    full = 100 * data.notna().all(axis=1).mean()
    assert right.patches[0].get_width() == pytest.approx(full)
    whole = orders(300, 0)[["visits", "amount_eur", "member"]]
    found = table_section(infer(whole), whole, whole)
    assert not {one.name for one in found.pictures} & {"empty_cells", "empty_patterns"}


def plain(columns: int, rows: int, seed: int) -> Frame:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(rows, columns)) @ np.random.default_rng(0).normal(size=(columns, columns))
    return {f"x{i}": mixed[:, i] for i in range(columns)}


def drawn_names(schema: Schema, rows: Frame | pd.DataFrame, samples: Frame | pd.DataFrame) -> list[str]:
    with matplotlib.rc_context(STYLE):
        found = table_pictures(schema, rows, samples)
        for one in found:
            assert len(small_png(one.figure)) > 500
    return [one.name for one in found]


def numbers(count: int) -> list[Continuous]:
    return [Continuous(name=f"x{i}") for i in range(count)]


def test_one_column() -> None:
    assert drawn_names(schema_of(numbers(1)), plain(1, 200, 0), plain(1, 300, 1)) == ["column_1"]


def test_sixty_columns_have_the_worst_24_and_all_lines() -> None:
    with matplotlib.rc_context(STYLE):
        samples = {**plain(60, 500, 1), "x57": np.random.default_rng(2).normal(99, 1, 500)}
        found = table_section(schema_of(numbers(60)), plain(60, 500, 0), samples)
    panels = [one.title for one in found.pictures if one.name.startswith("column_")]
    assert len(panels) == 24
    assert panels[0] == "x57"
    assert len(found.lines) == 60
    assert "24 of 60 columns have a picture" in " ".join(found.notes)
    assert len(axes_of(found, "pair_plot")) == 64


def test_columns_of_one_value_and_of_none() -> None:
    schema = schema_of([Constant(name="one", value=3), *numbers(2), Continuous(name="none")])
    rows = {**plain(2, 50, 0), "one": np.full(50, 3), "none": np.full(50, np.nan)}
    rows["x1"] = np.full(50, 2.0)
    names = drawn_names(schema, rows, rows)
    assert names[:2] == ["column_1", "column_2"]
    assert "empty_cells" in names
    assert drawn_names(schema_of([Constant(name="one", value=3)]), {"one": [3, 3]}, {"one": [3, 3]}) == []
    # a sample that is not the constant is seen
    assert drawn_names(schema_of([Constant(name="one", value=3)]), {"one": [3, 3]}, {"one": [3, 4]})


def test_ten_rows_of_every_kind(schema: Schema) -> None:
    assert "pair_plot" in drawn_names(schema, orders(10, 0), orders(10, 1))


def test_names_that_look_like_formulas_and_numbers_out_of_reach() -> None:
    rng = np.random.default_rng(0)
    table = {
        r"$\frac": rng.normal(size=200) * 1e40,
        "$x^2$ and a very long name of a column": -1e-20 * rng.random(200),
        "level": np.array(["$a$", r"$\b", ""], object)[rng.integers(0, 3, 200)],
    }
    assert "pair_plot" in drawn_names(infer(table), table, table)


def test_it_takes_seconds_and_few_bytes_and_is_the_same_again(schema: Schema) -> None:
    data, samples = orders(10_000, 0), orders(10_000, 1, wrong=True)
    begun = time.process_time()
    with matplotlib.rc_context(STYLE):
        first = [small_png(one.figure) for one in table_pictures(schema, data, samples)]
        spent = time.process_time() - begun
        few = only(schema, "channel", "wind_dir", "visits")
        twice = [
            [small_png(one.figure) for one in table_pictures(few, data[:500], samples)] for _ in range(2)
        ]
    assert spent < 10  # 3 s on a machine at rest
    assert sum(map(len, first)) < 300_000
    assert twice[0] == twice[1]
    assert {Image.open(io.BytesIO(one)).mode for one in first} == {"P"}
    assert Image.open(io.BytesIO(first[0])).convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def chain_of(rows: np.ndarray, generated: np.ndarray, **facts: object):
    made = content(certificate())
    known = replace(
        made.facts, shift=(0.0,) * rows.shape[1], scale=(1.0,) * rows.shape[1],
        rows={"source": 50, "validation": 10, "test": 40},
        **facts,
    )  # fmt: skip
    return replace(made, facts=known, data=rows, generated=generated)


def test_a_chain_without_a_schema_shows_its_test_rows_by_plain_kinds() -> None:
    rng = np.random.default_rng(0)
    rows = np.column_stack([
        rng.integers(0, 5, 100) + rng.uniform(-0.5, 0.5, 100), 0.25 * rng.integers(0, 90, 100),
        np.where(rng.random(100) < 0.5, 0, rng.normal(5, 1, 100)), rng.normal(size=100),
    ])  # fmt: skip
    shown = chain_of(
        rows, rows[::-1], columns=("n", "price", "rain", "x"), grid=(1.0, 0.25, 0.0, 0.0),
        origins={"n": 0.0, "price": 0.0}, atoms=("rain",), context_columns=("class=3", "class=7"),
    )  # fmt: skip
    classes = np.eye(2)[rng.integers(0, 2, 100)]
    shown = replace(shown, contexts=(classes, classes))
    schema, data, samples = table_of(shown)
    assert [(column.name, column.kind) for column in schema.columns] == [
        ("n", "integer"), ("price", "gridded"), ("rain", "atoms"), ("x", "continuous"),
        ("class", "categorical"),
    ]  # fmt: skip
    assert len(data["n"]) == 40
    assert len(samples["n"]) == 100
    np.testing.assert_array_equal(data["n"], np.rint(rows[:40, 0]))
    assert list(data["class"]) == ["3" if own[0] else "7" for own in classes[:40]]
    assert drawn_names(schema, data, samples)[0] == "column_1"


def test_a_chain_with_a_schema_shows_cells_and_not_what_they_are_encoded_as(schema: Schema) -> None:
    some = only(schema, "channel", "hour", "order_date", "visits")

    class OfKinds(Content):
        kinds = some

    frame = orders(100, 0)
    rows = some.encode(frame).values
    made = chain_of(rows, rows[::-1], columns=some.encoded_names, grid=(0.0,) * some.width)
    shown = OfKinds(**{name: getattr(made, name) for name in Content.__dataclass_fields__})
    found, data, samples = table_of(shown)
    assert found.columns == some.columns
    assert not shown.plane
    for name in ("channel", "visits", "order_date"):
        assert list(data[name]) == frame[name].tolist()[:40]
        assert list(samples[name]) == frame[name].tolist()[::-1]
    least = {"hour/sin": 0.25}
    lines = table_section(found, data, samples, least=least).lines
    assert (lines[0].name, lines[0].least) == ("hour", 0.25)


def test_the_page_holds_the_pictures_with_their_words() -> None:
    rng = np.random.default_rng(0)
    shown = chain_of(
        rng.normal(size=(90, 3)), rng.normal(size=(300, 3)), columns=("a", "b & b", "c"), grid=(0.0,) * 3
    )
    with matplotlib.rc_context(STYLE):
        found = section_of(shown)
        assert found is not None
        page = render(shown, NO_PICTURES, shown_table(found))
    assert page.count("data:image/png") == len(found.pictures) == 6
    assert 'alt="b &amp; b (continuous): data beside samples; apart' in page
    assert "Data and samples, column by column" in page
    assert "40 rows of the data and 300 samples" in page
    assert section_of(replace(shown, facts=replace(shown.facts, image_shape=(1, 3)))) is None
    assert "column by column" not in render(shown, NO_PICTURES)


def test_a_plane_is_not_drawn_twice() -> None:
    rng = np.random.default_rng(0)
    found = section_of(chain_of(rng.normal(size=(90, 2)), rng.normal(size=(90, 2))))
    assert found is not None
    assert [one.name for one in found.pictures] == ["column_1", "column_2"]
