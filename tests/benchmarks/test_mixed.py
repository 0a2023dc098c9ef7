"""Mixed tables beside other models: rows as numbers and back, what samples must keep, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks import mixed, mixed_models, mixed_rows
from benchmarks.mixed import main, there, wrong
from benchmarks.mixed_files import read
from benchmarks.mixed_models import MODELS, Drawn, Model, unmasked
from benchmarks.mixed_rows import SETS, Coding, MixedSet, divided, faults
from benchmarks.mixed_table import known, table
from benchmarks.page import EMPTY
from jko.certify.resolution import Bracket, Projection
from jko.core.errors import InputError


def frame(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Levels, a count that goes with them, money with zeros, a grid with holes, a constant."""
    rng = np.random.default_rng(seed)
    city = rng.choice(["Oslo", "Rome", "Lima"], rows, p=[0.6, 0.3, 0.1])
    tenths = np.round(rng.normal(20, 3, rows), 1)
    tenths[rng.random(rows) < 0.3] = np.nan
    return pd.DataFrame(
        {
            "city": city, "visits": rng.poisson(np.where(city == "Oslo", 9, 3)), "degrees": tenths,
            "paid": np.where(rng.random(rows) < 0.4, 0.0, rng.gamma(2, 30, rows)), "year": 2013,
        }
    )  # fmt: skip


def test_numbers_are_the_cells_again() -> None:
    rows = frame()
    coding = Coding(rows)
    numbers = coding.numbers(rows)
    assert (numbers["city"] == rows["city"].map({"Oslo": 0, "Rome": 1, "Lima": 2})).all()
    back = coding.cells({str(name): numbers[name].to_numpy() for name in numbers})
    pd.testing.assert_frame_equal(back, rows)


def test_a_hole_is_a_column_to_the_judge_and_a_new_level_a_number() -> None:
    rows = frame()
    coding = Coding(rows)
    new = rows.head(3).assign(city=["Lima", "Bonn", "Rome"], degrees=[np.nan, 1.5, np.nan])
    judged = coding.judged(new)
    assert list(judged.columns) == ["city", "visits", "degrees", "paid", "degrees empty"]  # year says nothing
    assert judged["city"].tolist() == [2, 3, 1]
    assert judged["degrees empty"].tolist() == [1, 0, 1]
    assert judged["degrees"].tolist() == [rows["degrees"].median(), 1.5, rows["degrees"].median()]


def test_rows_are_divided_once() -> None:
    rows = frame().reset_index()
    train, held_out = divided(rows, 0.2, 0)
    assert (len(train), len(held_out)) == (320, 80)
    assert sorted([*train["index"], *held_out["index"]]) == list(range(400))
    assert not divided(rows, 0.2, 1)[1].equals(held_out)


def test_fewer_rows_are_some_of_the_same() -> None:
    rows = frame().reset_index()
    few, held_out = divided(rows, 0.2, 0, 50)
    train, same = divided(rows, 0.2, 0)
    pd.testing.assert_frame_equal(few, train.head(50))
    pd.testing.assert_frame_equal(held_out, same)


def test_a_density_on_a_grid_becomes_rows(tmp_path: Path) -> None:
    """As many in a cell as its value says, and anywhere in it; the same rows each time."""
    path = tmp_path / "a.data"
    path.write_text("# a title\n-90 -90 3\n-90 90 1\n90 -90 0\n90 90 4\n")
    rows = read(path)
    assert list(rows.columns) == ["phi", "psi"]
    assert rows.abs().max().between(179, 180).all()
    corners = rows.gt(0).value_counts(normalize=True)
    assert corners[True, True] == pytest.approx(0.5, abs=0.02)
    assert corners[False, False] == pytest.approx(0.375, abs=0.02)
    assert (True, False) not in corners
    pd.testing.assert_frame_equal(rows, read(path))


