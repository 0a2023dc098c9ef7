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
    is of this kind, and warnings. FILE is a table of any kind that is read; how it was read is said, too.
    """
    from flows.settings import with_assignments
    from jko.columns.infer import infer
    from jko.columns.written import described, facts, read_schema, to_yaml
    from jko.config import parse_config
    from tasks.adapters.system.output import write_whole
    from tasks.datasets.whole import read_whole

    given = None if known is None else read_schema(Path(known))
    own = parse_config({"data": {"source": "file", "file": str(file)}, "steps": {"count": 1}})
    written = read_whole(Path(file), with_assignments(own, assignments).data)
    schema = infer(written.frame, given)
    if as_json:
        told = {"file": str(file), "read_as": written.how, "notes": list(written.notes)}
        say(json.dumps({**told, **facts(schema)}, indent=1))
    else:
        for line in described(schema):
            say(one_line(line))
        for note in (f"read as: {written.how}", f"{schema.rows} rows", *written.notes):
            say(f"{file}: {note}", err=True)
    if output is not None:
        text = to_yaml(schema)
        write_whole(Path(output), lambda stream: stream.write(text.encode()))
        say(f"kinds of columns in {output}", err=True)
