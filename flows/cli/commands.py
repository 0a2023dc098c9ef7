"""Every command of ``jko``: its group, the place it is in, and what the help says of it in one line.

A command's module is loaded when the command is asked for. So ``jko --help`` loads none of them, and this
table says what they would say: the first line of each command's own help.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Entry(NamedTuple):
    """A command that is not loaded yet.

    Args:
        place: ``module.function`` in :mod:`flows.cli`.
        says: the first line of its help, without the full stop; at most 59 letters fit into 80 columns.
    """

    place: str
    says: str


#: of every group its commands, in the order of the help
GROUPS = {
    "Train": {
        "train": Entry("chains.train", "Train, evaluate and report a chain, or go on with it"),
        "resume": Entry("chains.resume", "Go on with a chain, or make it longer"),
        "sweep": Entry("sweeps.sweep", "Train a chain for every combination of settings"),
        "steps": Entry("step_plans.steps", "Fit step sizes to data"),
        "refine": Entry("step_plans.refine", "Train a chain again with every step in two halves"),
        "reparametrise": Entry("step_plans.reparametrise", "Train a chain again with equally long steps"),
    },
    "Look": {
        "describe": Entry("describing.describe", "Say of what kind the columns of a table are, and why"),
        "status": Entry("status.status", "Show which blocks of a chain are done, and their figures"),
        "plan": Entry("upkeep.plan", "Show what would be trained, and why"),
        "certify": Entry("guarantees.certify", "Show what a chain guarantees, and on what it rests"),
        "report": Entry("chains.report", "Write the report of a chain"),
    },
    "Use": {
        "sample": Entry("models.sample", "Draw samples from a chain"),
        "score": Entry("models.score", "Write the log-density of every row of a file"),
        "impute": Entry("models.impute", "Fill the empty cells of a file by draws from a chain"),
        "judge": Entry("judging.judge", "Say how far data and any model are apart, by its samples"),
    },
    "Schedule": {
        "schedule": Entry("schedules.schedule", "Train by the clock"),
        "up": Entry("schedules.up", "Start the servers and the runner that schedules need"),
        "down": Entry("schedules.down", "Stop what jko up started"),
    },
    "Compare": {
        "runs": Entry("compare.runs", "List the tracked runs, the last first"),
        "tag": Entry("compare.tag", "Give a run a name"),
        "compare": Entry("compare.compare", "Compare runs side by side"),
        "experiment": Entry("experiments.experiment", "Repeat an experiment of a paper"),
    },
    "Keep": {
        "verify": Entry("upkeep.verify", "Check every file and every block of a chain"),
        "prune": Entry("upkeep.prune", "Remove what a chain no longer needs"),
        "completion": Entry("completion.completion", "Print what lets a shell complete jko's words"),
    },
}
#: what DVC and sweeps call; not in the help
HIDDEN = {
    "stage": Entry("chains.stage", "Run one DVC stage of the chain in data/chain"),
    "cell": Entry("sweeps.cell", "Train one cell of a sweep"),
}
SHOWN = {name: entry for group in GROUPS.values() for name, entry in group.items()}
COMMANDS = {**SHOWN, **HIDDEN}


class WithExample:
    """What help has at its end: one command as somebody would type it.

    Args:
        example: the whole line, beginning with ``jko``.
    """

    def __init__(self, *given: Any, example: str, **words: Any) -> None:
        super().__init__(*given, **words)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example as it is: a line that is broken cannot be copied."""
        with formatter.section("Example"):
            formatter.write(f"{'':>{formatter.current_indent}}{self.example}\n")


class Command(WithExample, click.Command):
    """A command whose help has an example."""


class Group(WithExample, click.Group):
    """A command with commands of its own, all of which have an example."""

    command_class = Command


class Commands(Group):
    """The group of all commands, each of which is loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of those in the help."""
        return list(SHOWN)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, function = entry.place.partition(".")
        command: click.Command = getattr(import_module(f"flows.cli.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section a group, all in columns of one width."""
        width = max(map(len, SHOWN))
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.says) for name, entry in group.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands and options that begin so; loads no command."""
        from click.shell_completion import CompletionItem

        beginning = (item for item in SHOWN.items() if item[0].startswith(incomplete))
        found = [CompletionItem(name, help=entry.says) for name, entry in beginning]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]
