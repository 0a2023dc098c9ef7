"""Commands that train and compare many chains whose settings differ."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TypedDict, Unpack

import click

from flows.cli.chains import Interruption, execute, explain
from flows.cli.commands import Command
from flows.cli.kinds import PLACE, PRESET, SEED
from flows.places import project_root, shown
from flows.sweeps.sweep_plan import FIGURES
from jko.core.errors import InputError, NumericalError, was_interrupted
from jko.core.plain import shortened
from tasks.adapters.system.terminal import say


class SweepWords(TypedDict):
    """The options that choose the cells of a sweep."""

    preset: str | None
    assignments: tuple[str, ...]
    grid: tuple[str, ...]
    random: tuple[str, ...]
    draws: int | None
    sweep_seed: int
    by: str | None


@click.command(cls=Command, example="jko sweep lengths --preset moons --grid steps.count=2,4 --seeds 0,1")
@click.argument("name")
@click.option(
    "--preset", type=PRESET, help="Named settings that all cells start from, such as digits or rose."
)
@click.option("--data", "file", type=PLACE, help="A table (CSV, Parquet, NPY, …) or a grey picture.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set one setting for all cells."
)
@click.option(
    "--grid", multiple=True, metavar="KEY=V1,V2,…",
    help="Vary a setting over YAML values; a value that is a list has brackets: network.hidden=[64],[64,64].",
)  # fmt: skip
@click.option(
    "--random", multiple=True, metavar="KEY=LO:HI[:log]",
    help="Draw a setting from a range, or from values as in --grid.",
)  # fmt: skip
@click.option("--draws", type=click.IntRange(1, 100_000), metavar="N", help="Number of random combinations.")
@click.option("--sweep-seed", type=SEED, default=0, show_default=True, help="Of the draws.")
@click.option("--seeds", metavar="S1,S2,…", help="Train every combination with each of these seeds.")
@click.option(
    "--runner", type=click.Choice(["threads", "processes"]), default="threads", show_default=True,
    help="Prefect's task runner.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1, 1024), default=1, show_default=True, help="Cells side by side."
)
@click.option(
    "--by", type=click.Choice(FIGURES), metavar="FIGURE",
    help=f"The figure to compare by, of {', '.join(FIGURES)}; default test/nll.",
)  # fmt: skip
@click.option("--retry", is_flag=True, help="Try cells again that failed numerically.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def sweep(
    *,
    name: str,
    file: Path | None,
    seeds: str | None,
    runner: str,
    jobs: int,
    retry: bool,
    as_json: bool,
    **words: Unpack[SweepWords],
) -> None:
    """Train a chain for every combination of settings.

    The chains are compared at the end. The same command again, or `jko sweep NAME` alone, goes on with
    what is missing; other values add cells. Blocks that several cells have in common are trained once.
    """
    from flows.sweeps.sweep_plan import Wanted, find_sweep, sweep_folder
    from flows.sweeps.sweep_run import run_sweep
    from flows.sweeps.sweep_show import show_sweep

    root = project_root()
    folder = shown(sweep_folder(root, name))
    wanted = Wanted(file=str(file) if file else None, seeds=seed_list(seeds), **words)
    found, said = find_sweep(root, folder, name, wanted)
    if said:
        say(said, err=True)
    interruption = Interruption()
    signal.signal(signal.SIGTERM, interruption)
    signal.signal(signal.SIGINT, interruption)
    try:
        failures = run_sweep(found, root, runner=runner, jobs=jobs, retry=retry)
    except (Exception, KeyboardInterrupt) as error:
        if not (interruption.asked or was_interrupted(error)):
            raise
        say("jko: interrupted; finished cells and committed blocks are kept", err=True)
        say(f"to continue: jko sweep {name}", err=True)
        sys.exit(130)
    show_sweep(found, root, failures, as_json=as_json)
    sys.exit(NumericalError.exit_code if failures else 0)


#: of the largest seed
DIGITS = 16


def seed_list(text: str | None) -> tuple[int, ...]:
    """The seeds of ``0,1,2``.

    Raises:
        InputError: something else than whole numbers.
    """
    parts = [part.strip() for part in text.split(",")] if text is not None else []
    if not all(part.isascii() and part.isdigit() and len(part) <= DIGITS for part in parts):
        raise InputError(
            f"--seeds {shortened(text)}: whole numbers from 0 on with commas between, as in 0,1,2"
        )
    return tuple(dict.fromkeys(int(part) for part in parts))


@click.command(cls=Command, example="jko cell .jko/sweeps/lengths 0 --parent 1 0", hidden=True)
@click.argument("folder", type=PLACE)
@click.argument("name")
@click.option("--stop-after", type=int)
@click.option("--from", "source")
@click.option("--parent", type=(int, float), required=True)
def cell(
    folder: Path, name: str, stop_after: int | None, source: str | None, parent: tuple[int, float]
) -> None:
    """Train one cell of a sweep.

    It ends when the process --parent ends.
    """
    from flows.session import check_input, nothing_to_do
    from flows.sweeps.sweep_cells import end_with
    from flows.sweeps.sweep_plan import step_job
    from tasks.adapters.store.plan import make_plan
    from tasks.sweep.cells import stored_sweep

    end_with(*parent)
    job = step_job(stored_sweep(folder), name, project_root(), stop_after=stop_after, source=source)
    plan = make_plan(job.config, job.layout, verify=True)
    if stop_after == 0 and plan.data_digest is not None:
        return
    finished = None if stop_after == 0 else nothing_to_do(job, plan)
    if finished is None:
        check_input(job, plan)
        explain(job, plan)
        execute(job, "prepare" if stop_after == 0 else "report")
