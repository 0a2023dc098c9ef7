"""Seeded hostile settings and files: valid ones changed where formats are fragile, and ones made to hurt."""

# ruff: noqa: E501 (lists of inputs)

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel

from flows.settings import preset_names
from jko.config import Config
from jko.sections import BlockOverride

WORDS = (
    "", "0", "1", "-1", "2", "0.5", "1e300", "1e-300", "-1e-300", "1e999", ".nan", ".inf", "-.inf", "nan",
    "1" * 23, "9" * 400, str(2**53), str(2**63), "0x10", "1_000", "0o17", "1:30", "2001-01-01",
    "2001-13-45", "true", "off", "on", "no", "null", "~", "[]", "{}", "[[]]", "[1, 2]", "[0.5, 1e300]",
    "[.nan]", "[-1]", "[x, x]", "['']", "{a: 1}", "{1: {iterations: 3}}", "!!float x", "!!int x",
    "!!python/object:os.system x", "!!binary x", "!!set {a, b}", "!!omap [a: 1]", "!!timestamp x",
    "!!null x", "!!bool x", "!foo bar", "&a [*a]", "*a", "<<: *a", "{<<: 1}", "[" * 3000, "{a: " * 2000,
    "'", '"', "\\", "\x00", "\x1b[31mred", "\u202e", "\udc80", "😀", "%", "|", ">", "? a", "- a", "a: b: c",
    "\t1", "x" * 5000, "[" + "1," * 3000 + "]", "/etc/passwd", "/dev/zero", "/dev/stdin", "..", "~root",
    "cpu", "cuda", "cuda:99", "cuda:" + "9" * 400, "moons", "file", "none", "class", "[class]",
    "standard_gaussian", "banana", "emd", "residual", "euler", "float64", "forward_euler",
)  # fmt: skip


