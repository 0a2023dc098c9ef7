"""Entry point of ``jko``."""

from __future__ import annotations

import sys

import click

from flows.cli import chains, compare, experiments, guarantees, models, schedules, step_plans, sweeps, upkeep
from jko.errors import JkoError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="jko-flow", prog_name="jko")
def cli() -> None:
    """Normalizing flows trained block by block as JKO steps: resumable, tracked, measured."""


for command in (
    chains.train, chains.resume, chains.report, chains.status, chains.stage, guarantees.certify,
    models.sample, models.score, experiments.experiment, compare.runs, compare.tag, compare.compare,
    upkeep.plan, upkeep.verify, upkeep.prune, schedules.schedule, schedules.up, schedules.down,
    sweeps.sweep, sweeps.cell, step_plans.steps, step_plans.refine, step_plans.reparametrise,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Run the command line; a known error is one sentence and its exit code."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except JkoError as error:
        click.echo(f"jko: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