def test_a_list_of_cytometry_is_read(tmp_path: Path) -> None:
    words = {
        "$BYTEORD": "4,3,2,1", "$DATATYPE": "I", "$MODE": "L", "$TOT": "2 ", "$PAR": "3", "$P1N": "FSC-H",
        "$P2N": "FL1-H", "$P3N": "Time", "$P1B": "16", "$P2B": "16", "$P3B": "16",
    }  # fmt: skip
    text = "/" + "".join(f"{key}/{value}/" for key, value in words.items())
    numbers = np.array([[1, 1023, 3], [300, 5, 6]], dtype=">u2").tobytes()
    where = (256, 255 + len(text), 1000, 999 + len(numbers), 0, 0)
    head = "FCS2.0    " + "".join(f"{place:8d}" for place in where)
    path = tmp_path / "a.fcs"
    path.write_bytes((head.ljust(256) + text).encode().ljust(1000) + numbers + b"more")
    rows = read(path)
    assert rows.to_dict("list") == {"FSC-H": [1, 300], "FL1-H": [1023, 5], "Time": [3, 6]}
    path.write_bytes(path.read_bytes().replace(b"/$DATATYPE/I/", b"/$DATATYPE/F/"))
    with pytest.raises(InputError, match=r"a\.fcs: is not read as \.fcs \(no list of whole numbers"):
        read(path)


def test_numbers_that_stand_for_nothing_are_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_rows, "SETS", {"one": MixedSet("one.pq", ("id",), empty=(99.0,))})
    pd.DataFrame({"id": [1, 2], "u": [99.0, 21.5]}).to_parquet(tmp_path / "one.pq")
    assert mixed_rows.read_set("one", tmp_path)["u"].isna().tolist() == [True, False]


def test_sets_whose_file_is_missing_are_left_out(tmp_path: Path) -> None:
    frame(10).to_csv(tmp_path / SETS["fires"].file)
    assert list(there((), tmp_path)) == ["fires"]
    assert list(there(["adult"], tmp_path)) == ["adult"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"visits": 2.0}, "visits: type float64"),
        ({"city": "Bonn"}, "city: column 'city'"),
        ({"degrees": 20.05}, "degrees: column 'degrees'"),
        ({"paid": -1.0}, "paid: column 'paid'"),
        ({"paid": np.nan}, "paid: empty cells"),
    ],
)
def test_faults_are_named(change: dict[str, Any], said: str) -> None:
    rows = frame()
    drawn = rows.copy()
    for name, value in change.items():
        drawn[name] = drawn[name].astype(type(value)) if name == "visits" else drawn[name]
        drawn.loc[0, name] = value
    (found,) = faults(rows, drawn)
    assert found.startswith(said)
    assert faults(rows, frame(seed=1)) == ()
    assert faults(rows, drawn.drop(columns="year"))[0].startswith("columns city, visits")


def test_a_rule_between_columns_that_samples_break_is_a_fault() -> None:
    rows = frame(400)
    rows["land"] = rows["city"].map({"Oslo": "Norway", "Rome": "Italy", "Lima": "Peru"})
    assert faults(rows, rows) == ()
    drawn = rows.copy()
    drawn.loc[:3, "land"] = rows["land"][:4].map({"Norway": "Italy", "Italy": "Peru", "Peru": "Norway"})
    assert faults(rows, drawn) == ("land: 1.00% of the cells are not those that city tells",)


def between(lower: float, upper: float | None, resolution: float = 0.2) -> Bracket:
    return Bracket(
        resolution=resolution, upper=upper, upper_se=0.0, upper_95=upper, lower=lower, lower_se=0.0,
        lower_95=lower, rows=9, samples=9, density="samples",
    )  # fmt: skip


def test_a_summary_of_pairs() -> None:
    pairs = [
        Projection(columns=("a", "b"), bracket=(between(-0.5, 0.1), between(9, 9, 0.4)), least=0.0),
        Projection(columns=("a", "c"), bracket=(between(0.2, 0.3),), least=0.15),
    ]
    found = wrong(pairs, 0.2)
    assert (found.lower, found.upper) == pytest.approx((0.1, 0.2))
    assert (found.least, found.known, found.of) == (0.075, 1, 2)
    assert found.worst == (("a and c", 0.15),)
    assert wrong([*pairs, Projection(columns=("b",), bracket=(between(0, None),), least=0.0)], 0.2).plain()


