"""Chooses the settings on validation rows of sets that are not reported, and writes down how."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.cell import RESULTS, Cell, result_of
from benchmarks.chosen import RECORD, best_of, settings_digest
from benchmarks.command import DATA, sentences
from benchmarks.grid import run_round, unable
from benchmarks.plan import Lookup, trials
from benchmarks.presets import PRESET, preset_digest
from benchmarks.sets import GROUPS, file_of, tuning_sets
from jko.core.errors import InputError
from jko.disk.sealed import read_json, write_json


def entry(group: str, lookup: Lookup, refused: Mapping[Cell, str]) -> dict[str, Any]:
    """What is recorded of a group: sets, trials, choices, and digests of preset and settings.

    Args:
        group: of sets.
        lookup: figures of all its trials but the refused ones.
        refused: trials that cannot run in their seconds, with the reason; they come last on their set.
    """
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for cell in trials(group):
        record = None if cell in refused else lookup(cell)
        assert record is not None or cell in refused  # the caller has run them
        of = found.setdefault(cell.method, {}).setdefault(cell.setting, {})
        of[cell.set] = None if record is None else record["validation_nll"]["value"]
    return {
        "sets": {one.name: {"reported": one.reported, "file": one.file} for one in tuning_sets(group)},
        "seconds": {cell.set: cell.seconds for cell in trials(group)},
        "trials": found,
        "refused": {cell.name: sentence for cell, sentence in refused.items()},
        "chosen": {method: best_of(of) for method, of in found.items()},
        "preset": preset_digest(group),
        "preset_name": PRESET[group],
        "settings": {method: settings_digest(method) for method in found},
    }


def missing(groups: Sequence[str], data: Path | None, results: Path) -> list[Cell]:
    """Trials without figures.

    Raises:
        InputError: a set's file is not there, or a method cannot run here.
    """
    cells = [cell for group in groups for cell in trials(group)]
    for cell in cells:
        file_of(cell.set, data)
    for sentence in unable(cells).values():
        raise InputError(sentence)
    return [cell for cell in cells if result_of(cell, data, results) is None]


def sentence_of(group: str, made: Mapping[str, Any]) -> str:
    """What was chosen."""
    said = ", ".join(f"{method} {setting}" for method, setting in made["chosen"].items())
    return f"{group}: {said} (of ours default is the preset {PRESET[group]})"


@click.command()
@click.option("--only", type=click.Choice(GROUPS), multiple=True, help="Groups of sets; all by default.")
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Trials at a time.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@click.option("--record", type=click.Path(path_type=Path), default=RECORD, help="The file to write.")
@click.option("--dry-run", is_flag=True, help="List the trials that would run, with their CPU seconds.")
@DATA
@sentences
def main(
    only: tuple[str, ...], jobs: int, results: Path, record: Path, data: Path | None, *, dry_run: bool
) -> None:
    """Try every setting on the tuning sets and record what does best on their validation rows.

    Stopped, it goes on with what is missing. The record is written when all trials of a group are there.
    """
    groups, console = only or GROUPS, Console(highlight=False, soft_wrap=True)
    todo = missing(groups, data, results)
    if dry_run:
        for cell in todo:
            console.print(f"{cell.seconds:6d} core-s  {cell.name}")
        console.print(f"to run: {sum(cell.seconds for cell in todo) / 3600:.2f} core-hours")
        return
    failures = run_round(todo, jobs, data, results, console) if todo else []
    for failure in failures:
        console.print(f"failed: {failure.cell.name}: {failure.sentence}")
    refused = {failure.cell: failure.sentence for failure in failures if failure.refused}
    failed = {failure.cell for failure in failures} - refused.keys()
    for group in groups:
        tried = trials(group)
        if failed.isdisjoint(tried):
            of_group = {cell: refused[cell] for cell in tried if cell in refused}
            made = entry(group, lambda cell: result_of(cell, data, results), of_group)
            write_json(record, {**(read_json(record) or {}), group: made})
            console.print(sentence_of(group, made))
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
