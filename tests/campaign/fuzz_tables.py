"""Seeded hostile tables and arrays: CSV and NPY."""

# ruff: noqa: E501 (lists of inputs)

from __future__ import annotations

import io
import json
import random
import struct
import zipfile

import numpy as np

from tests.campaign.fuzz_text import bytes_changed

CELLS = (
    "", "NA", "nan", "NaN", "inf", "-inf", "Infinity", "1e308", "1e309", "-1e308", "1e-320", "1e20", "-999", "999999",
    "1" * 400, "1,234", "20,5", "$5", "5%", "1 234", "−3", "1\u00a0234", "1'234", "1_000", "0x1F", "1e", "--1",
    "TRUE", "yes", "2001-01-01", "12:30", "x", "=1+1", "@x", "\x1b[31m", "\x00", "😀", "½", "١٢", "1.2.3", "1;2",
    "#N/A", "null", "None", "(5)", "5-", "+5", " 5 ", '"5"', '"1,5"', "1e+05", "1d5", "9007199254740993",
)  # fmt: skip
NAMES = (
    "", " ", "x", "x", "1", "0", "5.1", "=cmd()", "@a", "+a", "-a", "\x1b[2Jred", "ä", "😀", "a b", "a,b", 'q"', "x" * 500,
    "class", "Unnamed: 0", "index", "log_density", "x.1", "[a/b]", "a\x00b", "\u202ea", "row", "part", "nan",
)  # fmt: skip


def csv(draw: random.Random) -> tuple[bytes, list[str]]:
    """A table and the settings that it is read with."""
    rows, width = draw.choice((1, 5, 30, 30, 60, 60, 60, 200)), draw.choice((1, 2, 2, 3, 5, 40))
    values = column_values(draw, rows, width)
    cells = [[cell(draw, value) for value in row] for row in values.tolist()]
    names = [draw.choice(NAMES) if draw.random() < 0.08 else f"c{i}" for i in range(width)]
    for _ in range(draw.choice((0, 0, 0, 1, 1, 4))):
        row = draw.randrange(rows)
        cells[row][draw.randrange(width)] = draw.choice(CELLS)
    if draw.random() < 0.1:  # a whole column of another kind
        column, kind = draw.randrange(width), draw.choice(CELLS)
        for row in cells:
            row[column] = kind if draw.random() < 0.7 else row[column]
    holed = draw.random() < 0.2
    for column in range(width) if holed else ():
        share = draw.choice((0, 0.05, 0.5, 0.95))
        for row in cells:
            row[column] = draw.choice(("", "", "NA", "nan")) if draw.random() < share else row[column]
    for _ in range(draw.choice((0,) * 12 + (1, 3))):  # ragged
        row = draw.choice(cells)
        row.append("1") if draw.random() < 0.5 or len(row) < 2 else row.pop()
    comma = draw.choice((",",) * 24 + (";", "\t", "|", " ", ", "))
    ending = draw.choice(("\n",) * 20 + ("\r\n", "\r", "\n\n", "\n\x00", "\u2028"))
    lines = [comma.join(row) for row in cells]
    if comma == ";" and draw.random() < 0.5:
        lines = [line.replace(".", ",") for line in lines]
    if draw.random() < 0.93:
        lines.insert(0, comma.join(names))
    if draw.random() < 0.1:
        lines.insert(
            draw.randrange(len(lines)), draw.choice(("# comment", "", '"', "sep=;", "unit,unit", ",,,"))
        )
    text = ending.join(lines) + draw.choice(("", ending, ending * 3, "\x1a"))
    encoding = draw.choice(("utf-8",) * 40 + ("utf-16", "latin-1", "utf-8-sig", "utf-32"))
    return bytes_changed(draw, text.encode(encoding, "replace"), often=0.06), table_settings(
        draw, names, holed=holed
    )


def column_values(draw: random.Random, rows: int, width: int) -> np.ndarray:
    """Values of columns: usual ones, and those that break assumptions."""
    rng = np.random.default_rng(draw.getrandbits(32))
    values = rng.normal(size=(rows, width))
    for column in range(width):
        way = draw.randrange(30)
        one = values[:, column]
        if way == 0:
            one[:] = draw.choice((0.0, 1.0, 1e12, -5.0))
        elif way == 1:
            one[:] = np.round(one * 2)
        elif way == 2:
            one *= 10.0 ** draw.uniform(-320, 307)
        elif way == 3:
            one += 10.0 ** draw.uniform(3, 17)
        elif way == 4:
            one[rng.random(rows) < 0.3] = 0.0
        elif way == 5:
            one[rng.random(rows) < 0.05] = draw.choice((1e20, 1e9, -999.0, 9.96921e36, 3.4e38, 1e300))
        elif way == 6 and column:
            one[:] = values[:, column - 1] * draw.choice((1.0, 1.8)) + draw.choice((0.0, 32.0))
        elif way == 7 and column:
            one[:] = 1 - values[:, :column].sum(axis=1)
        elif way == 8:
            one[:] = np.round(one, 1) + 1e-16 * rng.integers(-3, 4, rows)
    return values


