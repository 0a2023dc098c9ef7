"""What is done to a file or folder of a finished chain."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.campaign.damage import Bench, Case

#: brackets within brackets
DEEP = 20_000


def flip(bench: Bench, path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def truncate(bench: Bench, path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))] if content else b"")


def empty(bench: Bench, path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def delete(bench: Bench, path: Path, draw: random.Random) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def swap(bench: Bench, path: Path, draw: random.Random) -> None:
    """Put the same file or folder of another block, or of the other chain, in its place."""
    others = sorted(twins(bench, path))
    if not others:
        return
    other = draw.choice(others)
    delete(bench, path, draw)
    shutil.copytree(other, path) if other.is_dir() else shutil.copy(other, path)


def twins(bench: Bench, path: Path) -> Iterator[Path]:
    """Files or folders that have the same part in another block or in the other chain."""
    own = path.relative_to(bench.work)
    for root in (bench.folder / "other", bench.folder / "whole"):
        for other in root.rglob(f"*{path.suffix}"):
            place = other.relative_to(root)
            same_kind = other.is_dir() == path.is_dir() and part_of(place) == part_of(own)
            if same_kind and not (root.name == "whole" and place == own):
                yield other


def part_of(place: Path) -> tuple[str, ...]:
    """A path without the names of blocks: equal for the same part of different blocks and chains."""
    return tuple("#" if "-" in name and name[0].isdigit() else name for name in place.parts)


def garble(bench: Bench, path: Path, draw: random.Random) -> None:
    """Valid JSON of other values; bytes at random where the file is none."""
    try:
        value = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError):
        path.write_bytes(draw.randbytes(path.stat().st_size))
        return
    path.write_text(garbled(value, draw))


def garbled(value: Any, draw: random.Random) -> str:
    """Other JSON than a value: one figure edited, one type changed, another top, or nested without end."""
    way = draw.choice(["edit", "edit", "edit", "type", "type", "drop", "top", "deep", "nan"])
    if way == "top":
        return draw.choice(["[]", "null", "{}", "0", '"text"', "true", "[[]]", '{"a": 1}'])
    if way == "deep":
        return "[" * DEEP + "]" * DEEP
    spots = list(leaves(value))
    if not spots:
        return "null"
    holder, key = draw.choice(spots)
    old = holder[key]
    if way == "drop":
        del holder[key]
    elif way == "nan":
        holder[key] = float(draw.choice(["nan", "inf"]))
    elif way == "type":
        holder[key] = draw.choice([v for v in (None, [], {}, "text", 3, -1.5, True, [[1]]) if v != old])
    else:
        holder[key] = edited(old, draw)
    return json.dumps(value)


def edited(old: Any, draw: random.Random) -> Any:
    """Another value of the same type."""
    if isinstance(old, bool) or old is None:
        return not old
    if isinstance(old, int | float):
        return draw.choice([old + 1, old * 10, -old - 1])
    if isinstance(old, str):
        return f"{old}0" if draw.random() < 0.5 or not old else f"{old[:-1]}{'1' if old[-1] != '1' else '2'}"
    return old


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every value inside a JSON value that is no mapping, with what holds it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        if isinstance(inner, dict | list) and inner:
            yield from leaves(inner)
        else:
            yield value, key


def replace_by_file(bench: Bench, path: Path, draw: random.Random) -> None:
    shutil.rmtree(path)
    path.write_text("{}")


FILE_WAYS: dict[str, Callable[[Bench, Path, random.Random], None]] = {
    "flipped": flip, "truncated": truncate, "emptied": empty, "deleted": delete, "swapped": swap,
    "garbled": garble,
}  # fmt: skip
FOLDER_WAYS = {"folder deleted": delete, "folder swapped": swap, "folder a file": replace_by_file}


def apply(bench: Bench, case: Case) -> bool:
    """Damage a file or folder; whether that changed what it says."""
    path = bench.work / case.place
    before = content_of(path)
    {**FILE_WAYS, **FOLDER_WAYS}[case.way](bench, path, case.random)
    return content_of(path) != before


def content_of(path: Path) -> Any:
    """What a file says: a JSON value, or its bytes; of a folder all files."""
    if path.is_dir():
        return {str(own.relative_to(path)): own.read_bytes() for own in path.rglob("*") if own.is_file()}
    if not path.exists():
        return None
    try:
        return (
            json.dumps(json.loads(path.read_text()), sort_keys=True)
            if path.suffix == ".json"
            else path.read_bytes()
        )
    except (ValueError, RecursionError, UnicodeDecodeError):
        return path.read_bytes()
