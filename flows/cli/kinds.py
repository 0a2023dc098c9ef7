"""Kinds of values that options take: numbers with both ends, paths that are not empty."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

#: what a float of any library holds exactly
SEED = click.IntRange(0, 2**53 - 1)
#: as many blocks as a chain may have
BLOCKS = click.IntRange(1, 1000)
#: rows of a list
ENTRIES = click.IntRange(1, 1_000_000)


class Number(click.FloatRange):
    """A finite number in a range; ``nan`` lies between any two numbers for click."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number of a text."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return found


#: a year, longer than anybody waits
SECONDS = Number(min=0, max=31_536_000)
#: what a step or its share can be
POSITIVE = Number(min=0, min_open=True, max=1e12)
RATIO = Number(min=1, min_open=True, max=1e12)


class Place(click.Path):
    """A path; the empty text, as of a variable that is not set, is none, and not the working directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path of a text."""
        if value == "":
            self.fail("an empty path names nothing.", param, ctx)
        return super().convert(value, param, ctx)


PLACE = Place(path_type=Path)
FOLDER = Place(path_type=Path, file_okay=False)
