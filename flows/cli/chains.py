"""Commands that make, continue and show chains."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click

from flows.session import Finished, Job, check_input, describe_failure, nothing_to_do, run_job
from flows.settings import Request, build_request, project_root
from jko.config import Config
from jko.errors import InputError
from tasks.adapters.layout import Layout
from tasks.adapters.plan import Plan, make_plan, read_manifest, stored_config
from tasks.adapters.start import started_from

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


@click.command()
@click.option("--preset", help="Named settings: digits, rose, gaussian, moons, tabular or smoke.")
@click.option(
    "--data", "file", type=click.Path(path_type=Path), help="A CSV or NPY table, or a grey picture."
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override one setting.")
@click.option("--chain", type=click.Path(path_type=Path), help="Folder of the chain.")
@click.option("--seed", type=int, help="Seed of everything random.")
@click.option(
    "--start-from",
    "start",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Start every block from the weights of that block in DIR.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def train(
    *,
    preset: str | None,
    file: Path | None,
    assignments: tuple[str, ...],
    chain: Path | None,
    seed: int | None,
    start: Path | None,
    as_json: bool,
) -> None:
    """Train, evaluate and report a chain; continue it if it is unfinished."""
    root = project_root()
    request = build_request(
        root, preset=preset, file=str(file) if file else None, assignments=assignments, seed=seed
    )
    layout = chain_folder(request, root, chain)
    parent = Layout.of(shown(start), root) if start else None
    config = started_from(request.config, layout, parent) if parent else request.config
    refuse_other_settings(layout, config, root)
    command = f"jko resume {shlex.quote(str(layout.chain))}"
    run(Job(request.name, config, layout, root, command, parent), as_json)


@click.command()
@click.argument("chain", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def resume(chain: Path, as_json: bool) -> None:
    """Continue the chain in DIR with its next unfinished block."""
    root = project_root()
    layout = Layout.of(shown(chain), root)
    config = stored_config(layout)
    refuse_other_settings(layout, config, root)
    command = f"jko resume {shlex.quote(str(layout.chain))}"
    run(Job(layout.chain.name, config, layout, root, command), as_json)


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
        if code == 1:
            import traceback

            traceback.print_exc()
        click.echo(f"jko: {sentence}", err=True)
        if job.layout.manifest.exists():
            click.echo(f"to continue: {job.command}", err=True)
        sys.exit(code)


def explain(job: Job, plan: Plan) -> None:
    """Say what is kept and what will be trained, and why."""
    before = read_manifest(job.layout)
    threads = before and before["config"].get("runtime", {}).get("threads")
    if threads and threads != job.config.runtime.threads:
        now = job.config.runtime.threads
        click.echo(f"warning: {now} threads instead of {threads}: the bits may differ", err=True)
    done = [block.index for block in plan.blocks if block.state == "done" and block.index]
    if done:
        click.echo(f"kept: block{'s' if len(done) > 1 else ''} {_ranges(done)}, committed earlier", err=True)
    trained = [block for block in plan.missing if block.index]
    if trained and (done or not plan.blocks[0].reason.startswith("the data are not")):
        first = trained[0]
        indices = _ranges([block.index for block in trained])
        click.echo(f"to train: {indices}; block {first.index}: {first.reason}", err=True)


def _ranges(indices: list[int]) -> str:
    """``1..4`` or ``1``."""
    return str(indices[0]) if len(indices) == 1 else f"{indices[0]}..{indices[-1]}"


def tell(job: Job, finished: Finished, as_json: bool) -> None:
    """The result: JSON, or a short table, the report and what to try next."""
    from flows.status import chain_status, result_table

    if as_json:
        click.echo(json.dumps({**chain_status(job.layout), "report": finished.report}, indent=1))
        return
    result_table(job, finished)
