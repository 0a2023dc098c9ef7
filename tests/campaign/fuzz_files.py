"""Seeded hostile pictures, weights and stored arrays."""

# ruff: noqa: E501 (lists of inputs)

from __future__ import annotations

import io
import json
import random
import struct
import zlib

import numpy as np
from PIL import Image

from tests.campaign.fuzz_text import bytes_changed, json_text

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
