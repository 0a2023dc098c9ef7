"""``jko describe``: a line a column, a file to edit, and what is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from flows.cli.main import cli
from jko.core.errors import InputError
from tasks.datasets.whole import read_whole
from tests.test_architecture import names_after

RNG = np.random.default_rng(0)
ROWS = 600
TABLE = pd.DataFrame(
    {
        "id": np.arange(ROWS) * 3,
        "visits": RNG.poisson(4, ROWS),
        "paid": np.where(RNG.random(ROWS) < 0.4, 0, RNG.gamma(2, 30, ROWS)),
        "channel": RNG.choice(["shop", "online", "phone"], ROWS),
        "day": (np.datetime64("2025-01-01") + RNG.integers(0, 90, ROWS)).astype(str),
        "age": np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.integers(18, 90, ROWS)),
        "note": [f"note {i}" for i in range(ROWS)],
    }
)
KINDS = ["index", "integer", "atoms", "categorical", "date", "integer", "text"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    TABLE.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


def described(*words: str | Path) -> Result:
    return CliRunner().invoke(
        cli, ["describe", *map(str, words)], catch_exceptions=False, standalone_mode=False
    )


def test_every_column_has_one_line_with_its_kind_and_why(table: Path) -> None:
    lines = described(table).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [*pair] for pair in zip(TABLE.columns, KINDS, strict=True)
    ]
    holes = 100 * TABLE["age"].isna().mean()
    assert f"{holes:.3g} % missing" in lines[5]
    assert "0: " in lines[2]
    assert "its name says so; left out" in lines[0]
    assert "2025-01-01 … 2025-03-31" in lines[4]


def test_the_written_file_is_read_back_and_an_edit_of_it_is_used(table: Path, tmp_path: Path) -> None:
    kinds, again = tmp_path / "columns.yaml", tmp_path / "again.yaml"
    first = described(table, "--write", kinds)
    second = described(table, "--columns", kinds, "--write", again)
    assert first.stdout == second.stdout
    assert kinds.read_bytes() == again.read_bytes()

    edited = (
        kinds.read_text().replace("kind: integer\n", "kind: continuous\n", 1).replace("\n  low: 0\n", "\n", 1)
    )
    kinds.write_text(edited.replace("\n  dtype: int64\n", "\n", 1))
    lines = described(table, "--columns", kinds).stdout.splitlines()
    assert lines[1].split()[:2] == ["visits", "continuous"]

    kinds.write_text(kinds.read_text().replace("  - shop\n", ""))
    assert "WARNING: column 'channel': 'shop'" in described(table, "--columns", kinds).stdout


def test_json_has_the_encoded_columns_and_what_a_probability_means(table: Path) -> None:
    found = json.loads(described(table, "--json").stdout)
    assert [column["kind"] for column in found["columns"]] == KINDS
    assert found["encoded"] == ["visits", "paid/atom", "paid", "channel", "day", "age"]
    assert found["log_probability"] == {"of": "mixed", "one_draw": "bound"}
    assert found["columns"][2]["log_probability"] == {"of": "mixed", "one_draw": "bound"}
    assert found["rows"] == ROWS


def test_parquet_and_npy_are_read_with_their_types(tmp_path: Path) -> None:
    TABLE.assign(day=pd.to_datetime(TABLE["day"])).to_parquet(tmp_path / "rows.parquet")
    lines = described(tmp_path / "rows.parquet").stdout.splitlines()
    assert [line.split()[1] for line in lines] == KINDS
    np.save(tmp_path / "rows.npy", RNG.standard_normal((50, 2)))
    assert [line.split()[:2] for line in described(tmp_path / "rows.npy").stdout.splitlines()] == [
        ["x0", "continuous"],
        ["x1", "continuous"],
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.csv", None, "no such file"), ("rows.xlsx", "x", "not read"), ("rows.csv", "", "is empty"),
        ("rows.parquet", "x", "no table in Parquet's format"), ("rows.csv", "a,a\n1,2\n", "called 'a'"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused(
    name: str, content: str | None, told: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=told):
        described(tmp_path / name, "--write", tmp_path / "columns.yaml")
    assert not (tmp_path / "columns.yaml").exists()


def test_settings_say_how_a_file_is_read(tmp_path: Path) -> None:
    """What a sentence of the reader asks for can be given here, too."""
    file = tmp_path / "rows.csv"
    numbers = np.where(RNG.random(80) < 0.1, -999.0, RNG.normal(5, 1, 80))
    np.savetxt(file, np.c_[numbers, RNG.normal(0, 1, 80)], delimiter=",")
    with pytest.raises(InputError, match=r"data\.header=no for a row"):
        described(file)
    first = described(file, "--set", "data.header=no").stdout.splitlines()
    assert [line.split()[:2] for line in first] == [["x0", "atoms"], ["x1", "continuous"]]
    assert "data.missing_values=[-999]" in first[0]
    marked = described(
        file, "--set", "data.header=no", "--set", "data.missing_values=[-999]"
    ).stdout.splitlines()
    assert marked[0].split()[:2] == ["x0", "continuous"]
    assert f"{100 * (numbers == -999).mean():.3g} % missing" in marked[0]
    one = described(file, "--set", "data.header=no", "--set", "data.columns=[x1]").stdout.splitlines()
    assert [line.split()[0] for line in one] == ["x1"]
    with pytest.raises(InputError, match="no column 'x9'"):
        described(file, "--set", "data.header=no", "--set", "data.columns=[x9]")


def test_words_that_could_be_numbers_are_levels(tmp_path: Path) -> None:
    """Training refuses such a column by name; here it is text."""
    incomes = RNG.choice(["<=50K", ">50K"], 200)
    pd.DataFrame({"age": RNG.integers(18, 90, 200), "income": incomes}).to_csv(
        tmp_path / "rows.csv", index=False
    )
    found = described(tmp_path / "rows.csv")
    assert [line.split()[1] for line in found.stdout.splitlines()] == ["integer", "categorical"]
    assert "50K' and the like are taken as words" in found.stderr
    assert "format" not in found.stderr


def test_how_a_file_was_read_is_told(tmp_path: Path) -> None:
    """One line for people, and the same for programs."""
    frame = pd.DataFrame({"größe": RNG.normal(5, 1, 90).round(3), "wort": RNG.choice(["a b", "c;d"], 90)})
    place = tmp_path / "rows.csv.gz"
    frame.to_csv(place, index=False, sep=";", decimal=",", encoding="cp1252")
    how = "gzip, separator ';', decimal ',', WINDOWS-1252, quotes \", a line of names"
    assert described(place).stderr.splitlines()[0] == f"{place}: read as: {how}"
    assert json.loads(described(place, "--json").stdout)["read_as"] == how
    np.savez(tmp_path / "rows.npz", x=RNG.normal(size=(40, 2)), y=np.arange(40.0))
    chosen = described(tmp_path / "rows.npz", "--set", "data.array=x")
    assert "read as: NPZ, array 'x'" in chosen.stderr
    assert [line.split()[0] for line in chosen.stdout.splitlines()] == ["x0", "x1"]


def test_a_schema_of_another_table_is_refused(table: Path, tmp_path: Path) -> None:
    kinds = tmp_path / "columns.yaml"
    described(table, "--write", kinds)
    TABLE.drop(columns="age").to_csv(table, index=False)
    with pytest.raises(InputError, match="no column 'age', which the schema has"):
        described(table, "--columns", kinds)
    kinds.write_text("columns: [{name: a, kind: odd}]")
    with pytest.raises(InputError, match=r"columns\.yaml: column 'a': "):
        described(table, "--columns", kinds)


def test_names_of_a_parquet_file_that_a_terminal_would_obey_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a\x1b[31m": [1, 2]}).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(InputError, match="control character"):
        read_whole(tmp_path / "rows.parquet")


def test_many_rows_take_seconds_and_nothing_heavy(tmp_path: Path) -> None:
    """Processor time without the start: that of others on the machine is not counted."""
    pd.concat([TABLE] * 150).assign(id=np.arange(150 * ROWS)).to_csv(tmp_path / "rows.csv", index=False)
    start = time.process_time()
    assert described(tmp_path / "rows.csv").exit_code == 0
    assert time.process_time() - start < 3
    TABLE.to_csv(tmp_path / "few.csv", index=False)
    tops = {name.split(".")[0] for name in names_after(("describe", "few.csv"), tmp_path)}
    assert not tops & {"torch", "prefect", "mlflow", "dvc", "zarr", "matplotlib", "sklearn"}
