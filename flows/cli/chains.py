"""Commands that make, continue and show chains."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import click

from flows.session import FULL, Finished, Job, check_input, describe_failure, nothing_to_do, run_job
from flows.settings import Request, build_request, extended, project_root, with_assignments
from jko.config import Config
from jko.errors import InputError
from tasks.adapters.layout import Layout
from tasks.adapters.manifest import known_manifest, resumed_config
from tasks.adapters.plan import Plan, make_plan, stored_config
from tasks.adapters.start import started_from
from tasks.adapters.starved import ran_out_of_memory

STAGES = ("prepare", "train", "certify", "evaluate", "report")


def chain_folder(request: Request, root: Path, chain: Path | None) -> Layout:
    """Where a run's chain lives: the folder given, DVC's own if there is a project, or ``.jko/chains``."""
    if chain is None:
        owned = request.default and (root / "dvc.yaml").is_file()
        chain = root / "data" / "chain" if owned else root / ".jko" / "chains" / request.name
    return Layout.of(shown(chain), root)


def refuse_other_settings(layout: Layout, config: Config, root: Path) -> None:
    """Keep the chain that DVC owns to the settings that DVC records with it.

    Raises:
        InputError: other settings than params.yaml's are wanted for ``data/chain``.
    """
    if layout.owned_by_dvc and config != build_request(root).config:
        raise InputError(
            f"{layout.chain} is the chain of params.yaml, and other settings are asked for; "
            "edit params.yaml and run jko train, or give another --chain"
        )


def shown(path: Path) -> Path:
    """A path relative to here where that is shorter to read."""
    path = Path(path).absolute()
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and path != here else path


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose settings and a chain, the same for every command that takes them."""
    options = (
        click.option("--preset", help="Named settings, such as digits, rose, moons or tabular."),
        click.option(
            "--data", "file", type=click.Path(path_type=Path), help="A CSV or NPY table, or a grey picture."
        ),
        click.option(
            "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override one setting."
        ),
        click.option("--chain", type=click.Path(path_type=Path), help="Folder of the chain."),
        click.option("--seed", type=int, help="Seed of everything random."),
    )
    for option in reversed(options):
        command = option(command)
    return command


#: what :func:`partial_options` adds, beside ``as_json``
PARTS = ("stop_after", "from_block", "source", "wait")


