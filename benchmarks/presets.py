"""The project's own settings for each kind of data, and what is recorded of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jko.config import Config, parse_config
from jko.core.digest import digest_of
from jko.presets import merged, read_preset

#: preset of each group of sets: one default a kind of data, none a set
PRESET = {"picture": "rose", "plane": "moons", "table": "tabular", "small table": "tabular"}
#: presets that are tried in its place
OTHERS = {"small table": ("digits",)}
#: a table of fewer training rows than this is a small one
SMALL = 5000
#: the JKO objective alone, without the flow-matching start
PLAIN = {"flow_matching_iterations": 0}


def group_of(kind: str, rows: int) -> str:
    """The group of a set by its kind and how many training rows of its own it has."""
    return "small table" if kind == "table" and rows < SMALL else kind


def identity(group: str) -> dict[str, Any]:
    """The preset of a group as settings: comments in its file change nothing."""
    return {name: read_preset(name) for name in (PRESET[group], *OTHERS.get(group, ()))}


def preset_digest(group: str) -> str:
    """SHA-256 of what a group's preset sets."""
    return str(digest_of(identity(group)))


def settings_of(group: str, setting: Mapping[str, Any], seed: int) -> Config:
    """The preset's settings for a group, as a setting of the benchmark changes them.

    Args:
        group: one of :data:`benchmarks.sets.GROUPS`.
        setting: ``variant``: ``default`` or ``plain_jko``; ``groups``: changes by group, of which ``preset``
            names another one; other keys change the preset's settings.
        seed: of everything that is drawn.
    """
    own = {key: value for key, value in setting.items() if key not in ("variant", "groups")}
    own |= setting.get("groups", {}).get(group, {})
    values = merged(read_preset(own.pop("preset", PRESET[group])), own)
    if setting.get("variant") == "plain_jko":
        values = merged(values, {"training": PLAIN})
        values["blocks"] = {k: {**changed, **PLAIN} for k, changed in values.get("blocks", {}).items()}
    return parse_config({**values, "seed": seed})
