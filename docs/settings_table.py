"""The table of all settings, made from their model: key, what is allowed, default."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jko.config import Config

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
WORDS = {
    "integer": "whole number",
    "string": "text",
    "boolean": "true, false",
    "null": "null",
    "object": "mapping",
}
Schema = Mapping[str, Any]


def allowed(schema: Schema) -> str:
    """What a setting may be, in words."""
    if "anyOf" in schema:
        return " or ".join(allowed(kind) for kind in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        inner = schema.get("items") or next(iter(schema.get("prefixItems", [])), {})
        return f"list of {allowed(inner)}"
    bounds = [
        f"{mark} {schema[bound]:,}".replace(",", " ") for bound, mark in BOUNDS.items() if bound in schema
    ]
    kind = str(schema.get("type", "value"))
    return " ".join([WORDS.get(kind, kind), ", ".join(bounds)]).strip()


def leaves(schema: Schema, whole: Schema, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """Every setting below a section by its dotted key."""
    for name, found in schema["properties"].items():
        reference = found.get("$ref") or found.get("additionalProperties", {}).get("$ref")
        if reference:
            block = "" if "$ref" in found else "K."
            yield from leaves(whole["$defs"][reference.split("/")[-1]], whole, f"{prefix}{name}.{block}")
        else:
            yield f"{prefix}{name}", found


def default_of(key: str) -> str:
    """A setting's default as YAML writes it; of one block's own settings none."""
    if key.startswith("blocks."):
        return "as the others"
    value: Any = Config().model_dump(mode="json")
    for part in key.split("."):
        value = value[part]
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def table() -> str:
    """All settings as a table in Markdown."""
    schema = Config.model_json_schema()
    rows = [f"| `{key}` | {allowed(found)} | {default_of(key)} |" for key, found in leaves(schema, schema)]
    return "\n".join(["| setting | allowed | default |", "|---|---|---|", *rows])
