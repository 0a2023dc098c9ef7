"""The kind of a column is seen from its cells and its name, and the reason is said."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jko.columns.atoms import Atoms
from jko.columns.circular import Circular
from jko.columns.column import Column, Seen
from jko.columns.discrete import Gridded, Integer
from jko.columns.infer import infer
from jko.columns.levels import Categorical
from jko.columns.schema import Schema
from jko.core.errors import InputError

RNG = np.random.default_rng(0)
N = 1200
NORMAL = RNG.normal(20, 3, N)
AREA = np.exp(RNG.normal(2, 1, N))
PERCENT = np.round(100 * RNG.beta(2, 6, N), 1)
WORDS = np.array(["retail", "online", "wholesale"], dtype=object)[RNG.integers(0, 3, N)]
NORTH, LONGITUDES = RNG.uniform(0, 360, N), np.r_[RNG.uniform(-180, 180, N), -180.0, 180.0]
WIDE = RNG.integers(0, 900, N)
COUNTS, SECONDS = RNG.poisson(9, N), RNG.integers(0, 10**6, N)
DAYS = np.datetime64("2025-01-01") + RNG.integers(0, 365, N)


def text(values: Any) -> np.ndarray:
    return np.array([str(value) for value in values], dtype=object)


#: name of the column, its cells, the kind, that of the values beside atoms, and words of the reason
CASES: dict[str, tuple[str, Any, str, str, str]] = {
    "real": ("x", NORMAL - 20, "continuous", "", "both signs"),
    "far from 0": ("x", NORMAL + 280, "continuous", "", "few alike"),
    "skewed": ("x", AREA, "positive", "", "never below 0"),
    "skewed below": ("x", -AREA, "positive", "", "never above 0"),
    "tiny units": ("x", AREA * 1e-30, "positive", "", "never below 0"),
    "huge units": ("x", AREA * 1e43, "positive", "", "never below 0"),
    "share": ("share", RNG.beta(5, 5, N), "bounded", "", "as its name says"),
    "near both ends": ("x", RNG.beta(0.5, 0.5, N), "bounded", "", "near to both"),
    "percent": ("fat %", 100 * RNG.beta(5, 5, N), "bounded", "", "between 0 and 100"),
    "integers": ("x", RNG.integers(-40, 40, N), "integer", "", "whole numbers"),
    "counts": ("x", RNG.poisson(3, N), "integer", "", "never below 0"),
    "counts as floats": ("x", RNG.poisson(3, N).astype(float), "integer", "", "never below 0"),
    "hundreds": ("x", 100 * RNG.integers(1, 90, N), "gridded", "", "steps of 100"),
    "tenths": ("x", np.round(NORMAL, 1), "gridded", "", "step 0.1"),
    "tenths of both signs": ("x", np.round(NORMAL - 20, 1), "gridded", "", "step 0.1"),
    "doses": ("x", RNG.choice([0, 0.5, 3.7], N), "ordinal", "", "on no grid"),
    "zeros": ("x", np.where(RNG.random(N) < 0.5, 0, AREA), "atoms", "positive", "hold exactly 0"),
    "detection limit": ("x", np.maximum(AREA, 5.0), "atoms", "positive", "all above 5"),
    "cap": ("x", np.minimum(AREA, 15.0), "atoms", "positive", "all below 15"),
    "both": ("x", np.clip(AREA, 3.0, 15.0), "atoms", "bounded", "between 3 and 15"),
    "atom inside": ("x", np.where(RNG.random(N) < 0.1, 1.5, NORMAL - 20), "atoms", "continuous", "1.5"),
    "one zero": ("x", np.r_[0.0, AREA], "atoms", "positive", "hold exactly 0"),
    "percent of zeros": ("pct", np.where(RNG.random(N) < 0.45, 0, PERCENT), "atoms", "gridded", "hold 0"),
    "gains": ("x", np.where(RNG.random(N) < 0.9, 0, RNG.integers(1, 9000, N)), "atoms", "integer", "hold 0"),
    "sentinel": ("x", np.where(RNG.random(N) < 0.1, -999.0, NORMAL), "atoms", "continuous", "-999"),
    "fill": ("x", np.where(RNG.random(N) < 0.02, 1e20, NORMAL), "atoms", "continuous", "1e+20"),
    "counts and a mark": ("x", np.where(RNG.random(N) < 0.1, -9999, COUNTS), "atoms", "integer", "-9999"),
    "0 and 1": ("x", RNG.integers(0, 2, N), "boolean", "", "0 and 1"),
    "1 and 2": ("x", RNG.integers(1, 3, N), "categorical", "", "two values"),
    "truth": ("x", RNG.random(N) < 0.5, "boolean", "", "truth"),
    "yes": ("x", text(np.where(RNG.random(N) < 0.5, "Yes", "No")), "boolean", "", "No and Yes"),
    "words": ("x", WORDS, "categorical", "", "3 different"),
    "sizes": ("x", text(RNG.choice(["Small", "Large", "Medium"], N)), "ordinal", "", "Small to Large"),
    "ordered": ("x", pd.Categorical(WORDS, sorted(set(WORDS)), ordered=True), "ordinal", "", "ordered"),
    "names": ("x", text(f"person {i}" for i in range(N)), "text", "", "free text"),
    "days": ("x", text(DAYS), "date", "", "dates to days"),
    "days of numpy": ("x", DAYS.astype("M8[ns]"), "date", "", "dates to days"),
    "weeks": ("x", text(np.datetime64("2025-01-06") + 7 * RNG.integers(0, 99, N)), "date", "", "of 7 days"),
    "months": ("x", text(np.datetime64("2020-01") + RNG.integers(0, 60, N)), "date", "", "dates to months"),
    "moments": ("x", text(np.datetime64("2025-01-01T00:00:00") + SECONDS), "date", "", "seconds"),
    "hours": ("hour", RNG.integers(0, 24, N), "circular", "", "period 24"),
    "months of a year": ("month", RNG.integers(1, 13, N), "circular", "", "period 12"),
    "degrees": ("wind_dir", RNG.uniform(0, 360, N), "circular", "", "period 360"),
    "longitudes": ("lon", RNG.uniform(-180, 180, N), "circular", "", "period 360"),
    "radians": ("phi", RNG.uniform(-np.pi, np.pi, N), "circular", "", "period 6.28"),
    "north is 360": ("wind_dir", 10 * RNG.integers(1, 37, N), "circular", "", "from 10 to 360"),
    "calm, tenths": ("dir", np.where(RNG.random(N) < 0.1, 0, NORTH), "atoms", "circular", "many rows hold 0"),
    "full scale": ("x", np.minimum(WIDE, 880), "integer", "", "never above 880"),
    "full scale, half of all": ("x", np.minimum(WIDE, 500), "atoms", "integer", "never above 500"),
    "calm": ("wind_dir", 10 * RNG.integers(0, 37, N), "atoms", "circular", "0 and 360 are both there"),
    "a working week is no circle": ("hours", RNG.integers(1, 99, N), "integer", "", "whole"),
    "one town has no circle of longitudes": ("lon", RNG.normal(-73, 0.3, N), "continuous", "", "few alike"),
    "constant": ("x", np.full(N, 3), "constant", "", "every cell is '3'"),
    "constant text": ("x", text(["de"] * N), "constant", "", "every cell is 'de'"),
    "constant day": ("x", np.full(N, np.datetime64("2025-01-01", "ns")), "constant", "", "'2025-01-01"),
    "constant truth": ("x", np.full(N, True), "constant", "", "every cell is 'True'"),
    "infinite": ("x", np.full(N, np.inf), "text", "", "no finite number"),
    "empty": ("x", np.full(N, np.nan), "constant", "", "no row has a cell"),
    "unnamed": ("Unnamed: 0", RNG.permutation(N), "index", "", "has no name"),
    "counter": ("n", np.arange(N), "index", "", "counts the rows from 0"),
    "id": ("PassengerId", 7 * RNG.permutation(N), "index", "", "its name says so"),
    "big ids": ("x", 2**60 + RNG.permutation(N), "text", "", "too many digits"),
    "unique whole numbers are no index": ("weight", RNG.permutation(3 * N)[:N], "integer", "", "whole"),
    "ja": ("x", text(np.where(RNG.random(N) < 0.5, "Ja", "nein")), "boolean", "", "nein and Ja"),
    "oui": ("x", text(np.where(RNG.random(N) < 0.5, "oui", "non")), "boolean", "", "non and oui"),
    "sí": ("x", text(np.where(RNG.random(N) < 0.5, "Sí", "No")), "boolean", "", "No and Sí"),
    "si": ("x", text(np.where(RNG.random(N) < 0.5, "SI", "NO")), "boolean", "", "NO and SI"),
    "ja and no are no pair": ("x", text(np.where(RNG.random(N) < 0.5, "ja", "no")), "categorical", "", "2 "),
    "Monate": ("Monat", RNG.integers(1, 13, N), "circular", "", "period 12"),
    "heures": ("heure_du_jour", RNG.integers(0, 24, N), "circular", "", "period 24"),
    "meses": ("mes", RNG.integers(1, 13, N), "circular", "", "period 12"),
    "Wind": ("Windrichtung", RNG.uniform(0, 360, N), "circular", "", "period 360"),
    "viento": ("dirección_viento", RNG.uniform(0, 360, N), "circular", "", "period 360"),
    "Längengrade": ("Längengrad", RNG.uniform(-180, 180, N), "circular", "", "period 360"),
    "hours at work are no circle": ("Stunden", RNG.integers(0, 24, N), "integer", "", "whole"),
    "a year of months is no circle": ("mois", RNG.integers(1, 61, N), "integer", "", "whole"),
}  # fmt: skip


def described(name: str, cells: Any) -> Column:
    """The column of a table, and whether the table comes back."""
    frame = pd.DataFrame({name: cells})
    schema = infer(frame)
    complete = frame if not frame[name].isna().all() else frame.iloc[:0]
    back = schema.decode(schema.encode(complete).values)
    for key, values in back.items():
        own = complete[key].to_numpy()
        exact = schema.columns[0].meaning == "mass"
        assert (values == own).all() if exact else np.allclose(values, own, rtol=1e-6, atol=0), key
        assert exact is False or values.dtype == own.dtype or own.dtype == object
    return schema.columns[0]


@pytest.mark.parametrize("case", CASES)
def test_the_kind_is_seen_and_said(case: str) -> None:
    name, cells, kind, inner, words = CASES[case]
    column = described(name, cells)
    assert column.kind == kind
    assert (column.value.kind if isinstance(column, Atoms) else "") == inner
    assert words in column.why


@pytest.mark.parametrize("case", ["sentinel", "fill", "counts and a mark"])
def test_a_mark_is_warned_of(case: str) -> None:
    column = described("x", CASES[case][1])
    assert column.seen is not None
    assert any("mark it with data.missing_values" in warning for warning in column.seen.warnings)
    assert column.seen.atoms[0][0] in (-999.0, 1e20, -9999)


def test_one_far_value_among_few_is_warned_of() -> None:
    speeds = np.r_[RNG.choice([1.15078, 3.45234, 4.60312, 5.8], N), 1048.36058, 1048.36058]
    column = described("x", speeds)
    assert column.kind == "ordinal"
    assert column.seen is not None
    assert "2 of 1202 rows hold 1048.36058, far from" in column.seen.warnings[0]


def test_ends_and_shares_are_of_all_cells() -> None:
    column = described("x", CASES["zeros"][1])
    assert column.seen is not None
    values = CASES["zeros"][1]
    assert (column.seen.low, column.seen.high, column.seen.distinct) == (
        0.0,
        values.max(),
        len(np.unique(values)),
    )
    assert column.seen.atoms == ((0.0, round(float((values == 0).mean()), 6)),)
    dates = described("x", CASES["days"][1])
    assert dates.seen is not None
    assert (dates.seen.low, dates.seen.high) == (str(DAYS.min()), str(DAYS.max()))


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([1, None, 3, 4, 4, 9]), pd.Series([1, None, 3, 4, 4, 9], dtype="Int64"),
        np.array([1, None, 3, 4, 4, 9], dtype=object),
    ],
    ids=["floats", "nullable", "objects"],
)  # fmt: skip
def test_whole_numbers_with_holes_stay_whole(cells: Any) -> None:
    schema = infer(pd.DataFrame({"x": cells}))
    column = schema.columns[0]
    assert (column.model_dump()["kind"], column.model_dump()["dtype"]) == ("integer", "int64")
    assert column.seen is not None
    assert column.seen.missing == pytest.approx(1 / 6, abs=1e-6)
    with pytest.raises(InputError, match="empty cell in 1 of 6 rows"):
        schema.encode(pd.DataFrame({"x": cells}))


def test_columns_of_other_tables_are_read_too() -> None:
    """A mapping of lists, truth values with holes, a time zone, a categorical without an order."""
    moments = pd.Series(
        pd.to_datetime(["2025-01-01 10:00", "2025-02-01 11:00", "2025-03-01 10:00"])
    ).dt.tz_localize("CET")
    frame = pd.DataFrame(
        {
            "t": moments,
            "b": pd.array([True, None, False], dtype="boolean"),
            "c": pd.Categorical(["a", "b", "a"]),
        }
    )
    kinds = [column.model_dump()["kind"] for column in infer(frame).columns]
    assert kinds == ["date", "boolean", "text"]  # three rows are too few for a category
    days = pd.Series([day.date() for day in pd.date_range("2025-01-01", periods=9)], dtype=object)
    dated = infer(pd.DataFrame({"d": days.where(days.index != 3)})).columns[0]
    assert dated.kind == "date"
    assert dated.seen is not None
    assert (dated.seen.low, dated.seen.missing) == (
        "2025-01-01T00:00:00.000000",
        pytest.approx(1 / 9, abs=1e-6),
    )
    assert [column.name for column in infer({"a": [1, 2], "b": ["x", "x"]}).columns] == ["a", "b"]


def test_both_ends_of_a_turn_are_one_angle() -> None:
    """A cell of either end has the same probability, and comes back as the first one."""
    for cells in (np.round(LONGITUDES / 5) * 5, LONGITUDES):
        column = infer({"lon": cells}).columns[0]
        assert isinstance(column, Circular)
        assert column.closed == "high"
        noise = np.full((2, column.noise_width), 0.4)
        z, log_det = column.encode(np.array([-180.0, 180.0]), noise)
        assert np.allclose(z[0], z[1], atol=1e-12)
        assert log_det[0] == pytest.approx(log_det[1], abs=1e-9)
        assert (np.abs(np.abs(column.decode(z)) - 180) < 1e-9).all()
        assert column.seen is not None
        assert column.seen.warnings == ("-180 and 180 are one angle, which samples have as -180",)
        with pytest.raises(InputError, match="from -180 to 180"):
            column.encode(np.array([181.0]), noise[:1])
    (seldom,) = infer({"lon": np.clip(np.round(LONGITUDES), -179, 179)}).columns
    assert seldom.encode(np.array([180, -180]), np.full((2, 2), 0.4))[0].std(axis=0).max() < 1e-9
    (last,) = infer({"lon": np.clip(np.round(LONGITUDES), -179, 180)}).columns
    assert last.decode(last.encode(np.array([180, -180]), np.full((2, 2), 0.4))[0]).tolist() == [180, 180]
    with pytest.raises(InputError, match="from -180 to below 181"):
        last.encode(np.array([181]), np.full((1, 2), 0.4))
    (north,) = infer({"azimuth": np.round(NORTH / 20) * 20}).columns
    assert isinstance(north, Circular)
    assert (north.low, north.closed) == (0, "high")


def ends(cells: Any) -> tuple[float | None, float | None]:
    (column,) = infer({"x": cells}).columns
    assert isinstance(column, Integer | Gridded)
    return column.low, column.high


def test_numbers_that_stop_at_once_have_ends() -> None:
    """Codes, days of a month, a full scale, a grid; what a law has beyond an end decodes to it."""
    (capped,) = infer({"x": np.minimum(WIDE, 880)}).columns
    assert isinstance(capped, Integer)
    assert capped.decode(np.array([[999.0], [880.2], [401.0]])).tolist() == [880, 880, 401]
    assert ends(RNG.choice([0, 1, 2], N, p=[0.5, 0.02, 0.48])) == (0, 2)
    assert ends(RNG.choice([1, 2, 3], N, p=[0.3, 0.6, 0.1])) == (1, None)  # of 4 there might be few
    assert ends(np.repeat(np.arange(1, 32), 40)) == (1, 31)
    assert ends(np.repeat(np.arange(5, 30) / 10, 40)) == (0.5, 2.9)


def test_a_tail_and_a_heap_are_no_ends() -> None:
    """Of laws whose tails go on hardly a column has an upper end, nor one of numbers that people round."""
    heaped = np.where(RNG.random(N) < 0.6, 5 * RNG.integers(10, 41, N), RNG.integers(50, 201, N))
    tens = np.where(RNG.random(N) < 0.5, 10 * RNG.integers(1, 31, N), RNG.poisson(150, N))
    assert ends(heaped)[1] is ends(tens)[1] is None
    draw = np.random.default_rng(1)
    laws = (
        [draw.poisson(mean, rows) for mean in (0.7, 3, 40) for rows in (200, 5000)] * 10
        + [draw.geometric(share, 1000) for share in (0.2, 0.5, 0.9)] * 10
        + [np.rint(draw.normal(0, 9, 2000)).astype(int) for _ in range(20)]
    )
    found = [ends(cells) for cells in laws]
    assert sum(high is not None for _, high in found) <= 2
    assert sum(low is not None for low, _ in found[-20:]) == 0


def test_a_column_that_another_tells_by_a_curve_is_warned_of() -> None:
    """Also where some cells of one are empty; not where there is noise."""
    brightness = RNG.normal(24, 1, N)
    error = np.float32(0.005 + 10 ** (0.4 * (brightness - 27)))
    faint = np.where(brightness > 25, np.nan, brightness)
    noisy = error * RNG.lognormal(0, 0.01, N)
    frame = {"m": brightness, "e": error, "faint": faint, "down": -(brightness**3), "noisy": noisy}
    told = {column.name: column.seen.warnings for column in infer(frame).columns if column.seen}
    assert told["e"] == ("in the order of column 'm' in all rows: a law on a curve; leave one out",)
    assert told["down"] == (
        "in the opposite order of column 'm' in all rows: a law on a curve; leave one out",
    )
    assert "the order of column" in told["faint"][0]
    assert told["m"] == told["noisy"] == ()


def test_equal_columns_and_careless_levels_are_warned_of() -> None:
    words = text(RNG.choice(["north", "North ", "south"], N))
    unknown = text(RNG.choice(["a", "b", "?"], N))
    assert infer({"x": unknown}).columns[0].seen == Seen(
        distinct=3, warnings=("'?' may stand for a missing cell: then leave it empty in the file",)
    )
    frame = pd.DataFrame({"x": NORMAL, "y": AREA, "copy": NORMAL, "w": words, "inf": np.r_[np.inf, AREA[1:]]})
    warnings = {column.name: column.seen.warnings for column in infer(frame).columns if column.seen}
    assert warnings["copy"] == ("equal to column 'x' in every row: their law has no density; leave one out",)
    assert warnings["w"] == ("1 levels differ from others by spaces or capitals alone",)
    assert warnings["inf"] == ("1 cells are infinite, and such rows are refused",)
    assert warnings["x"] == warnings["y"] == ()


def test_dates_that_can_be_read_in_two_ways_are_told() -> None:
    both = infer({"x": text(f"0{1 + i % 9}/0{1 + i % 7}/2024" for i in range(N))}).columns[0]
    assert both.seen is not None
    assert "%m/%d/%Y" in both.seen.warnings[0]
    one = infer({"x": text(f"{13 + i % 9}/0{1 + i % 7}/2024" for i in range(N))}).columns[0]
    assert one.model_dump()["form"] == "%d/%m/%Y"
    assert one.seen is not None
    assert one.seen.warnings == ()


def test_known_kinds_stay_and_cells_that_do_not_fit_are_told() -> None:
    frame = pd.DataFrame({"a": RNG.integers(1, 4, N), "b": WORDS})
    edited = Schema(columns=(Categorical(name="a", levels=(1, 2)), infer(frame).columns[1]))
    first = infer(frame, edited).columns[0]
    assert isinstance(first, Categorical)
    assert first.seen is not None
    assert "does not fit its kind categorical" in first.seen.warnings[0]
    with pytest.raises(InputError, match="no column 'b', which the schema has"):
        infer(frame[["a"]], edited)
    with pytest.raises(InputError, match="no column 'c', which the table has"):
        infer(frame.assign(c=1), edited)


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(InputError, match="no rows"):
        infer(pd.DataFrame({"x": []}))


def test_whole_numbers_with_holes_that_are_beyond_all_grids_are_floats() -> None:
    cells = np.array([math.nan, *np.random.default_rng(0).integers(1, 2**60, 40)])
    (column,) = infer({"mass": cells}).columns
    assert (column.kind, getattr(column, "dtype", None)) == ("positive", "float64")
