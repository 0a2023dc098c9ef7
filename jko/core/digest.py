"""The digest of values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

#: what can be written as JSON
Json = str | int | float | None | Sequence["Json"] | Mapping[str, "Json"]


def digest_of(value: Json) -> str:
    """SHA-256 of a JSON value written in one canonical way."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