def cell(draw: random.Random, value: float) -> str:
    return repr(value) if draw.random() < 0.9 else draw.choice((f"{value:.2f}", f"{value:.0f}", f"{value:e}"))


def table_settings(draw: random.Random, names: list[str], *, holed: bool = False) -> list[str]:
    """``--set`` words for a table; one with many holes is most often modelled with them."""
    words = ("refuse", "drop", *(("model",) * (6 if holed else 1)))
    found = [f"data.missing={draw.choice(words)}"] if holed or draw.random() < 0.5 else []
    if draw.random() < 0.15:
        found.append(f"data.columns={json.dumps(draw.sample(names, draw.randint(1, len(names))))}")
    if draw.random() < 0.15:
        found.append(f"data.context={json.dumps([draw.choice(names)])}")
    if draw.random() < 0.1:
        found.append(f"data.smoothing={draw.choice((0, 0.01, 5))}")
    if draw.random() < 0.1:
        found.append("data.standardise=off")
    if draw.random() < 0.1:
        found.append("data.dequantise=off")
    return found


TYPES = (
    "<f8", "<f4", "<f2", ">f8", ">i4", "<i8", "|u1", "|b1", "<c16", "<U5", "|S3", "|O", "<M8[s]", "<m8[ns]", "|V8",
    "<f16", "<u8", "[('a', '<f8')]", "", "f", "<f3", "<f-8", "x" * 100, "<f" + "8" * 50,
)  # fmt: skip
SHAPES = (
    "()", "(30,)", "(30, 2)", "(30, 2, 2)", "(0, 2)", "(30, 0)", "(1, 1)", "(1000000000000, 2)", "(2, 1000000000000)",
    "(-1, 2)", "(30, -2)", "(30.5, 2)", "('30', 2)", "(True, 2)", "[30, 2]", "30", "(" + "1," * 40 + ")", "None",
    "(" * 3000, f"({10**30}, 2)", "(99999999, 99999999)", "(31, 2)", "(29, 2)",
)  # fmt: skip
HEADERS = (
    "", "{", "{}", "[]", "0", "None", "(" * 5000, "[" * 5000, "{'descr': '<f8'}", "__import__('os')", "{'a': 1}",
    "{'descr': '<f8', 'fortran_order': 2, 'shape': (30, 2)}", "\x00" * 40, "é" * 30, "'" * 7, "1" * 5000,
    "{'descr': '<f8', 'fortran_order': False, 'shape': (30, 2), }\x00", "lambda: 0", "-" * 3000 + "1",
)  # fmt: skip


def npy(draw: random.Random) -> tuple[bytes, list[str]]:
    """An array file and the settings that it is read with."""
    way = draw.randrange(10)
    if way == 0:
        content = not_an_array(draw)
    elif way <= 5:
        rows, width = draw.choice((3, 30, 60, 200)), draw.choice((1, 2, 5))
        values = column_values(draw, rows, width)
        if draw.random() < 0.3:
            values[draw.randrange(rows), 0] = draw.choice((np.nan, np.inf, 1e308, 1e20, 1e44))
        kind = draw.choice(
            ("f8",) * 6 + ("f4", "f2", ">f8", "i8", "u1", "b1", "c16", "U8", "S8", "longdouble")
        )
        stream = io.BytesIO()
        with np.errstate(all="ignore"):
            np.save(stream, np.asarray(values).astype(kind), allow_pickle=False)
        content = stream.getvalue()
    else:
        header = draw.choice(HEADERS) if way == 6 else (
            f"{{'descr': {draw.choice(TYPES)!r}, 'fortran_order': {draw.choice((True, False))}, "
            f"'shape': {draw.choice(SHAPES)}, }}"
        )  # fmt: skip
        content = npy_file(
            draw, header, np.random.default_rng(draw.getrandbits(32)).normal(size=60).tobytes()
        )
    return bytes_changed(draw, content, often=0.15), table_settings(draw, ["x0", "x1"])


def npy_file(draw: random.Random, header: str, body: bytes) -> bytes:
    """An NPY file with a header of any text, and perhaps a length that lies."""
    version = draw.choice(((1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (4, 0), (0, 0), (255, 255)))
    text = header.encode("utf-8", "replace") + b"\n"
    length = draw.choice((len(text),) * 6 + (0, 1, 65535, 2**31, len(text) - 5))
    packed = struct.pack("<H", length % 65536) if version < (2, 0) else struct.pack("<I", max(0, length))
    return b"\x93NUMPY" + bytes(version) + packed + text + body[: draw.choice((480, 480, 480, 100, 0))]


def not_an_array(draw: random.Random) -> bytes:
    """What lies under the name of an array: an archive, a pickle, a pointer, text."""
    stream = io.BytesIO()
    way = draw.randrange(6)
    if way == 0:
        np.savez(stream, a=np.zeros((30, 2)), b=np.zeros(3))
    elif way == 1:
        np.save(stream, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    elif way == 2:
        return b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    elif way == 3:
        return b"\x80\x04\x95\x10\x00\x00\x00"
    elif way == 4:
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(
                zipfile.ZipInfo("x.npy"), b"not one"
            )  # without the time, so a case stays what it is
    else:
        return b"x,y\n1,2\n"
    return stream.getvalue()
