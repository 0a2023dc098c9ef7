"""Any table of numbers: the test NLL of peers and ours on the same prepared rows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import click

from benchmarks.command import sentences
from benchmarks.preparation import AFFINE, chosen_for
from benchmarks.problem import Problem
from benchmarks.problems import file_table, table_problem
from benchmarks.sets import SECONDS
from benchmarks.side_by_side import SHOWN, compare, show
from jko.core.errors import InputError
from tasks.datasets.pictures import is_picture


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--columns", help="Names of the columns to take, separated by commas; else all numeric ones.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=float(SECONDS),
    show_default=True,
    help="CPU seconds of each method.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@sentences
def main(file: Path, columns: str | None, seconds: float, seed: int, *, as_json: bool) -> None:
    """Fit peers and ours to the rows of the CSV or NPY table FILE; rows with empty cells are dropped.

    All get the same rows, the smoothed copies of few rows included, that the preset for tables makes.
    """
    if is_picture(str(file)):
        raise InputError(f"{file}: a picture; `python -m benchmarks.picture` takes it")
    settings: dict[str, Any] = {"file": str(file), "missing": "drop"}
    if columns:
        settings["columns"] = [name.strip() for name in columns.split(",")]
    table = file_table(settings)
    chosen = chosen_for(table, seed)

    @cache
    def problem(start: str | None) -> Problem:
        return table_problem(file.stem, table, seed, start=start, chosen=chosen)

    problem(AFFINE)  # a table that cannot be prepared is refused before anything is said
    lines = compare(problem, dict.fromkeys(SHOWN, seconds), {}, seed)
    show(problem(None), lines, as_json=as_json)


if __name__ == "__main__":
    main()
