"""Commands about tracked runs: list, tag, compare, and the gate."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.commands import Command
from flows.cli.kinds import ENTRIES, PLACE, PRESET, RUN
from flows.places import project_root
from jko.core.errors import InputError
from tasks.adapters.system.terminal import say

if TYPE_CHECKING:
    from flows.views.compare import Compared

#: exit code of a comparison that a condition of its gate made fail
TRIPPED = 5


@click.command(cls=Command, example="jko runs --sort -test/nll --limit 10")
@click.option("--sort", default="", metavar="KEY", help="Column, figure or setting; -KEY for descending.")
@click.option("--preset", type=PRESET, default="", help="Only runs of this preset.")
@click.option("--data", default="", metavar="NAME|VERSION", help="Only runs on these data.")
@click.option("--tag", default="", metavar="NAME", help="Only the run with this tag.")
@click.option("--best", type=ENTRIES, metavar="N", help="The N best of each data version.")
@click.option("--limit", type=ENTRIES, metavar="N", help="At most N runs.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def runs(
    *, sort: str, preset: str, data: str, tag: str, best: int | None, limit: int | None, as_json: bool
) -> None:
    """List the tracked runs, the last first."""
    from flows.views.compare import open_runs
    from flows.views.runs import Choice, runs_table
    from flows.views.runs import as_json as json_of

    found = open_runs(project_root()).all()
    choice = Choice(preset, data, tag, best or 0, sort, limit or 0)
    frame = runs_table(found, choice)
    if as_json:
        say(json.dumps(json_of(frame), indent=1))
    elif frame.empty:
        say("no tracked run fits" if found else "there are no tracked runs here; jko train makes one")
    else:
        from flows.views.tables import show_runs

        show_runs(frame, ranked=bool(best) and not sort)


@click.command(cls=Command, example="jko tag @latest good")
@click.argument("words", type=RUN, nargs=-1, metavar="RUN NAME")
@click.option("--remove", metavar="NAME", help="Take the name away from the run that has it.")
def tag(words: tuple[str, ...], remove: str | None) -> None:
    """Give a run a name.

    From then on tag:NAME stands for RUN; a name is of one run at a time.
    RUN is a run's id or the beginning of it, another tag:NAME, @latest, or a tracked chain's folder.
    """
    from flows.views.compare import Store, tracked_run

    store = Store(project_root())
    if remove is not None:
        if words:
            raise InputError("jko tag --remove NAME takes nothing else")
        say(f"{remove} taken from {store.runs.untag(remove).short}")
        return
    if len(words) != 2:
        raise InputError("jko tag needs RUN and NAME, or --remove NAME")
    run = tracked_run(store, words[0])
    before = store.runs.tag(run, words[1])
    say(f"{words[1]} is {run.short} ({run.name})" + (f", no longer {before.short}" if before else ""))


@click.command(cls=Command, example='jko compare data/chain --baseline tag:good --fail-if "test/nll > +2se"')
@click.argument("names", type=RUN, nargs=-1, metavar="RUN...")
@click.option(
    "--baseline", type=RUN, metavar="RUN", help="Compare with this one; RUN is then @latest by default."
)
@click.option(
    "--fail-if", "conditions", multiple=True, metavar="CONDITION",
    help='Exit with 5 if it holds of RUN − baseline: "test/nll > +0.02", "test/nll > +2se", '
    '"time/train_cpu_s > +10%".',
)  # fmt: skip
@click.option("-o", "--output", type=PLACE, metavar="DIR", help="Write page and tables here.")
@click.option("--track/--no-track", default=True, help="Keep what -o writes with the runs in MLflow.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def compare(
    *, names: tuple[str, ...], baseline: str | None, conditions: tuple[str, ...], output: Path | None,
    track: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compare runs side by side.

    The first is the baseline.
    RUN is a chain's folder, a run's id or the beginning of it, tag:NAME, @latest or @latest~1.
    """
    from flows.views.compare import compare_runs

    wanted = [baseline, *(names or ("@latest",))] if baseline else list(names)
    done = compare_runs(project_root(), wanted, conditions, output, track=track)
    if as_json:
        from flows.views.compare import as_json as json_of

        say(json.dumps(json_of(done), indent=1))
    else:
        show(done)
    for own in done.repeated:
        say(f"warning: {own} is the baseline itself", err=True)
    if done.kept:
        say(done.kept, err=True)
    if done.tripped:
        sys.exit(TRIPPED)


def show(done: Compared) -> None:
    """Print a comparison and what its gate says."""
    from flows.views.tables import show_comparison

    show_comparison(done.comparison)
    for outcome in done.outcomes:
        say(f"{outcome.verdict}: {outcome.condition.text}\n  {outcome.says}")
    if done.page:
        say(f"page {done.page}")
