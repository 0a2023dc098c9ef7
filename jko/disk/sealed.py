"""JSON files: read only if they are what was written."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import JsonValue, ValidationError

from jko.core.digest import digest_of
from jko.core.plain import Json
from jko.core.records import Record
from jko.disk.durable import write_text

R = TypeVar("R", bound=Record)
#: key of the digest that a JSON file holds of all its other values
SEAL = "sealed"
#: bytes, levels and digits of an integer that no file of ours has
LARGEST, DEEPEST, DIGITS = 256_000_000, 40, 20
NESTED = (dict, list)
#: what reading a file says where there is none, and where the disk lost it
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EIO)


def write_json(path: Path, value: Json | Mapping[str, object]) -> None:
    """Write JSON atomically, readable by people; nan, infinity and what is no JSON are refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value of a file, or ``None`` if it is absent or damaged (see :func:`parse_json`).

    Raises:
        OSError: the file is there and cannot be read now: what cannot be read is not damaged.
    """
    try:
        return parse_json(_content(path))
    except ValueError:
        return None
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise


def read_verified(path: Path) -> Any:
    """The JSON value of a file whose bytes were verified just now.

    Raises:
        OSError: it cannot be read any more, which is tried again.
        ValueError: it is no JSON.
    """
    return parse_json(_content(path))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file with one a line; a line that a kill cut off, or that is damaged, is none.

    Lines without a seal were written before lines had one.
    """
    try:
        lines = _content(path).decode(errors="replace").splitlines()
    except ValueError:
        return []
    except OSError as error:
        if error.errno in ABSENT:
            return []
        raise
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(parse_json(line))
    objects = [value for value in found if isinstance(value, dict)]
    return [body for body in objects if body.pop(SEAL, None) in (None, _seal_of(body))]


def sealed_line(values: Mapping[str, Json]) -> str:
    """A JSON object as one line that :func:`read_lines` takes only if it is what was written."""
    return json.dumps({**values, SEAL: digest_of(values)})


def parse_json(content: bytes | str) -> Any:
    """A JSON value; NaN, infinity and numbers of more digits than any of ours are none.

    Raises:
        ValueError: it is no JSON, or nested more deeply than anything that is written here.
    """
    try:
        value = json.loads(content, parse_constant=_finite, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        nested = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, NESTED)]
        level = [one for values in nested for one in values if isinstance(one, NESTED)]
    return value


def _content(path: Path) -> bytes:
    """The bytes of a file; a pipe or a device is none, and neither is one larger than anything of ours."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
            raise ValueError("this is no file of ours")
        return stream.read(LARGEST + 1)


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError("no integer of ours is so long")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no JSON number")
    return value


def write_sealed(path: Path, value: Record | Mapping[str, Json], identity: str) -> None:
    """Write a JSON object with what it belongs to and a digest of it all.

    Args:
        path: the file.
        value: the object.
        identity: what it belongs to, such as a fingerprint.
    """
    value = value.plain() if isinstance(value, Record) else value
    # as it will be read: tuples are lists there, and keys are text
    body = json.loads(json.dumps({**value, "identity": identity}, allow_nan=False))
    write_json(path, {**body, SEAL: digest_of(body)})


def read_sealed(path: Path, model: type[R], identity: str | None = None) -> R | None:
    """The record that :func:`write_sealed` wrote; ``None`` if it is absent, damaged or of something else.

    Args:
        path: the file.
        model: what it holds.
        identity: what it must belong to; ``None`` for anything.
    """
    body = _sealed_object(path, identity)
    return None if body is None else model_of(model, body)


def read_model(path: Path, model: type[R]) -> R | None:
    """The record in a file without a seal; ``None`` if it is absent, damaged or of another shape.

    Raises:
        OSError: the file is there and cannot be read now.
    """
    return model_of(model, read_json(path))


def read_models(path: Path, model: type[R]) -> list[R]:
    """The records in a file with a JSON list of them; none where it is absent or one is of another shape."""
    values = read_json(path)
    found = [model_of(model, value) for value in values] if isinstance(values, list) else []
    whole = [record for record in found if record is not None]
    return whole if len(whole) == len(found) else []


def model_of(model: type[R], value: JsonValue) -> R | None:
    """A JSON value as a record; ``None`` where it is none of this kind."""
    try:
        return model.model_validate(value)
    except (ValidationError, RecursionError):
        return None


def _sealed_object(path: Path, identity: str | None = None) -> dict[str, JsonValue] | None:
    body = read_json(path)
    if not isinstance(body, dict) or body.pop(SEAL, None) != _seal_of(body):
        return None
    found = body.pop("identity", None)
    return body if identity is None or found == identity else None


def is_damaged(path: Path) -> bool:
    """Whether a sealed file is there and is not what was written.

    One without any seal is of an older version: it is not used, and not called damaged.
    """
    body = read_json(path)
    unsealed = isinstance(body, dict) and SEAL not in body
    return path.exists() and not unsealed and _sealed_object(path) is None


def _seal_of(body: Mapping[str, Json]) -> str:
    """The digest that the file must hold; empty where the object is nested too deeply to have one."""
    try:
        return digest_of(body)
    except RecursionError:
        return ""