def partial_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that bring a chain up in parts."""
    options = (
        click.option("--stop-after", type=int, metavar="K", help="Train up to block K and leave the rest."),
        click.option("--from-block", type=int, metavar="K", help="Train block K and those after it again."),
        click.option(
            "--from", "source", type=click.Path(path_type=Path), metavar="DIR",
            help="Take the blocks of this chain that have the same settings.",
        ),
        click.option(
            "--wait", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS",
            help="Wait so long for another process that holds the chain.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def requested(root: Path, chain: Path | None, file: Path | None, **words: Any) -> tuple[Request, Layout]:
    """The settings and the chain that the options of :func:`settings_options` ask for."""
    request = build_request(root, file=str(file) if file else None, **words)
    return request, chain_folder(request, root, chain)


@click.command()
@settings_options
@partial_options
@click.option(
    "--start-from", "start", type=click.Path(path_type=Path), metavar="DIR",
    help="Start every block from the weights of that block in DIR.",
)  # fmt: skip
def train(
    *,
    chain: Path | None,
    file: Path | None,
    start: Path | None,
    as_json: bool,
    **words: Any,
) -> None:
    """Train, evaluate and report a chain; continue it if it is unfinished."""
    root = project_root()
    parts = {name: words.pop(name) for name in PARTS}
    request, layout = requested(root, chain, file, **words)
    parent = Layout.of(shown(start), root) if start else None
    config = started_from(request.config, layout, parent) if parent else request.config
    refuse_other_settings(layout, config, root)
    job = Job(request.name, config, layout, root, resuming(layout), parent=parent)
    run(in_parts(job, **parts), as_json)


@click.command()
@click.argument("chain", type=click.Path(path_type=Path), metavar="DIR")
@partial_options
@click.option("--extend", type=click.IntRange(min=1), metavar="N", help="Add N steps at the end.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Change one setting.")
def resume(
    *,
    chain: Path,
    extend: int | None,
    assignments: tuple[str, ...],
    as_json: bool,
    **parts: Any,
) -> None:
    """Continue the chain in DIR with its next unfinished block, or extend it."""
    root = project_root()
    layout = Layout.of(shown(chain), root)
    config = with_assignments(resumed_config(layout), assignments)
    if extend is not None:
        stopped = make_plan(config, layout).stopped
        if stopped:
            raise InputError(
                f"--extend {extend}: the chain was ended by its stop rule ({stopped}); "
                "add --set stop.certificate=null --set stop.movement=null to go on"
            )
        config = extended(config, extend)
    refuse_other_settings(layout, config, root)
    job = Job(layout.chain.name, config, layout, root, resuming(layout))
    run(in_parts(job, **parts), as_json)


def resuming(layout: Layout) -> str:
    """The command that continues a chain."""
    return f"jko resume {shlex.quote(str(layout.chain))}"


def in_parts(job: Job, *, source: Path | None, from_block: int | None, **parts: Any) -> Job:
    """A job with the options of :func:`partial_options`.

    Raises:
        InputError: there is nothing to take blocks from, or nothing to train again.
    """
    other = None if source is None else Layout.of(shown(source), job.root)
    if other is not None:
        stored_config(other)  # refuses what is no chain
        if other.chain.resolve() == job.layout.chain.resolve():
            raise InputError(f"--from {source}: this is the chain itself; name another one")
    if from_block is not None and not job.layout.manifest.exists():
        raise InputError(f"--from-block {from_block}: there is no chain in {job.layout.chain} yet")
    return replace(job, source=other, from_block=from_block, **parts)


@click.command()
@click.argument("chain", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def report(chain: Path, as_json: bool) -> None:
    """Write the report of the complete chain in DIR (again, if anything it shows changed)."""
    root = project_root()
    layout = Layout.of(shown(chain), root)
    config = stored_config(layout)
    plan = make_plan(config, layout)
    if not plan.complete:
        first = plan.missing[0]
        raise InputError(
            f"{layout.chain}: block {first.index} is missing ({first.reason}); run jko resume {layout.chain}"
        )
    run(Job(layout.chain.name, config, layout, root, f"jko report {layout.chain}"), as_json)


@click.command(hidden=True)
@click.argument("name", type=click.Choice(STAGES))
def stage(name: Any) -> None:
    """One DVC stage of the chain in data/chain under params.yaml."""
    root = project_root()
    request = build_request(root)
    job = Job(request.name, request.config, chain_folder(request, root, None), root, "dvc repro")
    execute(job, name)


@click.command()
@click.argument("chain", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def status(chain: Path, as_json: bool) -> None:
    """Show which blocks of the chain in DIR are done, and their figures."""
    from flows.status import chain_status, status_table

    layout = Layout.of(shown(chain), project_root())
    found = chain_status(layout)
    click.echo(json.dumps(found, indent=1)) if as_json else status_table(layout, found)


def run(job: Job, as_json: bool) -> None:
    """Run a job unless all of it is there, and print what came out."""
    plan = make_plan(job.config, job.layout, verify=True)
    finished = nothing_to_do(job, plan)
    if finished is None:
        check_input(job, plan)
        explain(job, plan)
        finished = execute(job, "report")
    else:
        click.echo(f"nothing to do: {finished.reason} ({job.layout.chain})", err=True)
    tell(job, finished, as_json)


class Interruption:
    """Takes SIGTERM as Ctrl-C, and remembers it: what libraries raise afterwards is no failure."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """End the tracked run, release the chain, stop the server, on the way up."""
        self.asked = True
        raise KeyboardInterrupt


def execute(job: Job, upto: Any) -> Finished:
    """Run a job; a failure ends with its sentence and the exact command that resumes."""
    interruption = Interruption()
    signal.signal(signal.SIGTERM, interruption)
    signal.signal(signal.SIGINT, interruption)
    try:
        return run_job(job, upto)
    except (Exception, KeyboardInterrupt) as error:
        sentence, code = describe_failure(job, KeyboardInterrupt() if interruption.asked else error)
        if code == 1 and getattr(error, "errno", None) not in FULL and not ran_out_of_memory(error):
            import traceback

            traceback.print_exc()
        click.echo(f"jko: {sentence}", err=True)
        if job.layout.manifest.exists():
            click.echo(f"to continue: {job.command}", err=True)
        sys.exit(code)


def explain(job: Job, plan: Plan) -> None:
    """Say what is kept and what will be trained, and why."""
    before = known_manifest(job.layout)
    threads = before and before["config"].get("runtime", {}).get("threads")
    if threads and threads != job.config.runtime.threads:
        now = job.config.runtime.threads
        click.echo(f"warning: {now} threads instead of {threads}: the bits may differ", err=True)
    again = job.from_block or len(plan.blocks)
    done = [block.index for block in plan.blocks if block.state == "done" and 0 < block.index < again]
    if done:
        click.echo(f"kept: {block_names(done)}, committed earlier", err=True)
    trained = [block for block in plan.missing if block.index]
    if trained and (done or not plan.blocks[0].reason.startswith("the data are not")):
        first = trained[0]
        indices = _ranges([block.index for block in trained])
        click.echo(f"to train: {indices}; block {first.index}: {first.reason}", err=True)


def block_names(indices: list[int]) -> str:
    """``block 1`` or ``blocks 1..4``."""
    return f"block{'s' if len(indices) > 1 else ''} {_ranges(indices)}"


def _ranges(indices: list[int]) -> str:
    """``1..4`` or ``1``."""
    return str(indices[0]) if len(indices) == 1 else f"{indices[0]}..{indices[-1]}"


def tell(job: Job, finished: Finished, as_json: bool) -> None:
    """The result: JSON, or a short table, the report and what to try next."""
    from flows.status import chain_status, result_table

    if as_json:
        click.echo(json.dumps({**chain_status(job.layout), "report": finished.report}, indent=1))
    elif job.stop_after is None:
        result_table(job, finished)
    else:
        click.echo(f"stopped after block {job.stop_after} as asked; to go on: {job.command}")
