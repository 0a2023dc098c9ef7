"""The digest of values."""

from __future__ import annotations

import hashlib
import json

from jko.core.plain import Json


def digest_of(value: Json) -> str:
    """SHA-256 of a JSON value written in one canonical way."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
