"""Seeded hostile settings, YAML and JSON: valid ones changed where formats are fragile, and ones made to hurt."""

# ruff: noqa: E501 (lists of inputs)

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from jko.config import Config
from jko.config.sections import BlockOverride
from jko.presets import preset_names

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
