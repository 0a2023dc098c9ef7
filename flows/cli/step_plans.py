"""Commands that plan steps: fitted to data, halved, evened out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import click

from flows.cli.chains import execute, explain
from flows.cli.commands import Command
from flows.cli.jobs import SettingsWords, requested, resuming, settings_options
from flows.cli.kinds import BLOCKS, CHAIN, PLACE, POSITIVE, RATIO
from flows.places import chain_at, project_root
from flows.session import Job, check_input, nothing_to_do
from jko.core.errors import InputError
from jko.disk.manifest import stored_config
from tasks.adapters.store.plan import make_plan
from tasks.adapters.system.terminal import say

if TYPE_CHECKING:
    from flows.step_plans import Change, Changed, FittedPlan


class StepWords(SettingsWords):
    """The options of :func:`settings_options` and :func:`plan_options`."""

    count: int | None
    ratio: float
    maximum: float
    tolerance: float
    shape: Literal["any", "gaussian"]


def plan_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what is wanted of fitted steps."""
    for name, kind, default, said in (
        (
            "--shape",
            click.Choice(["any", "gaussian"]),
            "any",
            "Whose KL is left: any law's, or a Gaussian's.",
        ),
        ("--tolerance", POSITIVE, 1e-3, "KL that may be left at the end, nats."),
        ("--maximum", POSITIVE, 5.0, "Largest step where the number is chosen, and largest first one."),
        ("--ratio", RATIO, 3.0, "Largest growth from step to step, likewise."),
        ("--count", BLOCKS, None, "Number of steps; chosen by default."),
    ):
        option = click.option(name, type=kind, default=default, show_default=default is not None, help=said)
        command = option(command)
    return command


@click.command(cls=Command, example="jko steps --data rows.csv")
@settings_options
@plan_options
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def steps(*, chain: Path | None, file: Path | None, as_json: bool, **words: Unpack[StepWords]) -> None:
    """Fit step sizes to data.

    The first step is fitted to their finest scale, the last to what may be left at the end.
    With --chain the data are those of that chain.
    """
    from flows.step_plans import fitted_plan

    root = project_root()
    settings = SettingsWords(preset=words["preset"], assignments=words["assignments"], seed=words["seed"])
    if chain is None:
        config = requested(root, None, file, **settings)[0].config
    elif file or any(value not in (None, ()) for value in settings.values()):
        raise InputError(f"jko steps --chain {chain}: a chain has its own data; leave one out")
    else:
        config = stored_config(chain_at(chain, root))
    found = fitted_plan(
        config, count=words["count"], ratio=words["ratio"], maximum=words["maximum"],
        tolerance=words["tolerance"], shape=words["shape"],
    )  # fmt: skip
    say(json.dumps(found, indent=1)) if as_json else show_steps(found)


def show_steps(found: FittedPlan) -> None:
    """Print fitted steps for people."""
    from rich.table import Table

    from tasks.adapters.system.screen import screen

    console = screen()
    table = Table(title=f"{len(found['steps'])} steps for {found['rows']} rows", title_justify="left")
    for name in ("block", "γ", "time so far", "blurs up to"):
        table.add_column(name, justify="right")
    for step in found["steps"]:
        table.add_row(
            str(step["index"]), f"{step['step_size']:.4g}", f"{step['time']:.3g}", f"{step['blurs']:.3g}"
        )
    console.print(table)
    console.print(
        f"nearest neighbours {found['nearest']:.3g} apart (median, standardised units, all rows), dimension "
        f"{found['dimension']:.1f} of {found['dim']}: noise of {found['width']:.3g} blurs them",
        soft_wrap=True,
    )
    console.print(f"left after Ornstein–Uhlenbeck time {found['time']:.3g}: {found['remainder']:.2g} nats")
    say(found["set"])


def changing(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments of commands that make a chain from a finished one."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
        click.option(
            "--chain", "new", type=PLACE, required=True, metavar="NEW",
            help="Folder of the new chain.",
        ),
        click.argument("old", type=CHAIN, metavar="CHAIN"),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command(cls=Command, example="jko refine data/chain --chain data/halves")
@changing
def refine(old: Path, new: Path, as_json: bool) -> None:
    """Train a chain again with every step in two halves.

    The chain in CHAIN is complete; the new one is compared with it.
    """
    change("refine", old, new, as_json)


@click.command(cls=Command, example="jko reparametrise data/chain --chain data/even")
@changing
def reparametrise(old: Path, new: Path, as_json: bool) -> None:
    """Train a chain again with equally long steps.

    Every step then moves the particles equally far. The chain in CHAIN is complete; the new one is
    compared with it.
    """
    change("reparametrise", old, new, as_json)


def change(how: Change, old: Path, new: Path, as_json: bool) -> None:
    """Make a chain from a finished one, on from where it is, and print both side by side."""
    from flows.step_plans import changed_chain, compared_json, place_of
    from flows.views.compare import compare_runs

    root = project_root()
    parent, layout = chain_at(old, root), place_of(new, root)
    found = changed_chain(how, parent, layout)
    command = resuming(layout)
    bring_up(Job(layout.chain.name, found.config, layout, root, command, parent=parent, source=parent), found)
    done = compare_runs(root, [str(parent.chain), str(layout.chain)], ())
    if as_json:
        say(json.dumps(compared_json(done, parent, layout, found), indent=1))
        return
    from flows.cli.compare import show

    show_change(found)
    show(done)


def bring_up(job: Job, found: Changed) -> None:
    """Train what is missing of the new chain."""
    from flows.step_plans import keep_start_of

    plan = make_plan(job.config, job.layout, verify=True)
    finished = nothing_to_do(job, plan)
    if finished is not None:
        say(f"nothing to do: {finished.reason} ({job.layout.chain})", err=True)
        return
    check_input(job, plan)
    explain(job, plan)
    keep_start_of(found, job.layout, job.command)
    execute(job, "report")


def show_change(found: Changed) -> None:
    """Print the new steps beside those they came from."""
    from rich.table import Table

    from tasks.adapters.system.screen import screen

    table = Table(title="steps", title_justify="left")
    for name in ("block", "γ", "from block", "of γ"):
        table.add_column(name, justify="right")
    for k, (size, source) in enumerate(zip(found.config.step_sizes, found.sources, strict=True), start=1):
        table.add_row(str(k), f"{size:.4g}", str(source), f"{found.old[source - 1]:.4g}")
    screen().print(table)
