"""The command that says of what kind the columns of a table are."""

from __future__ import annotations

import json
from pathlib import Path

import click

from flows.cli.commands import Command
from flows.cli.kinds import PLACE
from tasks.adapters.system.terminal import one_line, say


@click.command(cls=Command, example="jko describe rows.csv --write columns.yaml")
@click.argument("file", type=PLACE)
@click.option("--columns", "known", type=PLACE, help="Kinds that are known, as --write writes them.")
@click.option("--write", "output", type=PLACE, help="Write the kinds, .yaml, to be edited.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting of the data, as data.header=no.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def describe(
    *, file: Path, known: Path | None, output: Path | None, assignments: tuple[str, ...], as_json: bool
) -> None:
    """Say of what kind the columns of a table are, and why.

    One line a column: name, kind, missing cells, different ones, range, values that many rows share, why it
    is of this kind, and warnings. FILE is a table of any kind that is read, and how it was read is said, too;
    or the folder of a chain: then these are the kinds that it was trained with, and the start that it has.
    """
    from jko.disk.content import is_there

    if Path(file).is_dir() and not is_there(Path(file)):
        describe_chain(Path(file), output, as_json=as_json)
        return
    import numpy as np

    from flows.settings import with_assignments
    from jko.columns.cells import cells_of
    from jko.columns.infer import infer
    from jko.columns.written import described, facts, read_schema, to_yaml
    from jko.config import parse_config
    from jko.preparation.holes import told_empty, with_missing
    from tasks.datasets.whole import read_whole

    given = None if known is None else read_schema(Path(known))
    own = parse_config({"data": {"source": "file", "file": str(file)}, "steps": {"count": 1}})
    settings = with_assignments(own, assignments).data
    written = read_whole(Path(file), settings)
    schema = infer(written.frame, given)
    if settings.missing == "model":
        schema = with_missing(schema, cells_of(written.frame), np.arange(schema.rows))
    holes = told_empty(schema, settings)
    if as_json:
        told = {"file": str(file), "read_as": written.how, "notes": [*written.notes, *holes]}
        say(json.dumps({**told, **facts(schema)}, indent=1))
    else:
        for line in described(schema):
            say(one_line(line))
        for note in (f"read as: {written.how}", f"{schema.rows} rows", *written.notes, *holes):
            say(f"{file}: {note}", err=True)
    if output is not None:
        _write(to_yaml(schema), Path(output))


def describe_chain(folder: Path, output: Path | None, *, as_json: bool) -> None:
    """Say with which kinds of columns a chain was trained, and how its rows get into start coordinates."""
    from flows.places import chain_at, project_root
    from jko.columns.written import described, facts, to_yaml
    from jko.core.errors import InputError
    from jko.disk.facts import read_facts
    from jko.disk.manifest import required_manifest, stored_config

    layout = chain_at(folder, project_root())
    found = read_facts(layout, required_manifest(layout).fingerprints[0])
    if found.kinds is None:
        raise InputError(f"{folder}: the columns of this chain have no kinds: they are plain numbers")
    start = found.start_kind or stored_config(layout).data.standardise
    if as_json:
        told = {"file": str(folder), "start": start, "choices": list(found.choices), **facts(found.kinds)}
        say(json.dumps(told, indent=1))
    else:
        for line in described(found.kinds):
            say(one_line(line))
        for note in (f"start {start}", *found.choices):
            say(f"{folder}: {note}", err=True)
    if output is not None:
        _write(to_yaml(found.kinds), Path(output))


def _write(text: str, output: Path) -> None:
    from tasks.adapters.system.output import write_whole

    write_whole(output, lambda stream: stream.write(text.encode()))
    say(f"kinds of columns in {output}", err=True)
