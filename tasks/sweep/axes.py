"""The settings that a sweep varies: values of a grid, or where random values are drawn from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from pydantic import BaseModel, JsonValue

from jko.config import Config
from jko.config.sections import BlockOverride
from jko.core.errors import InputError
from jko.core.plain import shortened
from jko.core.plain_yaml import plain_yaml
from jko.core.seeds import counter_seed

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"\s*({NUMBER})\s*:\s*({NUMBER})\s*(?::\s*(\w+)\s*)?")
#: digits of a drawn number: few enough to be read and typed again
DIGITS = 6


@dataclass(frozen=True)
class Values:
    """One setting and the values it takes.

    Args:
        key: as in ``training.learning_rate``.
        values: in the order given.
    """

    key: str
    values: tuple[JsonValue, ...]
    log = False

    def draw(self, uniform: float) -> JsonValue:
        """One of the values, for a number in [0, 1)."""
        return self.values[int(uniform * len(self.values))]


@dataclass(frozen=True)
class Range:
    """One setting and the range its values are drawn from, ends included.

    Args:
        key: as in ``training.learning_rate``.
        low: smallest value.
        high: largest value.
        log: the logarithm is uniform, not the value.
        whole: only integers, each as likely as the numbers that round to it.
    """

    key: str
    low: float
    high: float
    log: bool
    whole: bool

    def draw(self, uniform: float) -> float:
        """A value of the range, for a number in [0, 1)."""
        margin = 0.5 if self.whole else 0.0
        low, high = self.low - margin, self.high + margin
        if self.log:
            value = math.exp(math.log(low) + uniform * (math.log(high) - math.log(low)))
        else:
            value = low + uniform * (high - low)
        value = round(value) if self.whole else float(f"{value:.{DIGITS}g}")
        return type(value)(min(max(value, self.low), self.high))


def grid_axis(text: str) -> Values:
    """``KEY=v1,v2,…``: the values are YAML, a list of them is written in brackets.

    Raises:
        InputError: unreadable, or no value.
    """
    key, words = _key_of("--grid", text)
    return Values(key, _listed("--grid", text, words))


def random_axis(text: str) -> Values | Range:
    """``KEY=lo:hi``, ``KEY=lo:hi:log`` or ``KEY=v1,v2,…``; a range of an integer setting is of integers.

    Raises:
        InputError: unreadable, an impossible range, or a range of a setting that is no number.
    """
    key, words = _key_of("--random", text)
    match = RANGE.fullmatch(words)
    if match is None:
        return Values(key, _listed("--random", text, words))
    kinds = kinds_of(key)
    low, high, scale = float(match[1]), float(match[2]), match[3]
    if kinds and not kinds & {int, float}:
        raise InputError(f"--random {shortened(text)}: {key} is no number; give values, as in {key}=a,b")
    if scale not in (None, "log"):
        raise InputError(
            f"--random {shortened(text)}: after the range only log is allowed, as in {key}=1e-4:1e-2:log"
        )
    if not math.isfinite(high - low):
        raise InputError(f"--random {shortened(text)}: both ends must be finite numbers")
    if not low < high:
        raise InputError(f"--random {shortened(text)}: the first number must be below the second")
    if scale and low <= 0:
        raise InputError(f"--random {shortened(text)}: a range with log must begin above 0")
    whole = int in kinds and float not in kinds
    if whole and not (low.is_integer() and high.is_integer()):
        raise InputError(
            f"--random {shortened(text)}: {key} takes integers, so its range must have integer ends"
        )
    return Range(key, low, high, scale == "log", whole)


def combinations(axes: Sequence[Values]) -> Iterator[dict[str, JsonValue]]:
    """Every combination of a grid, the last setting changing fastest."""
    for values in product(*(axis.values for axis in axes)):
        yield dict(zip((axis.key for axis in axes), values, strict=True))


def draws(axes: Sequence[Values | Range], count: int, seed: int) -> Iterator[dict[str, JsonValue]]:
    """Random combinations 0..count-1; draw i of a setting depends on the seed, its key and i alone.

    More draws, or one more setting, leave the others as they are.
    """
    for i in range(count):
        yield {axis.key: axis.draw(counter_seed(seed, "sweep", axis.key, i) / 2.0**63) for axis in axes}


def kinds_of(key: str) -> set[type]:
    """The plain types a setting may have; empty if there is no such setting."""
    model: Any = Config
    *sections, name = key.split(".")
    for i, section in enumerate(sections):
        if sections[0] == "blocks" and i == 1:
            model = BlockOverride
        elif section == "blocks" and i == 0:
            continue
        elif section in getattr(model, "model_fields", {}):
            model = model.model_fields[section].annotation
        else:
            return set()
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or name not in model.model_fields:
        return set()
    return _plain(model.model_fields[name].annotation)


def _plain(annotation: Any) -> set[type]:
    parts = get_args(annotation)
    if not parts:
        kind = annotation if isinstance(annotation, type) else type(annotation)  # a word of a Literal
        return set() if kind is type(None) else {kind}
    if hasattr(annotation, "__metadata__"):  # Annotated: what follows the type are its limits
        return _plain(parts[0])
    if getattr(annotation, "__origin__", None) in (tuple, dict):
        return {annotation.__origin__}
    return set().union(*(_plain(part) for part in parts))


def _key_of(option: str, text: str) -> tuple[str, str]:
    key, equals, words = text.partition("=")
    key = key.strip()
    if not equals or not key or not words.strip():
        raise InputError(
            f"{option} {shortened(text)}: the form is KEY=…, as in training.learning_rate=0.001,0.003"
        )
    if key == "seed":
        raise InputError(f"{option} {shortened(text)}: seeds are given by --seeds, as in --seeds 0,1,2")
    if "." not in key:
        raise InputError(
            f"{option} {shortened(text)}: name one setting, as in training.learning_rate, not a section"
        )
    return key, words


def _listed(option: str, text: str, words: str) -> tuple[JsonValue, ...]:
    try:
        values = plain_yaml(f"[{words}]")
    except ValueError:
        values = None
    if not isinstance(values, list) or not values:
        raise InputError(
            f"{option} {shortened(text)}: the values are not readable; they are YAML with commas between, "
            "as in network.hidden=[64,64],[128,128]"
        )
    return tuple(values)
