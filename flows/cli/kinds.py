"""Kinds of values that options take, and what a shell completes of them."""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.places import known_chains

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: what a float of any library holds exactly
SEED = click.IntRange(0, 2**53 - 1)
#: as many blocks as a chain may have
BLOCKS = click.IntRange(1, 1000)
#: rows of a list
ENTRIES = click.IntRange(1, 1_000_000)


class Number(click.FloatRange):
    """A finite number in a range; ``nan`` lies between any two numbers for click."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of a text."""
        found: float = super().convert(value, param, ctx)
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

    def convert(
        self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | PathLike[str]:
        """The path of a text."""
        if value == "":
            self.fail("an empty path names nothing.", param, ctx)
        return super().convert(value, param, ctx)


class ChainPlace(Place):
    """The folder of a chain; a shell is told the chains of this project, or else every folder."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Folders of chains that begin so."""
        return chains_for(incomplete)


class Run(click.types.StringParamType):
    """A run's id, tag or chain; a shell is told the chains."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Folders of chains that begin so."""
        return chains_for(incomplete)


def chains_for(incomplete: str) -> list[CompletionItem]:
    """The chains of this project that begin so; where none does, the shell lists folders."""
    from click.shell_completion import CompletionItem

    found = [CompletionItem(name) for name in known_chains() if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="dir")]


class Preset(click.types.StringParamType):
    """The name of a preset; a name that there is not is refused where settings are read."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Presets that begin so."""
        from click.shell_completion import CompletionItem

        from jko.presets import preset_names

        return [CompletionItem(name) for name in preset_names() if name.startswith(incomplete)]


PLACE = Place(path_type=Path)
FOLDER = Place(path_type=Path, file_okay=False)
CHAIN = ChainPlace(path_type=Path)
PRESET = Preset()
RUN = Run()
