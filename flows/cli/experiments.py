"""Commands that repeat published experiments."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.commands import Group
from flows.cli.kinds import CHAIN, FOLDER, PLACE, SEED
from flows.places import chain_at, project_root, shown
from jko.certify.status import Status
from jko.core.display import figure
from jko.core.errors import InputError
from tasks.adapters.system.terminal import printable, say

if TYPE_CHECKING:
    from tasks.experiments.apart import Apart
    from tasks.experiments.cltx_records import Estimates, Level

#: what ξ is made of, in the order of its figures: by the paper's statistic, and exact mean squares
PARTS = ("∇V+s", "move", "s")


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
    """Measure ε² of one block while it trains, and what it is made of.

    It starts from N((3,3), I), as in the experiment of arXiv:2310.17582.
    """
    import torch

    from tasks.experiments import cltx as work
    from tasks.experiments.cltx_files import read_snapshots
    from tasks.experiments.cltx_pictures import prepare_folder, results, write_results

    torch.set_num_threads(1)  # the same bits on every number of cores
    folder = shown(output or default_folder(project_root(), plain=file is None and seed == 0))
    arrays = read_snapshots(file) if file else {}
    prepare_folder(folder)
    with telling("snapshots", len(arrays)) as tell:
        measured = work.snapshots(arrays, tell=tell) if arrays else []
    with telling("training", len(work.MOMENTS)) as tell:
        trained = work.training(seed, moments=work.MOMENTS, rows=work.HELD_OUT, tell=tell)
    level = work.exact_step(seed, rows=work.ROWS, draws=work.DRAWS)
    paths = write_results(folder, measured, trained, level)
    if as_json:
        say(json.dumps(results(measured, trained, level), indent=1))
    else:
        tables({"the snapshots": measured, "our training": trained.moments})
        say(exact_level(level))
        say("\n".join(str(path) for path in paths))


@experiment.command(example="jko experiment study --quick -o results")
@click.option("--quick", is_flag=True, help="Two tiny chains instead of twelve, in seconds.")
@click.option("-o", "--output", type=FOLDER, help="Folder of the results.")
def study(*, quick: bool, output: Path | None) -> None:
    """Measure how loose every certificate and the bracket are.

    It trains chains on three laws with a known density. That takes some minutes; the same command again
    goes on where it was stopped.
    """
    import torch

    from tasks.experiments import study as work
    from tasks.experiments.cltx_pictures import prepare_folder
    from tasks.experiments.study_pictures import write_results
    from tasks.experiments.study_scaling import EPSILONS, STEP_SIZES, scaling_table
    from tasks.experiments.study_tables import bracket_summary, brackets, guards, summary, table

    torch.set_num_threads(1)  # the same bits on every number of cores
    root = project_root()
    folder = shown(output or default_folder(root, "study", plain=not quick))
    prepare_folder(folder)
    wanted = work.cells(quick=quick)
    stored = work.study(root / ".jko" / "study", wanted, lambda text: say(text, err=True))
    rows, apart = table(stored), brackets(stored)
    paths = write_results(folder, scaling_table(STEP_SIZES, EPSILONS), rows, apart)
    say("certificate / measured KL: median, largest, medians by target; what became of all")
    say(f"{summary(rows).to_string(float_format='%.3g')}\n")
    say("brackets by resolution: blocks, 95 % levels that hold, medians in nats, median of level / KL")
    say(f"{bracket_summary(apart).to_string(float_format='%.3g')}\n")
    say(f"the critic's certificates by guard\n{guards(stored).to_string()}\n")
    say("\n".join(str(path) for path in paths))


@experiment.command(example="jko experiment apart data/chain")
@click.argument("chains", type=CHAIN, metavar="[DIR ...]", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def apart(*, chains: tuple[Path, ...], as_json: bool) -> None:
    """Set certificate, bracket and truth side by side.

    One line for every chain in DIR, and one for a law that hides from critics: eight columns with ripples,
    judged by samples of N(0, I).
    """
    from flows.views.certify import certificate_of
    from jko.disk.manifest import required_manifest, stored_config
    from tasks.adapters.store.chain_store import ChainStore
    from tasks.experiments.apart import hidden, of_chain

    found = []
    for place in chains:
        layout = chain_at(place, project_root())
        store = ChainStore(stored_config(layout), layout, required_manifest(layout).fingerprints)
        one = of_chain(store, certificate_of(layout))
        if one is None:
            raise InputError(f"{place}: the chain has no bracket, so nothing is set beside it")
        found.append(one)
    found.append(hidden())
    if as_json:
        say(json.dumps([one.plain() for one in found], indent=1))
        return
    names = ("bound", "KL", "s", "bracket, 95 %", "KL at s", "wrong in", "by ≥")
    table_of(
        "KL of data and model, nats; ≲: a bound as far as a critic sees",
        names,
        [line_of(one) for one in found],
    )


def line_of(one: Apart) -> list[str]:
    """A line of the table; a resolution in brackets is not certified."""
    old = f"{'' if one.how == Status.MEASURED or one.old is None else '≲ '}{figure(one.old)}"
    s = f"{one.bracket.resolution:g}" if one.narrow else f"({one.bracket.resolution:g})"
    levels = f"{figure(one.bracket.at_least)} … {figure(one.bracket.at_most)}"
    columns = printable(" and ".join(one.worst)), figure(one.least or None)
    return [printable(one.name), old, figure(one.kl), s, levels, figure(one.truth), *columns]


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
def telling(what: str, count: int) -> Iterator[Callable[[Estimates], None]]:
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

        def tell(found: Estimates) -> None:
            said = f"{label(found)}  ε² {found.critic:.4f} ± {found.critic_se:.4f}"
            bars.update(bar, advance=1, said=said)
            if not console.is_terminal:
                console.print(f"{what}  {said}", soft_wrap=True)

        yield tell


def label(found: Estimates) -> str:
    """The name of a snapshot, or the iteration of a training."""
    from tasks.experiments.cltx_records import Moment, Snapshot

    if isinstance(found, Snapshot):
        return printable(found.name)
    return f"step {found.iteration}" if isinstance(found, Moment) else ""


def tables(parts: Mapping[str, Sequence[Estimates]]) -> None:
    """Tables of ε² by every estimator, and of what ξ is made of, for each part that has entries."""
    for title, entries in parts.items():
        if not entries:
            continue
        exact = ["exact"] if "exact" in type(entries[0]).model_fields else []
        names = (*exact, "Gaussian", "OT map", "affine critic", "with RBF", "paper's")
        table_of(f"ε² of {title} (± one SE)", names, [(label(one), *cells(one)) for one in entries])
        names = tuple(f"{name} {how}" for how in ("paper", *exact) for name in PARTS)
        rows = [(label(one), *sizes(one)) for one in entries]
        table_of(f"ξ of {title} is ∇V + score s − move (back − Id)/γ", names, rows)


def table_of(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose first column has no name."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tasks.adapters.system.screen import screen

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("", *names):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    screen().print(table)


def cells(entry: Estimates) -> list[str]:
    """ε² by every estimator."""
    names = ("exact", "gaussian", "critic_affine_ot")
    critics = [
        f"{number(getattr(entry, name))} ±{number(getattr(entry, f'{name}_se'))}"
        for name in ("critic", "critic_rbf")
    ]
    return [*(number(getattr(entry, name)) for name in names if hasattr(entry, name)), *critics,
            number(entry.paper_kde)]  # fmt: skip


def sizes(entry: Estimates) -> list[str]:
    """The sizes of the parts of ξ."""
    names = [f"{how}_{part}" for how in ("paper", "exact") for part in ("gradient", "transport", "score")]
    return [number(getattr(entry, name)) for name in names if hasattr(entry, name)]


def exact_level(level: Level) -> str:
    """In words what the paper's statistic shows at an exact step."""
    return (
        f"the paper's statistic at an exact step, where ε is 0: {number(level.paper_kde)} ± "
        f"{number(level.paper_kde_std)} (standard deviation of {level.draws} draws)"
    )


def number(value: float) -> str:
    """Enough digits to see what matters, few enough for a narrow terminal."""
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"