def settings_keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Every dotted key of the settings, sections among them."""
    for name, field in model.model_fields.items():
        yield prefix + name
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settings_keys(inner, f"{prefix}{name}.")


KEYS = (*settings_keys(), *(f"blocks.{k}.{name}" for k in (1, 2, 9) for name in ("iterations", "step_size")))
ODD_KEYS = (
    "", ".", "..", "steps.", ".steps", "steps..count", "seed.x", "blocks.0.iterations", "blocks.x.iterations",
    "blocks." + "9" * 30 + ".iterations", "blocks.-1.clip", "blocks.1", "blocks.1.hidden", "data.file.name",
    "Steps.count", " steps.count ", "steps.count\n", "\x1b[2J", "a." * 3000 + "b", "steps.count.x.y", "__class__",
    "model_config", "data.columns.0", "network.hidden.0", "²", "blocks.².clip", "[", "{}",
)  # fmt: skip


def settings(draw: random.Random) -> dict[str, Any]:
    """Words of ``--set``, a preset and a seed as the command line gives them."""
    assignments = []
    for _ in range(draw.choice((1, 1, 2, 4))):
        key = draw.choice(ODD_KEYS) if draw.random() < 0.08 else draw.choice(KEYS)
        way = draw.random()
        value = near(draw, key) if way < 0.6 else number_text(draw) if way < 0.75 else draw.choice(WORDS)
        assignments.append(key if draw.random() < 0.02 else f"{key}={value}")
    odd = ("../smoke", "", "smoke.yaml", "/etc/passwd", "\x00", "SMOKE", "x" * 300, "a/b")
    preset = draw.choice(odd) if draw.random() < 0.03 else draw.choice(preset_names())
    seed = draw.choice([None] * 60 + [0, 2**53 - 1, -1, 10**22, 2**63])
    return {"preset": preset, "assignments": assignments, "seed": seed}


def near(draw: random.Random, key: str) -> str:
    """A value like the default of a setting: of its choices, or a number of its size."""
    field: Any = None
    model: Any = Config
    for part in key.split("."):
        model = BlockOverride if model is Config and part.isdigit() else model
        if not isinstance(model, type) or part not in getattr(model, "model_fields", {}):
            continue
        field = model.model_fields[part]
        model = field.annotation
    if field is None:
        return "1"
    literals = " ".join(re.findall(r"Literal\[([^\]]*)\]", str(field.annotation)))
    words = re.findall(r"'(\w+)'", literals)
    default = field.get_default(call_default_factory=True)
    if words:
        return draw.choice(words)
    if isinstance(default, bool):
        return draw.choice(("true", "false"))
    if isinstance(default, int):
        return str(draw.choice((default, default + 1, max(default // 3, 1), 2 * default, 1, 2, 100)))
    if isinstance(default, float):
        return repr(default * draw.choice((1, 0.5, 0.1, 1.5, 0)))
    if isinstance(default, tuple) and default:
        return json.dumps([draw.choice(default) for _ in range(draw.randint(1, 3))])
    return draw.choice(("null", "0.5", "3", "[0.5, 0.7]", "{}", "[x]", "[0.3]"))


def number_text(draw: random.Random) -> str:
    """A number, small, usual, large or on an edge."""
    way = draw.randrange(4)
    if way == 0:
        return str(draw.choice([0, 1, 2, 3, 7, 10, 64, 1000, 1001, 8192, 8193, 10**8, 10**8 + 1]))
    if way == 1:
        return repr(draw.choice([-1, 1]) * 10 ** draw.uniform(-320, 308))
    return repr(round(draw.uniform(0, 3), 3))


def yaml_text(draw: random.Random, valid: str) -> bytes:
    """A file of settings that something happened to."""
    lines = valid.strip().splitlines()
    for _ in range(draw.randint(1, 3)):
        i = draw.randrange(len(lines))
        way = draw.randrange(9)
        if way == 0:
            lines.insert(i, draw.choice(lines))
        elif way == 1:
            del lines[i]
        elif way == 2:
            key = lines[i].partition(":")[0]
            lines[i] = f"{key}: {draw.choice(WORDS)}"
        elif way == 3:
            lines[i] = "\t" + lines[i]
        elif way == 4:
            lines[i] = lines[i].replace(":", "", 1)
        elif way == 5:
            lines[i] = draw.choice(
                (
                    "- a",
                    "<<: {seed: 1}",
                    "--- ",
                    "...",
                    "%YAML 9",
                    "? [a]: b",
                    "&x a: *x",
                    "a: &a [*a]",
                    "a: &a {b: *a}",
                    "1: 2",
                    "null: 1",
                    "[a]: 1",
                    "2001-01-01: 1",
                )
            )
        elif way == 6:
            lines[i] = text_changed(draw, lines[i])
        else:
            lines[i] = f"{draw.choice(KEYS)}: {number_text(draw)}"
        lines = lines or [""]
    return bytes_changed(draw, "\n".join(lines).encode("utf-8", "surrogatepass"), often=0.15)


def text_changed(draw: random.Random, text: str) -> str:
    """One character more, fewer or another."""
    i = draw.randrange(len(text) + 1)
    return (
        text[:i] + draw.choice(("", "\x00", "'", '"', "{", "]", "#", "\u2028", "é", "-", "1")) + text[i + 1 :]
    )


def bytes_changed(draw: random.Random, content: bytes, often: float = 0.3) -> bytes:
    """Sometimes bytes that were flipped, cut off, doubled, zeroed or put before the content."""
    if draw.random() >= often or not content:
        return content
    data = bytearray(content)
    way = draw.randrange(7)
    if way == 0:
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif way == 1:
        del data[draw.randrange(len(data)) :]
    elif way == 2:
        i = draw.randrange(len(data))
        data[i:i] = data[i : i + draw.randint(1, 64)]
    elif way == 3:
        i = draw.randrange(len(data))
        data[i : i + 16] = bytes(len(data[i : i + 16]))
    elif way == 4:
        data[:0] = draw.choice(
            (b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"\x00" * 8)
        )
    elif way == 5:
        data = bytearray(draw.randbytes(draw.choice((1, 4, 100, 5000))))
    else:
        data = bytearray()
    return bytes(data)


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
    return bytes_changed(draw, text.encode(encoding, "replace"), often=0.06), table_settings(draw, names)


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


def table_settings(draw: random.Random, names: list[str]) -> list[str]:
    """``--set`` words for a table."""
    found = [f"data.missing={draw.choice(('refuse', 'drop'))}"] if draw.random() < 0.5 else []
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
            archive.writestr("x.npy", b"not one")
    else:
        return b"x,y\n1,2\n"
    return stream.getvalue()


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "F", "YCbCr", "HSV", "LAB")
FORMATS = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "tif": "TIFF", "gif": "GIF", "webp": "WEBP"}


def picture(draw: random.Random) -> tuple[bytes, str]:
    """A picture file and its ending."""
    way = draw.randrange(24)
    if way == 0:
        return png_of_size(draw), "png"
    if way <= 2:
        return float_tiff(draw), "tif"
    ending = draw.choice(tuple(FORMATS))
    size = draw.choice(((1, 1), (1, 9), (2, 2), (8, 8), (33, 20), (200, 150)))
    content = encoded(draw, ending, size)
    if draw.random() < 0.1:
        ending = draw.choice(tuple(FORMATS))
    return bytes_changed(draw, content, often=0.4), ending


def encoded(draw: random.Random, ending: str, size: tuple[int, int]) -> bytes:
    """A picture of some mode in a format, or of the next mode that the format can hold."""
    rng = np.random.default_rng(draw.getrandbits(32))
    level = draw.choice((0, 1, 128, 254, 255))
    flat = draw.random() < 0.3
    grey = np.full(size[::-1], level) if flat else rng.integers(0, 256, size[::-1])
    for mode in (draw.choice(MODES), "L", "RGB"):
        stream, options = io.BytesIO(), {}
        try:
            one = Image.fromarray(grey.astype(np.uint8)).convert(
                mode if mode not in ("I;16", "LAB", "HSV") else "L"
            )
            if mode == "I;16":
                one = Image.fromarray((grey * draw.choice((0, 1, 257))).astype(np.uint16))
            if draw.random() < 0.1:
                exif = Image.Exif()
                exif[0x0112] = draw.choice((0, 3, 6, 8, 9, 65535))
                options["exif"] = exif
            if ending in ("gif", "webp", "png", "tif") and draw.random() < 0.1:
                options |= {"save_all": True, "append_images": [one, one]}
            if ending == "png" and draw.random() < 0.1:
                options["transparency"] = 0
            one.save(stream, FORMATS[ending], **options)
        except (ValueError, OSError, KeyError, TypeError):
            continue
        return stream.getvalue()
    return b""


def png_of_size(draw: random.Random) -> bytes:
    """A small PNG file that claims, or unpacks to, a large picture."""
    width, height = draw.choice(((13_000, 13_000), (30_000, 30_000), (2**31 - 1, 1), (1, 2**31 - 1), (0, 5), (2**16, 9),
                                 (5_000, 4_000), (1, 60_000)))  # fmt: skip
    depth, colour = draw.choice(((1, 0), (8, 0), (8, 2), (16, 0)))
    rows = min(height, draw.choice((1, 100, 13_000)))
    line = 1 + (width * depth * (3 if colour == 2 else 1) + 7) // 8
    packer = zlib.compressobj(1)
    row = bytes(min(line, 2_000_000))  # the claim may be larger than any memory
    data = (
        b"".join(packer.compress(row) for _ in range(rows if line * rows < 2e8 and line < 2e6 else 1))
        + packer.flush()
    )
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def float_tiff(draw: random.Random) -> bytes:
    """A TIFF of floats or deep integers with values that are no greys."""
    rng = np.random.default_rng(draw.getrandbits(32))
    values = rng.random((12, 10)).astype(np.float32)
    some = rng.random(values.shape) < draw.choice((0.02, 0.5, 1.0))
    values[some] = draw.choice((np.nan, np.inf, -np.inf, -9999.0, 0.0, 1e38, 3e38, -1e-40))
    one = (
        Image.fromarray(values) if draw.random() < 0.7 else Image.fromarray((values * 0 + 7).astype(np.int32))
    )
    stream = io.BytesIO()
    one.save(stream, "TIFF")
    return bytes_changed(draw, stream.getvalue(), often=0.2)


def json_text(draw: random.Random, valid: str) -> bytes:
    """JSON text in which values, types or the text itself are others."""
    way = draw.randrange(8)
    if way == 0:
        return draw.choice((b"[]", b"null", b"{}", b"0", b'"x"', b"[" * 100_000, b'{"a":' * 50_000, b"[" * 900 + b"]" * 900,
                            b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b'"\\ud800"', b"{,}", b"\xff", b"{}{}"))  # fmt: skip
    text = json.dumps(changed_value(draw, json.loads(valid)))
    if way == 1:
        text = text.replace(
            draw.choice('{}[]:,"0123456789'), draw.choice(("", "[", "1e999", "9" * 5000, "\x00", "NaN")), 1
        )
    return bytes_changed(draw, text.encode(draw.choice(("utf-8",) * 8 + ("utf-16", "utf-8-sig"))), often=0.15)


JSON_VALUES = (
    None, True, False, 0, 1, -1, 3, 0.5, -0.5, 1e308, float("nan"), float("inf"), 10**30, 2**63, "", "x", "0", "../x", "a[/b]",
    "\x1b[31m", "\x00", "/etc", [], {}, [[]], [1], ["x"], {"a": 1}, "x" * 3000, [0] * 500, "\ud800",
)  # fmt: skip


def changed_value(draw: random.Random, value: Any) -> Any:
    """A JSON value with one to three places changed, gone, doubled or new."""
    for _ in range(draw.randint(1, 3)):
        spots = list(spots_of(value))
        if not spots:
            return draw.choice(JSON_VALUES)
        holder, key = draw.choice(spots)
        way = draw.randrange(6)
        if way == 0:
            del holder[key]
        elif way == 1 and isinstance(holder, dict):
            holder[draw.choice(("", "x", "format", "seed", "../x", "1", "blocks"))] = draw.choice(JSON_VALUES)
        elif way == 2 and isinstance(holder, list):
            holder.append(draw.choice((holder[0], *JSON_VALUES)))
        else:
            holder[key] = draw.choice(JSON_VALUES)
    return value


def spots_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items)[:60]:
        yield value, key
        yield from spots_of(inner)


def safetensors(draw: random.Random, valid: bytes) -> bytes:
    """A weights file whose table of tensors lies, or whose numbers are none."""
    length = int.from_bytes(valid[:8], "little")
    table, data = json.loads(valid[8 : 8 + length]), bytearray(valid[8 + length :])
    way = draw.randrange(9)
    if way == 0:
        claimed = draw.choice((0, 1, 7, length - 1, length + 8, 2**31, 2**63, 2**64 - 1, len(valid)))
        return claimed.to_bytes(8, "little") + valid[8:]
    if way == 1:
        return valid[: draw.randrange(len(valid))]
    if way == 2:
        spot = draw.randrange(len(data) // 4) * 4
        data[spot : spot + 4] = struct.pack("<f", draw.choice((np.nan, np.inf, -np.inf, 3e38, 1e-45)))
    elif way == 3:
        return bytes_changed(draw, valid, often=1.0)
    else:
        name = draw.choice([name for name in table if name != "__metadata__"])
        one = table[name]
        change = draw.randrange(7)
        if change == 0:
            one["shape"] = draw.choice(
                ([], [10**12], [0], [-1], [2**63, 2], one["shape"][::-1], [*one["shape"], 1], "x")
            )
        elif change == 1:
            one["dtype"] = draw.choice(("F64", "F16", "I8", "BOOL", "F8_E4M3", "X", 3, None))
        elif change == 2:
            one["data_offsets"] = draw.choice(([0, 0], [0, 4], [4, 0], [-4, 8], [0, 2**63], [1, 5], "x", [0]))
        elif change == 3:
            del table[name]
        elif change == 4:
            table[draw.choice(("x", "../x", "", "field.more"))] = table.pop(name)
        elif change == 5:
            table["__metadata__"] = draw.choice(({"a": 1}, [], "x", {"a": "b"}, None))
        else:
            table = draw.choice(([], None, {}, {"a": None}, 3))
    header = json.dumps(table).encode()
    return len(header).to_bytes(8, "little") + header + bytes(data)


def zarr_json(draw: random.Random, valid: bytes) -> bytes:
    """The description of a stored array or group, of other sizes, types and codecs."""
    value = json.loads(valid)
    way = draw.randrange(5)
    if way == 0 or "shape" not in value:
        return json_text(draw, valid.decode())
    if way == 1:
        value["shape"] = draw.choice(
            ([10**12], [10**12, 2], [0, 2], [-1, 2], [], [160], [2**63, 2], [1, 2], "x", [1.5, 2])
        )
    elif way == 2:
        sizes = draw.choice(([0, 2], [1, 1], [10**12, 2], [-1, 2], [], [7, 2], "x"))
        value["chunk_grid"]["configuration"]["chunk_shape"] = sizes
    elif way == 3:
        value["data_type"] = draw.choice(
            ("float64", "int8", "string", "float16", "bool", "x", None, {"name": "x"})
        )
    else:
        value["codecs"] = draw.choice(([], [{"name": "x"}], "x", value["codecs"][:1], value["codecs"][::-1],
                                       [*value["codecs"], {"name": "gzip", "configuration": {"level": 1}}]))  # fmt: skip
    return json.dumps(value).encode()
