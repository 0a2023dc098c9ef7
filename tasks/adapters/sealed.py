"""JSON files: read only if they are what was written."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.adapters.durable import write_text

#: key of the digest that a JSON file holds of all its other values
SEAL = "sealed"


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value written in one canonical way."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, readable by people; nan and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value of a file, or ``None`` if it is absent or damaged; NaN and infinity are no JSON."""
    try:
        return json.loads(path.read_text(), parse_constant=_finite, parse_float=_finite)
    except (OSError, ValueError, RecursionError):
        return None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no JSON number")
    return value


def write_sealed(path: Path, value: Mapping[str, Any], identity: str) -> None:
    """Write a JSON object with what it belongs to and a digest of it all.

    Args:
        path: the file.
        value: the object.
        identity: what it belongs to, such as a fingerprint.
    """
    # as it will be read: tuples are lists there, and keys are text
    body = json.loads(json.dumps({**value, "identity": identity}, allow_nan=False))
    write_json(path, {**body, SEAL: digest_of(body)})


def read_sealed(path: Path, identity: str | None = None) -> dict[str, Any] | None:
    """The object that :func:`write_sealed` wrote; ``None`` if it is absent, damaged or of something else.

    Args:
        path: the file.
        identity: what it must belong to; ``None`` for anything.
    """
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
    return path.exists() and not unsealed and read_sealed(path) is None


def _seal_of(body: Mapping[str, Any]) -> str:
    """The digest that the file must hold; empty where the object is nested too deeply to have one."""
    try:
        return digest_of(body)
    except RecursionError:
        return ""
