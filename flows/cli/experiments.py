"""Commands that repeat published experiments."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from flows.cli.commands import Group
from flows.cli.kinds import FOLDER, PLACE, SEED
from flows.places import project_root, shown
from tasks.adapters.system.terminal import printable, say


@click.group(cls=Group, example="jko experiment cltx")
def experiment() -> None:
    """Repeat an experiment of a paper.

    What it shows is measured by the estimators of this project.
    """


@experiment.command(example="jko experiment cltx --seed 1 -o results")
@click.option(
    "--snapshots", "file", type=PLACE, metavar="FILE",
    help="An NPZ file with p0 and its images during somebody's training, to be measured too.",
)  # fmt: skip
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("-o", "--output", type=FOLDER, help="Folder of the results.")
def cltx(*, file: Path | None, seed: int, as_json: bool, output: Path | None) -> None:
    """Measure ε² of one block while it trains.

    It starts from N((3,3), I), as in the experiment of arXiv:2310.17582.
    """
    import torch

    from tasks.experiments import cltx as work
    from tasks.experiments.cltx_pictures import prepare_folder, write_results

    torch.set_num_threads(1)  # the same bits on every number of cores
    folder = shown(output or default_folder(project_root(), plain=file is None and seed == 0))
    arrays = work.read_snapshots(file) if file else {}
    prepare_folder(folder)
    with telling("snapshots", len(arrays)) as tell:
        measured = work.snapshots(arrays, tell=tell) if arrays else []
    with telling("training", len(work.MOMENTS)) as tell:
        trained = work.training(seed, moments=work.MOMENTS, rows=work.HELD_OUT, tell=tell)
    paths = write_results(folder, measured, trained)
    if as_json:
        say(json.dumps({"snapshots": measured, "training": trained.moments}, indent=1))
    else:
        tables({"the snapshots": measured, "our training": trained.moments})
        say("\n".join(str(path) for path in paths))


@experiment.command(example="jko experiment study --quick -o results")
@click.option("--quick", is_flag=True, help="Two tiny chains instead of twelve, in seconds.")
@click.option("-o", "--output", type=FOLDER, help="Folder of the results.")
def study(*, quick: bool, output: Path | None) -> None:
    """Measure how loose every certificate is.

    It trains chains on three laws with a known density. That takes some minutes; the same command again
    goes on where it was stopped.
    """
    import torch

    from tasks.experiments import study as work
    from tasks.experiments.cltx_pictures import prepare_folder
    from tasks.experiments.study_pictures import write_results
    from tasks.experiments.study_scaling import EPSILONS, STEP_SIZES, scaling_table
    from tasks.experiments.study_tables import guards, summary, table

    torch.set_num_threads(1)  # the same bits on every number of cores
    root = project_root()
    folder = shown(output or default_folder(root, "study", plain=not quick))
    prepare_folder(folder)
    wanted = work.cells(quick=quick)
    stored = work.study(root / ".jko" / "study", wanted, lambda text: say(text, err=True))
    rows = table(stored)
    paths = write_results(folder, scaling_table(STEP_SIZES, EPSILONS), rows)
    say("certificate / measured KL: median, largest, medians by target; what became of all")
    say(f"{summary(rows).to_string(float_format='%.3g')}\n")
    say(f"the critic's certificates by guard\n{guards(stored).to_string()}\n")
    say("\n".join(str(path) for path in paths))


def default_folder(root: Path, name: str = "cltx", *, plain: bool) -> Path:
    """Where results go: DVC's own folder for the command without options, as ``jko train`` has it.

    Args:
        root: the project's folder, or the working directory where there is no project.
        name: of the experiment.
        plain: no option was given that changes the results.
    """
    if not (root / "dvc.yaml").is_file():
        return root / name
    return root / "docs" / name if plain else root / ".jko" / "experiments" / name


@contextmanager
def telling(what: str, count: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Progress on standard error: a bar in a terminal, plain lines elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from tasks.adapters.system.screen import screen

    console = screen(err=True)
    columns = (
        TextColumn("{task.description}", style="bold", markup=False),
        BarColumn(bar_width=24), MofNCompleteColumn(),
        TextColumn("{task.fields[said]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(what, total=count, said="", visible=count > 0)

        def tell(figures: dict[str, Any]) -> None:
            said = f"{label(figures)}  ε² {figures['critic']:.4f} ± {figures['critic_se']:.4f}"
            bars.update(bar, advance=1, said=said)
            if not console.is_terminal:
                console.print(f"{what}  {said}", soft_wrap=True)

        yield tell


def label(figures: dict[str, Any]) -> str:
    """The name of a snapshot, or the iteration of a training."""
    return printable(figures["name"]) if "name" in figures else f"step {figures['iteration']}"


def tables(parts: dict[str, list[dict[str, Any]]]) -> None:
    """One table of ε² by every estimator for each part that has entries."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tasks.adapters.system.screen import screen

    console = screen()
    for title, entries in parts.items():
        if not entries:
            continue
        table = Table(
            title=f"ε² of {title} (± one SE)", title_justify="left",
            box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True,
        )  # fmt: skip
        exact = ["exact"] if "exact" in entries[0] else []
        for name in ("", *exact, "Gaussian", "OT map", "affine critic", "with RBF", "paper's"):
            table.add_column(name, justify="right" if name else "left", no_wrap=True)
        for entry in entries:
            table.add_row(label(entry), *cells(entry))
        console.print(table)


def cells(entry: dict[str, Any]) -> list[str]:
    """The figures of one row."""
    names = (["exact"] if "exact" in entry else []) + ["gaussian", "critic_affine_ot"]
    critics = [f"{number(entry[name])} ±{number(entry[f'{name}_se'])}" for name in ("critic", "critic_rbf")]
    return [*(number(entry[name]) for name in names), *critics, number(entry["paper_kde"])]


def number(value: float) -> str:
    """Enough digits to see what matters, few enough for a narrow terminal."""
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"
