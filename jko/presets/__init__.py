"""Named settings, one default a kind of data, and how settings are laid over each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jko.core.errors import InputError
from jko.core.plain import Json, shortened

PRESETS = Path(__file__).parent


def preset_names() -> list[str]:
    """Names of the presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_preset(name: str) -> dict[str, Any]:
    """The settings of a preset."""
    if name not in preset_names():
        raise InputError(f"unknown preset {shortened(name)}; allowed: {', '.join(preset_names())}")
    return read_yaml(PRESETS / f"{name}.yaml")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping."""
    from jko.core.plain_yaml import plain_yaml

    try:
        values = plain_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: not readable as YAML ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: a mapping of settings is expected")
    return values


def nested(key: str, value: Json) -> dict[str, Json]:
    """``{a: {b: {c: value}}}`` of ``a.b.c``; block numbers become integers."""
    section, *parts = key.strip().split(".")
    for part in reversed(parts):
        value = {int(part) if part.isascii() and part.isdigit() else part: value}
    return {section: value}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over``'s entries; nested mappings are merged."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result
