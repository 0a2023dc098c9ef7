"""One table in files of every kind: the same numbers, the same kinds of columns, and how it was read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc as ipc
import pytest
import zarr
from zarr.storage import ZipStore

from jko.columns.infer import infer
from jko.config import parse_config
from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.disk.identity import source_key
from tasks.datasets.files import load_file
from tasks.datasets.kinds import has_names, table_name
from tasks.datasets.whole import read_whole

RNG = np.random.default_rng(3)
ROWS = 80
TABLE = pd.DataFrame(
    {
        "id": np.arange(ROWS) + 1000,
        "height": RNG.normal(170, 9, ROWS).round(2),
        "visits": RNG.poisson(4, ROWS),
        "ward": RNG.choice(["A", "B", "C"], ROWS),
        "day": pd.Series(np.datetime64("2025-03-01", "us") + RNG.integers(0, 60, ROWS).astype("m8[D]")),
    }
)
NUMBERS = TABLE[["height", "visits"]].to_numpy()
KINDS = ["index", "continuous", "integer", "categorical", "date"]


def settings(path: Path, **data: Any) -> Data:
    return parse_config({"data": {"source": "file", "file": str(path), **data}, "steps": {"count": 1}}).data


def packed(path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(TABLE.to_csv(index=False).encode())


def streamed(path: Path) -> None:
    table = pa.Table.from_pandas(TABLE)
    with ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=30)


def zipped(path: Path) -> None:
    with ZipStore(path, mode="w") as store:
        zarr.create_array(store, data=NUMBERS, chunks=(30, 2))


#: file to what writes it, and what is said of how it was read
NAMED: dict[str, tuple[Callable[[Path], object], str]] = {
    "t.csv": (lambda path: TABLE.to_csv(path, index=False), "separator ',', decimal '.', UTF-8, no quotes"),
    "t.tsv": (lambda path: TABLE.to_csv(path, index=False, sep="\t"), "separator tab"),
    "t.CSV.GZ": (lambda path: TABLE.to_csv(path, index=False, compression="gzip"), "gzip, separator ','"),
    "t.tsv.gz": (lambda path: TABLE.to_csv(path, index=False, sep="\t"), "gzip, separator tab"),
    "t.csv.bz2": (lambda path: TABLE.to_csv(path, index=False), "bzip2, "),
    "t.csv.xz": (lambda path: TABLE.to_csv(path, index=False), "xz, "),
    "t.csv.zst": (packed, "zstd, "),
    "t.parquet": (TABLE.to_parquet, "Parquet"),
    "t.feather": (TABLE.to_feather, "Feather"),
    "t.arrow": (streamed, "Arrow"),
}
#: the same for arrays of numbers
UNNAMED: dict[str, tuple[Callable[[Path], object], str]] = {
    "t.npy": (lambda path: np.save(path, NUMBERS), "NPY"),
    "t.npz": (lambda path: np.savez(path, rows=NUMBERS), "NPZ, array 'rows'"),
    "t.zarr": (lambda path: zarr.create_array(str(path), data=NUMBERS, chunks=(30, 2)), "Zarr"),
    "t.zarr.zip": (zipped, "Zarr"),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_table_is_the_same_in_every_kind_of_file(name: str, tmp_path: Path) -> None:
    write, how = NAMED[name]
    write(tmp_path / name)
    table = load_file(settings(tmp_path / name))
    assert (table.name, table.columns) == ("t", ("height", "visits"))
    np.testing.assert_array_equal(table.rows, NUMBERS)
    assert [note for note in table.notes if "'id'" in note and "an index" in note]
    whole = read_whole(tmp_path / name)
    assert how in whole.how
    assert [column.kind for column in infer(whole.frame).columns] == KINDS


@pytest.mark.parametrize("name", UNNAMED)
def test_an_array_is_the_same_in_every_kind_of_file(name: str, tmp_path: Path) -> None:
    write, how = UNNAMED[name]
    write(tmp_path / name)
    table = load_file(settings(tmp_path / name))
    assert (table.name, table.columns) == ("t", ("x0", "x1"))
    np.testing.assert_array_equal(table.rows, NUMBERS)
    assert read_whole(tmp_path / name).how == how


def test_names_say_what_a_file_holds(tmp_path: Path) -> None:
    assert all(has_names(name) for name in NAMED)
    assert not any(has_names(name) for name in UNNAMED)
    assert not has_names(tmp_path)
    assert {table_name(f"a/{name}") for name in (*NAMED, *UNNAMED)} == {"t"}
    for name in ("t.xlsx", "t.npy.gz", "t.txt"):
        (tmp_path / name).write_text("x")
        with pytest.raises(InputError, match=r"are not read; allowed: \.csv and \.tsv"):
            read_whole(tmp_path / name)
    (tmp_path / "t.csv.dvc").write_text("x")
    with pytest.raises(InputError, match=r"give the file, .*t\.csv$"):
        read_whole(tmp_path / "t.csv.dvc")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x1f\x8b\x08\0", "name it .csv.gz"), (b"PAR1", "name it .parquet"),
        (b"ARROW1", "name it .feather"), (b"\x93NUMPY", "name it .npy"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_says_how_to_call_it(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content + b"\0" * 60)
    with pytest.raises(InputError, match=said):
        load_file(settings(tmp_path / "t.csv"))


def test_one_of_several_arrays_is_named(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "t.npz", X=NUMBERS, y=NUMBERS[:, 0])
    group = zarr.open_group(str(tmp_path / "t.zarr"), mode="w")
    group.create_array("X", data=NUMBERS)
    group.create_array("more/y", data=NUMBERS[:, 0])
    for name, other in (("t.npz", "y"), ("t.zarr", "more/y")):
        with pytest.raises(InputError, match=rf"2 arrays, 'X' \(80 × 2\), '{other}' \(80\).*data\.array=X"):
            load_file(settings(tmp_path / name))
        with pytest.raises(InputError, match=f"no array 'z'; it holds 'X'.*'{other}'"):
            load_file(settings(tmp_path / name, array="z"))
        np.testing.assert_array_equal(load_file(settings(tmp_path / name, array="X")).rows, NUMBERS)
        assert load_file(settings(tmp_path / name, array=other)).rows.shape == (ROWS, 1)


def test_the_content_of_a_folder_is_the_identity_of_its_data(tmp_path: Path) -> None:
    """One changed byte in a chunk, a file more, and the same files elsewhere."""
    for name in ("a.zarr", "b.zarr"):
        zarr.create_array(str(tmp_path / name), data=NUMBERS, chunks=(30, 2))

    def key(name: str, **data: Any) -> str:
        place = {"source": "file", "file": str(tmp_path / name), **data}
        return source_key(parse_config({"data": place, "steps": {"count": 1}}))

    before = key("a.zarr")
    assert before == key("b.zarr") != key("a.zarr", array="x")
    chunk = next(one for one in (tmp_path / "b.zarr" / "c").rglob("*") if one.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\7")
    assert key("b.zarr") != before
    (tmp_path / "a.zarr" / "more").write_text("x")
    assert key("a.zarr") != before


def test_columns_of_other_types_are_numbers_or_named(tmp_path: Path) -> None:
    """Decimals, integers with holes, lists, truth values and labels of rows."""
    exact = pa.array([2**53 + 1, None, 2**53, 3] * 20)
    table = pa.table(
        {
            "price": pa.array(range(ROWS), pa.decimal128(10, 2)),
            "count": pa.array([1, None, 3, 4] * 20),
            "far": exact,
            "flag": [True, False] * 40,
            "waited": pa.array([90, 30] * 40, pa.duration("s")),
            "day": pa.array([20_000, 20_001] * 40, pa.date32()),
            "tags": [["a"], ["b", "c"]] * 40,
            "__index_level_0__": RNG.permutation(ROWS),
        }
    )
    for name, write in (("t.parquet", pa.parquet.write_table), ("t.feather", pa.feather.write_feather)):
        write(table, str(tmp_path / name))
        asked = settings(tmp_path / name, missing="drop", columns=["price", "count"])
        assert load_file(asked).rows.tolist()[:3] == [[0, 1], [2, 3], [3, 4]]
        with pytest.raises(InputError, match=r"'far': integers beyond 2\^53"):
            load_file(settings(tmp_path / name, missing="drop"))
        whole = read_whole(tmp_path / name, settings(tmp_path / name, missing_values=[3]))
        assert "left out, lists or records: tags" in whole.notes
        assert "left out, an index: labels of rows without a name" in whole.notes
        assert list(whole.frame.columns) == ["price", "count", "far", "flag", "waited", "day"]
        kinds = {column.name: column.kind for column in infer(whole.frame).columns}
        assert (kinds["flag"], kinds["day"]) == ("boolean", "date")
        assert whole.frame["count"].isna().sum() == 40
        assert int(read_whole(tmp_path / name).frame["far"][0]) == 2**53 + 1


def test_numbers_and_words_are_text_where_many_are_words(tmp_path: Path) -> None:
    """A few words among numbers are a mistake; codes are levels where text is taken."""
    codes = RNG.choice(["1", "2", "3", "3a"], 200).tolist()
    pd.DataFrame({"code": codes, "x": RNG.normal(size=200)}).to_csv(tmp_path / "t.csv", index=False)
    whole = read_whole(tmp_path / "t.csv")
    assert "column 'code' holds numbers and words as '3a': taken as text" in whole.notes
    assert [column.kind for column in infer(whole.frame).columns] == ["categorical", "continuous"]
    assert sorted(set(whole.frame["code"])) == ["1", "2", "3", "3a"]
    with pytest.raises(InputError, match="'code' holds text '3a'"):
        load_file(settings(tmp_path / "t.csv"))

    pd.DataFrame({"code": [*codes[:3], "3a", *["1,5", "2,5"] * 90], "x": range(184)}).to_csv(
        tmp_path / "t.csv", index=False, sep=";"
    )
    with pytest.raises(InputError, match="'code' holds text '3a' at data row"):
        read_whole(tmp_path / "t.csv")


def test_marks_of_missing_numbers_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b;c\n1,5;?;-\n2,5;x;2\n?;y;3\n–;x;-\n4,5;x;5\n1,5;?;5\n")
    whole = read_whole(tmp_path / "t.csv")
    assert whole.frame["a"].isna().tolist() == [False, False, True, True, False, False]
    assert whole.frame["b"].tolist() == ["?", "x", "y", "x", "x", "?"]
    assert "column 'a': '?' and '–' among its numbers are missing cells" in whole.notes
    assert "column 'c': '-' among its numbers are missing cells" in whole.notes


def test_thousands_of_whole_numbers_stay_whole(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('v,p\n"1,234",0.5\n"2,345",1.5\n')
    whole = read_whole(tmp_path / "t.csv")
    assert [str(kind) for kind in whole.frame.dtypes] == ["int64", "float64"]
    assert whole.how == "separator ',', decimal '.', thousands ',', UTF-8, quotes \", a line of names"


def test_text_that_was_written_by_us_comes_back(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n'-x,1.5\n'=y,2.5\nit's,3.5\n")
    assert read_whole(tmp_path / "t.csv").frame["a"].tolist() == ["-x", "=y", "it's"]
