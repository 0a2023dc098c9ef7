"""The command that shows a chain; apart from those that train, so that it starts fast."""

from __future__ import annotations

import json
from pathlib import Path

import click

from flows.cli.commands import Command
from flows.cli.kinds import CHAIN
from flows.places import chain_at, project_root
from jko.disk.damage import well_formed
from tasks.adapters.system.terminal import say


@click.command(cls=Command, example="jko status data/chain")
@click.argument("chain", type=CHAIN, metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def status(chain: Path, as_json: bool) -> None:
    """Show which blocks of a chain are done, and their figures."""
    from flows.views.status import chain_status, status_table

    layout = chain_at(chain, project_root())
    with well_formed(layout):
        found = chain_status(layout)
        say(json.dumps(found, indent=1)) if as_json else status_table(layout, found)
