"""The command that judges any model by its samples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.commands import Command
from flows.cli.kinds import PLACE, SEED
from tasks.adapters.system.terminal import say

if TYPE_CHECKING:
    import pandas as pd


@click.command(cls=Command, example="jko judge --data held_out.csv --samples model.csv -o judged.html")
@click.option("--data", type=PLACE, required=True, help="Rows that no part of any training saw.")
@click.option(
    "--samples", type=PLACE, required=True, multiple=True,
    help="Samples of a model; give it again for another model.",
)  # fmt: skip
@click.option("--train", type=PLACE, help="The training rows, for the share of copies.")
@click.option(
    "--group", "groups", multiple=True, metavar="COLUMN",
    help="A column that the models are conditioned on: judge its groups, too; may be given again.",
)  # fmt: skip
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("-o", "output", type=PLACE, help="Write a page, .html.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def judge(
    *,
    data: Path,
    samples: tuple[Path, ...],
    train: Path | None,
    groups: tuple[str, ...],
    seed: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Say how far data and any model are apart, by its samples.

    Files are tables of any kind that is read. Models may be of any kind and any program.
    """
    from jko.judging import judge as judge_models
    from tasks.judging import read_rows, write_page

    told: list[str] = []

    def rows(place: Path, columns: list[str] | None = None) -> pd.DataFrame:
        frame, notes = read_rows(place, columns, groups)
        told.extend(f"{place}: {note}" for note in notes)
        return frame

    held_out = rows(Path(data))
    columns = list(held_out.columns)
    places = {_name(Path(place), samples): Path(place) for place in samples}
    models = {name: rows(place, columns) for name, place in places.items()}
    trained = None if train is None else rows(Path(train), columns)
    found = judge_models(held_out, models, train=trained, groups=groups, seed=seed)
    found = replace(found, notes=(*told, *found.notes))
    for note in found.notes:
        say(note, err=True)
    if as_json:
        say(json.dumps(found.plain(), indent=1))
    else:
        for one in found:
            say(f"{one.name}: {' '.join(one.apart)}")
            for group in one.groups:
                say(f"{one.name}, {group.group}: {' '.join(group.apart)}")
    if output is not None:
        sources = [("held-out rows", str(data)), *((name, str(place)) for name, place in places.items())]
        write_page(found, Path(output), sources)
        say(f"page {output}", err=True)


def _name(place: Path, places: tuple[Path, ...]) -> str:
    """A model's name: that of its file, with the folder where two have the same."""
    same = [other for other in places if Path(other).stem == place.stem]
    return place.stem if len(same) == 1 else str(place)
