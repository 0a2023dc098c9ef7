"""A schema as YAML that people edit, and as lines that they read."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue
from ruamel.yaml import YAML

from jko.columns.column import Cell, Column, Seen
from jko.columns.schema import Schema, parse_schema
from jko.core.errors import InputError
from jko.core.plain_yaml import plain_yaml
from jko.preparation.names import shown

#: letters of a file at most
LONGEST = 5_000_000
#: letters of a name, and digits of a number, in a line
NAME, DIGITS = 24, 6
HEADER = """\
# The columns of a table. Edit kinds and their numbers, and use them with --columns.
# Kinds: continuous, positive, bounded, integer, gridded, atoms, categorical, boolean, ordinal, circular,
# date, constant; missing, with another kind as its value; told, by another column and its table; text and
# index are left out. What stands in seen is only told.
"""
#: fields that come first
FIRST = ("name", "kind", "why")


def to_yaml(schema: Schema) -> str:
    """The text of a schema, which :func:`read_schema` takes."""
    value = schema.plain()
    columns = value["columns"]
    assert isinstance(columns, list)
    value["columns"] = [_ordered(column) for column in columns if isinstance(column, dict)]
    writer, stream = YAML(typ="rt"), io.StringIO()
    writer.width, writer.allow_unicode = 110, True
    writer.dump(value, stream)
    return HEADER + stream.getvalue()


def read_schema(path: Path) -> Schema:
    """The schema of a file.

    Raises:
        InputError: there is no such file, or it holds no schema; says what and where.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__})") from None
    return from_yaml(text, str(path))


def from_yaml(text: str, place: str) -> Schema:
    """The schema of a text.

    Raises:
        InputError: it is none.
    """
    try:
        value = plain_yaml(text, longest=LONGEST)
    except ValueError as error:
        raise InputError(f"{place}: {error}") from None
    return parse_schema(value, place)


def _ordered(column: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """A column's fields in the order of interest, what it was seen to be last, without what is empty."""
    seen = column.get("seen")
    rest = {key: value for key, value in column.items() if key not in (*FIRST, "seen")}
    if isinstance(value := rest.get("value"), dict):  # of the same name
        rest["value"] = {key: own for key, own in _ordered(value).items() if key not in ("name", "why")}
    found = {**{key: column[key] for key in FIRST if column.get(key)}, **rest}
    if isinstance(seen, dict):
        found["seen"] = {key: value for key, value in seen.items() if value not in ([], None)}
    return found


def described(schema: Schema) -> list[str]:
    """A line a column: name, kind, missing cells, different ones, range, atoms, why, warnings."""
    rows = [_cells_of(column) for column in schema.columns]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]])
        for row in rows
    ]


def kind_in_words(column: Column) -> str:
    """The kind of a column, and of what is in it: ``missing + atoms + positive``."""
    value = getattr(column, "value", None)
    return f"{column.kind} + {kind_in_words(value)}" if isinstance(value, Column) else column.kind


def _cells_of(column: Column) -> list[str]:
    seen = column.seen or Seen()
    name = shown(column.name)[1:-1]
    words = [column.why, *(f"WARNING: {warning}" for warning in seen.warnings)]
    return [
        name if len(name) <= NAME else name[: NAME - 1] + "…",
        kind_in_words(column),
        f"{100 * seen.missing:.3g} % missing",
        f"{seen.distinct} distinct",
        "" if seen.low is None or seen.high is None else f"{_short(seen.low)} … {_short(seen.high)}",
        ", ".join(f"{_short(atom)}: {100 * share:.2g} %" for atom, share in seen.atoms),
        "; ".join(word for word in words if word),
    ]


def _short(cell: Cell) -> str:
    return f"{cell:.{DIGITS}g}" if isinstance(cell, float) else str(cell)


def facts(schema: Schema) -> dict[str, JsonValue]:
    """The schema with what follows from it: encoded names and what probabilities mean, of each and of all."""
    value = schema.plain()
    columns = value["columns"]
    assert isinstance(columns, Sequence)
    for plain, column in zip(columns, schema.columns, strict=True):
        assert isinstance(plain, dict)
        plain["encoded"] = list(column.encoded_names)
        plain["log_probability"] = {"of": column.meaning, "one_draw": column.exactness}
    value["encoded"] = list(schema.encoded_names)
    value["log_probability"] = {"of": schema.meaning, "one_draw": schema.exactness}
    return value
