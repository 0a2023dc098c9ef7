"""How tables are written: read where the file says how, else refused with the way out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jko.config import parse_config
from jko.core.errors import InputError
from jko.disk.commit import CommitRecord
from jko.disk.identity import source_key
from jko.disk.layout import Layout
from jko.disk.manifest import Manifest
from jko.preparation.table import Marks, Table
from tasks.adapters.store import plan
from tasks.datasets.files import load_file, read_cells


def load(path: Path, content: str | bytes, **data: Any) -> Table:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_file(
        parse_config({"data": {"source": "file", "file": str(path), **data}, "steps": {"count": 1}}).data
    )


READ: dict[str, tuple[str | bytes, list[str], list[list[float]], dict[str, Any]]] = {
    "thousands": (
        'p,v\n20.629,"1,006,396"\n23.2,"936,526"\n',
        ["p", "v"],
        [[20.629, 1006396], [23.2, 936526]],
        {},
    ),
    "one group beside points": (
        'p,v\n1.5,"1,234"\n2.5,"2,345"\n',
        ["p", "v"],
        [[1.5, 1234], [2.5, 2345]],
        {},
    ),
    "one group, told": ('p\n"1,234"\n"2,345"\n', ["p"], [[1234], [2345]], {"thousands": "comma"}),
    "one comma, told": ('p\n"1,234"\n"2,345"\n', ["p"], [[1.234], [2.345]], {"decimal": ","}),
    "decimal comma": ('p,q\n"20,5",1\n"21,25",2\n', ["p", "q"], [[20.5, 1], [21.25, 2]], {}),
    "semicolons": (
        "T;D\n20,629;100,640\n23,202;117,258\n",
        ["T", "D"],
        [[20.629, 100.64], [23.202, 117.258]],
        {},
    ),
    "semicolons, integers first": ("n;T\n0;21,7\n1;24,1\n", ["n", "T"], [[0, 21.7], [1, 24.1]], {}),
    "semicolons, comma in header": ("T, C;D\n0;21,7\n1;24,1\n", ["T, C", "D"], [[0, 21.7], [1, 24.1]], {}),
    "both marks": ("p;q\n1.234,5;1\n2.345,6;2\n", ["p", "q"], [[1234.5, 1], [2345.6, 2]], {}),
    "point groups, told": (
        "p;q\n1.234;1,5\n2.345;2,5\n",
        ["p", "q"],
        [[1234, 1.5], [2345, 2.5]],
        {"thousands": "."},
    ),
    "three decimals in every cell": ("p,q\n1.234,7\n2.345,8\n", ["p", "q"], [[1.234, 7], [2.345, 8]], {}),
    "ungrouped thousands beside": ("p;q\n3.315;7\n1500;8\n", ["p", "q"], [[3.315, 7], [1500, 8]], {}),
    "a point shown elsewhere": ("p;q\n3.315;0.5\n287;8\n", ["p", "q"], [[3.315, 0.5], [287, 8]], {}),
    "a leading nought": ("p;q\n3.315;5\n0.287;8\n12;1\n", ["p", "q"], [[3.315, 5], [0.287, 8], [12, 1]], {}),
    "one group, told as points": (
        "p;q\n287;5\n3.315;8\n",
        ["p", "q"],
        [[287, 5], [3315, 8]],
        {"thousands": "."},
    ),
    "decimals, told as points": (
        "p;q\n287;5\n3.315;8\n",
        ["p", "q"],
        [[287, 5], [3.315, 8]],
        {"decimal": "."},
    ),
    "two groups beside one": ("p;q\n3.315;5\n1.234.567;8\n", ["p", "q"], [[3315, 5], [1234567, 8]], {}),
    "spaces": ("p,q\n1 234,1.5\n2 345 678,2\n999,3\n", ["p", "q"], [[1234, 1.5], [2345678, 2], [999, 3]], {}),
    "narrow spaces": ("p;q\n1\u202f234,5;1\n2\u00a0345,25;2\n", ["p", "q"], [[1234.5, 1], [2345.25, 2]], {}),
    "apostrophes": ("p,q\n1'234.5,1\n12’345,2\n", ["p", "q"], [[1234.5, 1], [12345, 2]], {}),
    "minus signs": ("x,y\n\u22121.5,2\n3,\u22124\n", ["x", "y"], [[-1.5, 2], [3, -4]], {}),
    "quotes": ('"a","b"\n"1.5","2"\n"3.5","4"\n', ["a", "b"], [[1.5, 2], [3.5, 4]], {}),
    "tabs": ("a\tb\n1.5\t2\n3\t4\n", ["a", "b"], [[1.5, 2], [3, 4]], {}),
    "spaces between, told": ("a b\n1.5  2\n3 4\n", ["a", "b"], [[1.5, 2], [3, 4]], {"separator": "space"}),
    "one column with commas, told": ("x\n20,5\n21,5\n", ["x"], [[20.5], [21.5]], {"separator": "semicolon"}),
    "spreadsheet's sep line": ("sep=;\na;b\n1,5;2\n3;4\n", ["a", "b"], [[1.5, 2], [3, 4]], {}),
    "byte order mark": (b"\xef\xbb\xbfa,b\n1,2.5\n3,4.5\n", ["a", "b"], [[1, 2.5], [3, 4.5]], {}),
    "UTF-16": ("a,b\n1,2.5\n3,4.5\n".encode("utf-16"), ["a", "b"], [[1, 2.5], [3, 4.5]], {}),
    "UTF-16, told": (
        "a,b\n1,2.5\n3,4.5\n".encode("utf-16-le"),
        ["a", "b"],
        [[1, 2.5], [3, 4.5]],
        {"encoding": "utf-16"},
    ),
    "Windows-1252": ("Höhe;Größe\n1,5;2\n3;4\n".encode("cp1252"), ["Höhe", "Größe"], [[1.5, 2], [3, 4]], {}),
    "Cyrillic, told": (
        "высота,b\n1,2\n3,4\n".encode("cp1251"),
        ["высота", "b"],
        [[1, 2], [3, 4]],
        {"encoding": "windows-1251"},
    ),
    "apostrophes around fields": (
        "'a';'b;c'\n'1.5';'2'\n'3.5';'4'\n",
        ["a", "b;c"],
        [[1.5, 2], [3.5, 4]],
        {},
    ),
    "spaces between names and numbers": ("a   bb\n1.5  2\n3    4\n", ["a", "bb"], [[1.5, 2], [3, 4]], {}),
    "marks of missing numbers": (
        "a,b\n1,2\n?,3\n4,5\n6,-\n",
        ["a", "b"],
        [[1, 2], [4, 5]],
        {"missing": "drop"},
    ),
    "an index by its name": (
        "PassengerId,x\n11,0.5\n7,1.5\n9,2.5\n",
        ["x"],
        [[0.5], [1.5], [2.5]],
        {},
    ),
    "an index of many digits": (
        "x,id\n0.5,9007199254740993\n1.5,9007199254740992\n2.5,9007199254740991\n",
        ["x"],
        [[0.5], [1.5], [2.5]],
        {},
    ),
    "an index that counts": ("n,x\n1,0.5\n2,1.5\n3,2.5\n", ["x"], [[0.5], [1.5], [2.5]], {}),
    "an index, told": (
        "n,x\n1,0.5\n2,1.5\n3,2.5\n",
        ["n", "x"],
        [[1, 0.5], [2, 1.5], [3, 2.5]],
        {"columns": ["n", "x"]},
    ),
    "identities left out, told": (
        "a,b\n9007199254740993,1\n9007199254740992,3\n",
        ["b"],
        [[1], [3]],
        {"columns": ["b"]},
    ),
    "CRLF": (b"a,b\r\n1,2\r\n3,4\r\n", ["a", "b"], [[1, 2], [3, 4]], {}),
    "comments": ("# by x\n# y\na,b\n1,2.5\n3,4.5\n", ["a", "b"], [[1, 2.5], [3, 4.5]], {}),
    "numpy's header": ("# a,b\n1.0,2.0\n3.0,4.5\n", ["a", "b"], [[1, 2], [3, 4.5]], {}),
    "pandas' names": ("0,1\n0.5,1.5\n1.5,2.5\n", ["0", "1"], [[0.5, 1.5], [1.5, 2.5]], {}),
    "pandas' index and names": (",0,1\n0,0.5,1.5\n1,2.5,3.5\n", ["0", "1"], [[0.5, 1.5], [2.5, 3.5]], {}),
    "pandas' index": (",x,y\n0,0.5,1.5\n4,2.5,3.5\n", ["x", "y"], [[0.5, 1.5], [2.5, 3.5]], {}),
    "R's row names": ('"","x"\n"1",0.5\n"2",1\n', ["x"], [[0.5], [1]], {}),
    "years as names": (
        "id,2019,2020\n1,3.5,2.7\n2,3.6,2.8\n",
        ["id", "2019", "2020"],
        [[1, 3.5, 2.7], [2, 3.6, 2.8]],
        {},
    ),
    "no header, told": ("5.1,3.5,a\n4.9,3.0,b\n", ["x0", "x1"], [[5.1, 3.5], [4.9, 3.0]], {"header": "no"}),
    "header of numbers, told": ("1,2\n3,4\n5,6\n", ["1", "2"], [[3, 4], [5, 6]], {"header": "yes"}),
    "blank lines at the end": ("a\n1.5\n2\n\n\n", ["a"], [[1.5], [2]], {}),
    "large integers": ("a,b\n1180591620717411303424,1\n2,3\n", ["a", "b"], [[2.0**70, 1], [2, 3]], {}),
    "dates left out": ("d,b\n01.02.2024,1\n03.02.2024,2\n", ["b"], [[1], [2]], {}),
    "labels left out": ("d,e,b\nA1,1.2.3,1\nA2,1.2.4,2\n", ["b"], [[1], [2]], {}),
    **{
        f"left out: {text}": (f"d,b\n{text},1\n{other},2\n", ["b"], [[1], [2]], {})
        for text, other in (
            ("2024-01-31", "2024-02-01"),
            ("1/31/2024", "2/1/2024"),
            ("2024-01", "2024-02"),
            ("12:30:01", "12:31:00"),
            ("12:30", "12:31"),
            ("5 January", "6 February"),
            ("Jan 5", "Feb 6"),
            ("B-7", "C-9"),
            ("small", "large"),
            ("12 Elm Road North", "14 Oak Lane"),
            ("1st", "2nd"),
        )
    },
    "currency left out, told": ("p,q\n$5,1.5\n$6,2\n", ["q"], [[1.5], [2]], {"columns": ["q"]}),
}


@pytest.mark.parametrize("name", READ)
def test_a_table_is_read_as_it_is_meant(name: str, tmp_path: Path) -> None:
    content, columns, rows, data = READ[name]
    table = load(tmp_path / "t.csv", content, **data)
    assert list(table.columns) == columns
    np.testing.assert_allclose(table.rows, rows, rtol=1e-14)


#: integers with German groups, or decimals: nothing says which
UNDECIDED = (("287", "13"), ("3.315", "11"), ("1.338", "131"))

REFUSED: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "a group or decimals": (
        'p,q\n"1,234",1\n"2,345",2\n',
        ("'1,234'", "data.thousands=comma reads it as 1234", "data.decimal=comma as 1.234"),
    ),
    "point groups beside decimal commas": (
        "p;q\n1.234;1,5\n2.345;2,25\n",
        ("'1.234'", "data.thousands=point"),
    ),
    **{
        f"point groups or decimals between {name}": (
            mark.join(("menge", "preis")) + "".join(f"\n{mark.join(row)}" for row in UNDECIDED) + "\n",
            ("'3.315'", "data.thousands=point reads it as 3315", "data.decimal=point as 3.315"),
        )
        for name, mark in (("semicolons", ";"), ("commas", ","), ("tabs", "\t"), ("pipes", "|"))
    },
    "comma groups or decimals between semicolons": (
        "menge;preis\n287;13\n3,315;11\n1,338;131\n",
        ("'3,315'", "data.thousands=comma reads it as 3315", "data.decimal=comma as 3.315"),
    ),
    "round thousands": ("p;q\n3.000;13\n287;131\n", ("'3.000'", "3000")),
    "three digits after every point between semicolons": ("p;q\n3.315;13\n1.338;131\n", ("'3.315'", "3315")),
    "decimal commas and points": ('p,q\n"20,5",1.5\n"21,25",2.5\n', ("'20,5'", "'1.5'", "data.decimal")),
    "dollars": ("p,q\n$5,1.5\n$6.50,2\n", ("'p'", "'$5'", "data.columns")),
    "euros": ("p,q\n5 €,1.5\n6.50 €,2\n", ("'p'", "'5 €'")),
    "per cent": ("p,q\n5%,1.5\n6.5%,2\n", ("'p'", "'5%'")),
    "units": ("p,q\n5kg,1.5\n6kg,2\n", ("'p'", "'5kg'")),
    "bounds": ("p,q\n<0.5,1\n<0.7,2\n0.9,3\n", ("'p'", "'<0.5'")),
    "accounting": ("p,q\n(5.00),1\n(6.00),2\n", ("'p'", "'(5.00)'")),
    "complex": ("p,q\n1+2j,1\n2+1j,3\n", ("'p'", "'1+2j'")),
    "hexadecimal": ("p,q\n0x1F,1\n0x2F,2\n", ("'p'", "'0x1F'")),
    "lakhs": ('p,q\n"12,34,567",1\n"1,05,000",2\n', ("'p'", "'12,34,567'")),
    "underscores": ("p,q\n5_000,1\n12_500,2\n", ("'p'", "'5_000'")),
    "errors": ("p,q\n0.13 ± 0.1,1\n0.2 ± 0.05,2\n", ("'p'", "'0.13 ± 0.1'")),
    "errors in brackets": ("p,q\n0.13(2),1\n0.25(3),2\n", ("'p'", "'0.13(2)'")),
    "fractions": ("p,q\n3/7,1\n1/2,2\n", ("'p'", "'3/7'")),
    "fractions and integers": ("p,q\n3/7,1\n1/2,2\n1,3\n2,4\n", ("'p'", "'3/7'")),
    "powers of ten": ("p,q\n1.5×10^3,1\n2×10^4,2\n", ("'p'", "'1.5×10^3'")),
    "ranges": ("p,q\n5-10,1\n10-20,2\n", ("'p'", "'5-10'")),
    "ranges with a dash": ("p,q\n5–10,1\n10–20,2\n", ("'p'", "'5-10'")),
    "words behind": ("p,q\n0.38 metres,1\n0.5 metres,2\n", ("'p'", "'0.38 metres'")),
    "words of some kinds behind": ("p,q\n3 weeks,1\n5 months,2\n1 week,2\n", ("'p'", "'3 weeks'")),
    "row of numbers and text": ("5.1,3.5,a\n4.9,3.0,b\n", ("'5.1, 3.5, a'", "data.header=no")),
    "row with a missing cell": ("NA,3.5\n1.2,2.2\n3.3,4.4\n", ("data.header=no",)),
    "row with a wrong cell": ("oops,3.5\n1.2,2.2\n3.3,4.4\n", ("data.header=no",)),
    "row of numbers": ("1.5\n2\n3\n", ("data.header=no", "data.header=yes")),
    "few integers under 0, 1": ("0,1\n5,6\n7,8\n", ("data.header",)),
    "blank line between": ("a\n1\n\n3\n", ("'a'", "empty cell at data row 2")),
    "names alike": ("a,a,b\n1,2,3\n4,5,6\n", ("'a'", "two columns")),
    "escape in a name": (b"a\x1b[31m,b\n1,2\n3,4\n", (r"'a\x1b[31m'", "control character")),
    "direction in a name": ("a\u202eb,c\n1,2\n3,4\n", (r"'a\u202eb'", "control character")),
    "line end in a name": ('"a\nb",c\n1,2\n3,4\n', (r"'a\nb'",)),
    "formula": ("=cmd(),b\n1,2\n3,4\n", ("'=cmd()'", "formula")),
    "formula of another kind": ("a,@b\n1,2\n3,4\n", ("'@b'", "formula")),
    "escape in a cell": (b"a,b\n1,2\n\x1b[31mx,3\n4,5\n", (r"'\x1b[31mx'", "row 2")),
    "long name": (b"a" * 1000 + b",b\n1,2\n3,4\n", ("1000 characters",)),
    "long field": (b"a,b\n" + b"x" * 1_000_000 + b",2\n1,3\n", ("field",)),
    "NUL bytes": (b"a,b\n1,2\n\0,4\n", ("NUL",)),
    "Cyrillic without an encoding": (
        "высота,b\n1,2\n3,4\n".encode("cp1251"),
        ("byte 0 is no UTF-8", "data.encoding=windows-1251"),
    ),
    "a sign that Western text has not": (b"a\x81,b\n1,2\n3,4\n", ("byte 1 is no UTF-8", "data.encoding")),
    "another encoding far down": (
        b"a,b\n" + b"1,2\n" * 300_000 + "0,слово\n".encode("cp1251"),
        ("byte 1200006 is no UTF-8",),
    ),
    "Git LFS pointer": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        ("Git LFS", "git lfs pull"),
    ),
    "spreadsheet": (b"PK\x03\x04" + b"\0" * 50, ("spreadsheet",)),
    "identities": ("a,b\n9007199254740993,1\n9007199254740992,3\n", ("'a'", "2^53")),
    "one field too many": ("a,b\n1,2\n3,4,5\n", ("line 3",)),
    "decimal commas without quotes": ("x\n20,5\n21,5\n", ("data.separator",)),
    "infinite in another dialect": ("a;b\ninf;1,5\n2;2,5\n3;1\n", ("'a'", "infinite", "row 1")),
    "infinite beside three decimals": ("a,b\ninf,1.500\ninf,2.501\n3,1.234\n", ("'a'", "infinite", "row 1")),
    "text in another dialect": ("a;b\n1;1,5\n2;oops\n3;1,5\n", ("'b'", "'oops'", "row 2")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_meant_in_two_ways_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    content, says = REFUSED[name]
    with pytest.raises(InputError) as raised:
        load(tmp_path / "t.csv", content)
    said = str(raised.value)
    assert all(part in said for part in says), said
    assert "\n" not in said
    assert "\x1b" not in said
    assert len(said) < 500


def test_sentences_say_how_numbers_were_read_and_what_was_left(tmp_path: Path) -> None:
    table = load(tmp_path / "t.csv", ";T;d\n0;1,5;x\n1;2,5;y\n")
    assert any("decimal comma" in note for note in table.notes)
    assert any("an index" in note for note in table.notes)
    assert "left out, not numeric: d" in table.notes


@pytest.mark.parametrize(
    ("content", "marks", "first"),
    [
        ("p;q\n287;1\n3.315;2\n", (",", "."), 3315),
        ("p;q\n287;1\n3.315;2\n", (",", ""), 3315),
        ("p;q\n287;1\n3.315;2\n", (".", ""), 3.315),
        ("p;q\n287;1\n3,315;2\n", (".", ","), 3315),
        ("p;q\n1,338;1\n3,315;2\n", (".", ","), 3315),
        ("p;q\n287;1\n3,315;2\n", (",", ""), 3.315),
        ("p;q\n287;1,5\n3.315;2\n", (",", "."), 3315),
        ("p;q\n287;0.5\n3.315;2\n", (",", "."), 3.315),  # what the file itself shows comes first
    ],
)
def test_marks_of_a_like_file_decide_where_the_file_does_not(
    content: str, marks: tuple[str, str], first: float, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(content)
    data = {"source": "file", "file": str(tmp_path / "t.csv")}
    chosen = parse_config({"data": data, "steps": {"count": 1}}).data
    assert read_cells(chosen, Marks(*marks)).frame["p"].iloc[1] == first


@pytest.mark.parametrize(
    ("content", "marks"),
    [
        ("a;b\n1,5;2\n3;4\n", Marks(",", "")),
        ("a;b\n1.234,5;2\n3;4\n", Marks(",", ".")),
        ("a,b\n1.5,2\n3,4\n", Marks(".", "")),
        ("a,b\n1,2\n3,4\n", None),
    ],
)
def test_a_table_keeps_the_marks_that_its_file_shows(
    content: str, marks: Marks | None, tmp_path: Path
) -> None:
    assert load(tmp_path / "t.csv", content).marks == marks


@pytest.mark.parametrize(
    ("numbers", "index"),
    [
        ([0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4], True),  # frames one under another
        ([1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3], True),
        ([0, 1, 1, 2, 3, 4, 5, 7, 8, 8, 9, 10], True),
        ([3, 0, 7, 7, 1, 2, 5, 5, 9, 10, 11, 4], True),  # drawn with repeats
        ([2, 0, 1, 1, 0, 3, 2, 1, 0, 2, 1, 1], False),  # counts
        ([5, 50, 50, 12, 70, 31, 44, 44, 20, 61, 90, 1], False),
    ],
)
def test_integers_that_number_the_rows_are_an_index(numbers: list[int], index: bool, tmp_path: Path) -> None:
    lines = "".join(f"{number},{i / 7:.4f},{i % 5}.25\n" for i, number in enumerate(numbers))
    table = load(tmp_path / "t.csv", ",x,y\n" + lines)
    assert (table.columns == ("x", "y")) == index
    assert any("an index" in note for note in table.notes) == index


def test_marked_cells_are_missing(tmp_path: Path) -> None:
    content = "a,b\n1,2\n-999,3\n4,1e20\n5,6\n"
    with pytest.raises(InputError, match=r"'a' has an empty cell at data row 2 \(2 in all\)"):
        load(tmp_path / "t.csv", content, missing_values=[-999, 1e20])
    table = load(tmp_path / "t.csv", content, missing_values=[-999, 1e20], missing="drop")
    assert table.rows.tolist() == [[1, 2], [5, 6]]
    assert table.notes[0] == "data.missing_values (-999, 1e+20) marks 2 of 8 cells as missing"


def test_marks_of_float32_arrays_are_found(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[1.0], [1e20], [3.1]], dtype=np.float32))
    data = {"source": "file", "file": str(tmp_path / "x.npy"), "missing": "drop", "missing_values": [1e20]}
    assert len(load_file(parse_config({"data": data, "steps": {"count": 1}}).data).rows) == 2


def test_settings_that_chains_never_heard_of_leave_their_data_as_they_are() -> None:
    """The key of the data as chains carry it that were made before these settings."""
    plain = parse_config({"data": {"source": "moons"}, "steps": {"count": 1}})
    assert source_key(plain) == "758331b9af91f8cd9c1a2367add09a691e554d5d745b83e21b9df411ab26c44a"
    marked = parse_config({"data": {"source": "moons", "missing_values": [-1]}, "steps": {"count": 1}})
    assert source_key(marked) != source_key(plain)


def test_a_chain_made_before_these_settings_needs_its_file_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manifest does not know them; under their defaults its data are the same."""
    layout = Layout(tmp_path / "chain")
    data = {"source": "file", "file": str(tmp_path / "gone.csv")}
    config = parse_config({"data": data, "steps": {"count": 1}})
    older = config.model_dump(mode="json")
    for name in ("missing_values", "header", "separator", "decimal", "thousands"):
        del older["data"][name]
    monkeypatch.setattr(
        plan, "known_manifest", lambda _: Manifest(format=1, config=older, data_digest="d", fingerprints=())
    )
    monkeypatch.setattr(
        plan, "read_commit", lambda _: SimpleNamespace(record=CommitRecord(source_key="known"))
    )
    assert plan.stored_source_key(config, layout) == "known"
    other = parse_config({"data": {**data, "header": "no"}, "steps": {"count": 1}})
    assert plan.stored_source_key(other, layout) is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"decimal": "comma", "thousands": ","}, "both comma"),
        ({"separator": "x"}, "data.separator = 'x'"),
        ({"header": 3}, "data.header = 3"),
        ({"missing_values": [float("inf")]}, "data.missing_values"),
        ({"columns": []}, "data.columns = []"),
    ],
    ids=str,
)
def test_impossible_dialects_are_refused(data: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match="data") as raised:
        parse_config({"data": {"source": "moons", **data}, "steps": {"count": 1}})
    assert says in str(raised.value)


NUMBERS = st.lists(
    st.tuples(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6)), min_size=3, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(cells=NUMBERS, decimal=st.sampled_from([".", ","]), separator=st.sampled_from([";", "\t"]))
def test_written_in_any_dialect_the_numbers_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[int, int]], decimal: str, separator: str
) -> None:
    """Two decimals everywhere leave nothing to guess."""
    lines = [separator.join(f"{value / 100:.2f}".replace(".", decimal) for value in row) for row in cells]
    content = f"a{separator}b\n" + "\n".join(lines) + "\n"
    rows = load(tmp_path_factory.mktemp("d") / "t.csv", content).rows
    np.testing.assert_allclose(rows, np.array(cells) / 100)


@settings(max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=300) | st.text(alphabet="01.,;\"'\n -+e=ab\t%$", max_size=120).map(str.encode)
)
def test_any_bytes_are_a_table_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    said, table = "", None
    try:
        table = load(tmp_path_factory.mktemp("d") / "t.csv", content)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert said or (table is not None and np.isfinite(table.rows).all())
