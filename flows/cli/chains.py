"""Commands that make and continue chains."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Unpack

import click

from flows.cli.commands import Command
from flows.cli.jobs import (
    ResumeWords,
    TrainWords,
    chain_folder,
    extend_option,
    partial_options,
    resume_job,
    settings_options,
    start_option,
    train_job,
)
from flows.cli.kinds import CHAIN
from flows.failures import end
from flows.places import chain_at, project_root
from flows.session import Finished, Job, check_input, nothing_to_do, run_job
from flows.settings import build_request
from jko.config import parse_config
from jko.core.errors import InputError
from jko.disk.manifest import known_manifest, stored_config
from tasks.adapters.store.plan import Plan, make_plan
from tasks.adapters.system.terminal import say

if TYPE_CHECKING:
    from flows.pipeline import Stage

STAGES = ("prepare", "train", "certify", "evaluate", "report")


@click.command(cls=Command, example="jko train --data rows.csv")
@settings_options
@partial_options
@start_option
def train(*, as_json: bool, **words: Unpack[TrainWords]) -> None:
    """Train, evaluate and report a chain, or go on with it.

    Without options it is the chain of params.yaml; where there is no such file, that of --preset digits.
    """
    run(train_job(project_root(), **words), as_json)


@click.command(cls=Command, example="jko resume data/chain --extend 2")
@click.argument("chain", type=CHAIN, metavar="DIR")
@partial_options
@extend_option
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Change one setting.")
def resume(*, as_json: bool, **words: Unpack[ResumeWords]) -> None:
    """Go on with a chain, or make it longer.

    The chain in DIR goes on with its next unfinished block.
    """
    run(resume_job(project_root(), **words), as_json)


@click.command(cls=Command, example="jko report data/chain")
@click.argument("chain", type=CHAIN, metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def report(chain: Path, as_json: bool) -> None:
    """Write the report of a chain.

    The chain in DIR is complete. The report is written again if anything it shows changed.
    """
    root = project_root()
    layout = chain_at(chain, root)
    config = stored_config(layout)
    plan = make_plan(config, layout)
    if not plan.complete:
        first = plan.missing[0]
        raise InputError(
            f"{layout.chain}: block {first.index} is missing ({first.reason}); run jko resume {layout.chain}"
        )
    run(Job(layout.chain.name, config, layout, root, f"jko report {layout.chain}"), as_json)


@click.command(cls=Command, example="jko stage train", hidden=True)
@click.argument("name", type=click.Choice(STAGES))
def stage(name: Stage) -> None:
    """Run one DVC stage of the chain in data/chain.

    Its settings are those of params.yaml.
    """
    root = project_root()
    request = build_request(root)
    job = Job(request.name, request.config, chain_folder(request, root, None), root, "dvc repro")
    execute(job, name)


def run(job: Job, as_json: bool) -> None:
    """Run a job unless all of it is there, and print what came out."""
    plan = make_plan(job.config, job.layout, verify=True)
    finished = nothing_to_do(job, plan)
    if finished is None:
        check_input(job, plan)
        explain(job, plan)
        finished = execute(job, "report")
    else:
        say(f"nothing to do: {finished.reason} ({job.layout.chain})", err=True)
    tell(job, finished, as_json)


class Interruption:
    """Takes SIGTERM as Ctrl-C, and remembers it: what libraries raise afterwards is no failure."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """End the tracked run, release the chain, stop the server, on the way up."""
        self.asked = True
        raise KeyboardInterrupt


def execute(job: Job, upto: Stage) -> Finished:
    """Run a job; a failure ends with its sentence and the exact command that resumes."""
    interruption = Interruption()
    signal.signal(signal.SIGTERM, interruption)
    signal.signal(signal.SIGINT, interruption)
    try:
        return run_job(job, upto)
    except (Exception, KeyboardInterrupt) as error:
        there = job.layout.manifest.exists()
        sys.exit(end(KeyboardInterrupt() if interruption.asked else error, job.command if there else ""))


def explain(job: Job, plan: Plan) -> None:
    """Say what is kept and what will be trained, and why."""
    before = known_manifest(job.layout)
    threads = None if before is None else parse_config(before.config).runtime.threads
    if threads and threads != job.config.runtime.threads:
        now = job.config.runtime.threads
        say(f"warning: {now} threads instead of {threads}: the bits may differ", err=True)
    again = job.from_block or len(plan.blocks)
    done = [block.index for block in plan.blocks if block.state == "done" and 0 < block.index < again]
    if done:
        say(f"kept: {block_names(done)}, committed earlier", err=True)
    trained = [block for block in plan.missing if block.index]
    if trained and (done or not plan.blocks[0].reason.startswith("the data are not")):
        first = trained[0]
        indices = _ranges([block.index for block in trained])
        say(f"to train: {indices}; block {first.index}: {first.reason}", err=True)


def block_names(indices: list[int]) -> str:
    """``block 1`` or ``blocks 1..4``."""
    return f"block{'s' if len(indices) > 1 else ''} {_ranges(indices)}"


def _ranges(indices: list[int]) -> str:
    """``1..4`` or ``1``."""
    return str(indices[0]) if len(indices) == 1 else f"{indices[0]}..{indices[-1]}"


def tell(job: Job, finished: Finished, as_json: bool) -> None:
    """The result: JSON, or a short table, the report and what to try next."""
    from flows.views.status import chain_status, result_table

    if as_json:
        say(json.dumps({**chain_status(job.layout), "report": finished.report}, indent=1))
    elif job.stop_after is None:
        result_table(job, finished)
    else:
        say(f"stopped after block {job.stop_after} as asked; to go on: {job.command}")
