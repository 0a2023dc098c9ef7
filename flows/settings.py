"""Settings from params.yaml, presets, ``--data`` and ``--set``; loads nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from jko.config import Config, parse_config
from jko.config.data_section import PICTURES
from jko.core.errors import InputError
from jko.core.plain import Json, shortened
from jko.core.plain_yaml import plain_yaml
from jko.presets import merged, nested, read_preset, read_yaml
from tasks.datasets.kinds import table_name

#: letters of a key of --set
LONGEST_KEY = 100


@dataclass(frozen=True)
class Request:
    """What a user asked for.

    Args:
        config: the validated settings.
        name: short name, of the preset, file or default; names the chain folder.
        default: whether nothing but params.yaml was used: DVC's own chain.
    """

    config: Config
    name: str
    default: bool


def build_request(
    root: Path,
    *,
    preset: str | None = None,
    file: str | None = None,
    assignments: Sequence[str] = (),
    seed: int | None = None,
    base: Config | None = None,
) -> Request:
    """Merge the layers of settings, later ones winning, and validate.

    Args:
        root: the project's folder, which may hold params.yaml.
        preset: a name in :func:`jko.presets.preset_names`, used instead of params.yaml.
        file: a data file.
        assignments: ``key=value`` texts; values are YAML.
        seed: overrides the seed.
        base: settings used instead of params.yaml, those of a folder to take rows from.

    Raises:
        InputError: anything unknown or impossible.
    """
    if file is not None and preset is None:
        preset = "rose" if _is_picture(file) else "tabular"
    values: dict[str, Any] = read_preset(preset) if preset else read_params(root)
    if base is not None:
        values = base.model_dump(mode="json")
    brought = dict(values.get("blocks") or {}) if preset else {}
    if file is not None:
        values = merged(values, {"data": {"source": "file", "file": file}})
    for text in assignments:
        values = merged(values, parse_assignment(text))
    if seed is not None:
        values = merged(values, {"seed": seed})
    changed = bool(preset or file or assignments or base or seed is not None)
    name = table_name(file) if file else preset or "default"
    return Request(parse_config(without_lost_blocks(values, brought)), name, default=not changed)


def without_lost_blocks(values: dict[str, Any], brought: Mapping[Any, Any]) -> dict[str, Any]:
    """Settings of a shorter chain than its preset's, without what that brings for blocks beyond its end.

    Args:
        values: all layers.
        brought: the blocks of the preset; those that a later layer changed are the user's.

    Raises:
        InputError: the other settings are impossible.
    """
    blocks = values.get("blocks")
    if not brought or not isinstance(blocks, Mapping):
        return values
    count = len(parse_config({**values, "blocks": {}}).steps.resolve())
    lost = [k for k, own in brought.items() if k > count and blocks.get(k) == own]
    return {**values, "blocks": {k: own for k, own in blocks.items() if k not in lost}} if lost else values


def with_assignments(config: Config, assignments: Sequence[str]) -> Config:
    """Settings with some of them changed by ``key=value`` texts.

    Raises:
        InputError: anything unknown or impossible.
    """
    values = config.model_dump(mode="json")
    for text in assignments:
        values = merged(values, parse_assignment(text))
    return parse_config(values)


def extended(config: Config, more: int) -> Config:
    """Settings of a chain with more steps at its end.

    A geometric schedule goes on; a list of step sizes goes on with what it holds beyond its count,
    then repeats its last entry.
    """
    steps = config.steps
    if steps.sizes is None:
        return with_assignments(config, [f"steps.count={(steps.count or 0) + more}"])
    count = len(steps.resolve()) + more
    sizes = [*steps.sizes, *[steps.sizes[-1]] * (count - len(steps.sizes))]
    values = config.model_dump(mode="json")
    changed = {"sizes": sizes, "count": None if steps.count is None else count}
    return parse_config(merged(values, {"steps": changed}))


def read_params(root: Path) -> dict[str, JsonValue]:
    """params.yaml, or the digits preset where there is none."""
    path = root / "params.yaml"
    return read_yaml(path) if path.is_file() else read_preset("digits")


def parse_assignment(text: str) -> dict[str, Json]:
    """``a.b.c=value`` as nested settings."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {shortened(text)}: the form is key=value, as in steps.count=12")
    if len(key) > LONGEST_KEY:
        raise InputError(f"--set {shortened(text)}: no key is so long")
    try:
        return nested(key, plain_yaml(value))
    except ValueError as error:
        raise InputError(f"--set {shortened(text)}: the value is not readable: {error}") from None


def _is_picture(file: str) -> bool:
    return Path(file).suffix.lower() in PICTURES
