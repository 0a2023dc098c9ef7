"""The command that judges any model by its samples."""

from __future__ import annotations

import json
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
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("-o", "output", type=PLACE, help="Write a page, .html.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def judge(
    *,
    data: Path,
    samples: tuple[Path, ...],
    train: Path | None,
    seed: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Say how far data and any model are apart, by its samples.

    Files are .csv, .npy or .parquet. Models may be of any kind and any program.
    """
    from jko.judging import judge as judge_models
    from tasks.judging import read_rows, write_page

    def rows(place: Path, columns: list[str] | None = None) -> pd.DataFrame:
        frame, notes = read_rows(place, columns)
        for note in notes:
            say(f"{place}: {note}", err=True)
        return frame

    held_out = rows(Path(data))
    columns = list(held_out.columns)
    places = {_name(Path(place), samples): Path(place) for place in samples}
    models = {name: rows(place, columns) for name, place in places.items()}
    trained = None if train is None else rows(Path(train), columns)
    found = judge_models(held_out, models, train=trained, seed=seed)
    if as_json:
        say(json.dumps({"models": [one.plain() for one in found]}, indent=1))
    else:
        for one in found:
            say(f"{one.name}: {' '.join(one.apart)}")
    if output is not None:
        sources = {"held-out rows": str(data), **{name: str(place) for name, place in places.items()}}
        write_page(found, sources, Path(output))
        say(f"page {output}", err=True)


def _name(place: Path, places: tuple[Path, ...]) -> str:
    """A model's name: that of its file, with the folder where two have the same."""
    same = [other for other in places if Path(other).stem == place.stem]
    return place.stem if len(same) == 1 else str(place)