@pytest.mark.parametrize("name", ["gaussian_copula", pytest.param("trees", marks=pytest.mark.slow)])
def test_peers_draw_rows_of_the_table_that_keep_what_goes_together(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("utrees" if name == "trees" else "pyvinecopulib")
    monkeypatch.setattr(mixed_models, "COPIES", 2)
    rows = frame()
    drawn = MODELS[name].draw(rows, 600, 0)
    assert len(drawn.samples) == 600
    assert faults(rows, drawn.samples) == ()
    own, others = (
        given.loc[given["city"] == "Oslo", "visits"].mean()
        - given.loc[given["city"] != "Oslo", "visits"].mean()
        for given in (rows, drawn.samples)
    )
    assert others == pytest.approx(own, abs=1.5)
    assert drawn.samples["degrees"].isna().mean() == pytest.approx(0.3, abs=0.08)
    assert (drawn.samples["paid"] == 0).mean() == pytest.approx(0.4, abs=0.08)


def test_few_rows_and_orders_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("utrees")
    monkeypatch.setattr(mixed_models, "UNMASKED", 600)
    assert MODELS["trees"].draw(frame(), 5, 0).note == "1 orders a row for 50, 100 of 400 rows"


class Certain:
    """Trees of two columns: the second is the first and one more, or the first is 5."""

    constant_vals_ = (None, None, 7.0)
    quantize_cols_ = (True, True, True)

    def __init__(self) -> None:
        self.trees_ = (self._of(1, -1.0), self._of(0, 1.0), None)

    @staticmethod
    def _of(other: int, more: float) -> Any:
        class Tree:
            def sample(self, rows: np.ndarray) -> np.ndarray:
                return np.where(np.isnan(rows[:, other]), 5.0, rows[:, other] + more)

        return Tree()


def test_cells_are_drawn_given_those_that_there_are() -> None:
    found = unmasked(Certain(), 200, 0)
    assert set(map(tuple, found.tolist())) == {(5.0, 6.0, 7.0), (4.0, 5.0, 7.0)}


def resampled(train: pd.DataFrame, count: int, seed: int) -> Drawn:
    """Rows of the training table, drawn again."""
    return Drawn(
        train.sample(count, replace=True, random_state=seed).reset_index(drop=True), 2.0, 1.0, "a note"
    )


def test_the_program_keeps_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(train: pd.DataFrame, count: int, seed: int) -> Drawn:
        asked.append(count)
        return resampled(train, count, seed)

    one = {"one": MixedSet("one.csv", ("number",))}
    for module in (mixed, mixed_rows):
        monkeypatch.setattr(module, "SETS", one)
    models = {"again": Model("rows again", counted, ())}
    monkeypatch.setattr(mixed, "MODELS", models)
    monkeypatch.setattr(mixed, "SAMPLES", 500)
    for name, value in {"SETS": one, "MODELS": models}.items():
        monkeypatch.setattr(f"benchmarks.mixed_table.{name}", value)
    frame(300).assign(number=range(300)).to_csv(tmp_path / "one.csv", index=False)
    readme = tmp_path / "README.md"
    readme.write_text("<!-- mixed -->\n<!-- /mixed -->\n")
    words = ["--data", str(tmp_path), "--results", str(tmp_path), "--readme", str(readme)]
    for more in ([], [], ["--again"]):
        done = CliRunner().invoke(main, [*words, *more], catch_exceptions=False)
        assert done.exit_code == 0
        assert "types, levels, grids and ends: as in the training table" in done.output
    few = CliRunner().invoke(main, [*words, "--rows", "100"], catch_exceptions=False)
    assert few.output.startswith("one, 100 rows, rows again: ")
    assert asked == [500, 500, 500]
    found, of_few = known(tmp_path).values()
    assert (of_few.train, of_few.held_out) == (100, 60)
    assert (found.train, found.held_out, found.samples) == (240, 60, 500)
    assert (found.columns.of, found.pairs.of) == (5, 10)
    assert found.columns.known == 0  # the law is that of the rows
    assert abs(found.auc - 0.5) < 5 * found.auc_se
    lines = readme.read_text().splitlines()
    assert lines[4].startswith("| one: rows again, a note | ")
    assert lines[4].endswith("| 2 | 1 |")
    assert lines[5].startswith("| one, 100 rows: rows again, a note | ")
    record = json.loads((tmp_path / "mixed-one-again-0.json").read_text())
    assert record["found"]["note"] == "a note"


def test_a_set_without_its_file_is_a_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--data", str(tmp_path), "--model", "ours"])
    assert done.exit_code == 2
    assert "adult.csv: no such file" in done.stderr


def test_a_model_that_is_not_installed_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed, "MODELS", {"none": Model("none", resampled, ("no-such-package",))})
    frame(10).to_csv(tmp_path / SETS["adult"].file)
    done = CliRunner().invoke(mixed.main, ["--data", str(tmp_path), "--set", "adult"])
    assert done.exit_code == 2
    assert "no-such-package is not installed" in done.stderr


def test_without_figures_the_table_says_so() -> None:
    assert table({}) == EMPTY
