"""The reported cells, some at a time; stopped and started again, it goes on with what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.cell import RESULTS, ROOM, Cell, result_of
from benchmarks.chosen import RECORD, check
from benchmarks.command import DATA, sentences
from benchmarks.methods import METHODS
from benchmarks.plan import Plan, expected, plan, trials
from benchmarks.sets import GROUPS, SETS, file_of, names
from jko.core.errors import InputError

#: one thread for every cell, whatever library it uses
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
#: kinds of sets
KINDS = ("picture", "plane", "table")
#: seconds between two looks at the running cells
PAUSE = 0.2


@dataclass(frozen=True)
class Failure:
    """A cell that ended without figures.

    Args:
        cell: which.
        sentence: the last line it wrote.
        refused: it said that it cannot run so, and would say the same again.
    """

    cell: Cell
    sentence: str
    refused: bool


def plans(only: str | None, data: Path | None, record: Path = RECORD) -> tuple[list[Plan], list[str]]:
    """The plan of every reported set, and sentences on what is left out.

    Args:
        only: a kind of sets; all by default.
        data: folder of the files.
        record: of the tuning.
    """
    made, left_out = [], []
    for kind in KINDS if only is None else (only,):
        for name in names(kind):
            try:
                file_of(name, data)
            except InputError as error:
                left_out.append(f"left out: {error}")
                continue
            made.append(plan(name, record))
    return made, left_out


def missing(made: Sequence[Plan], data: Path | None, results: Path) -> list[Cell]:
    """The known cells without figures."""
    return [cell for one in made for cell in one.cells if result_of(cell, data, results) is None]


def unable(cells: Sequence[Cell]) -> dict[str, str]:
    """Methods among the cells that cannot run here, with the sentence that says why."""
    found = {}
    for name in sorted({cell.method for cell in cells}):
        try:
            METHODS[name].load()
        except InputError as error:
            found[name] = str(error)
    return found


def command_of(cell: Cell, data: Path | None, results: Path) -> list[str]:
    """The command that runs a cell."""
    command = [sys.executable, "-m", "benchmarks.cell", cell.set, cell.method, "--setting", cell.setting]
    command += ["--seed", str(cell.seed), "--seconds", str(cell.seconds), "--results", str(results.resolve())]
    return command + (["--data", str(data.resolve())] if data else [])


def run_all(
    cells: Sequence[Cell], jobs: int, command: Callable[[Cell], list[str]], ended: Callable[[Cell], None]
) -> list[Failure]:
    """Run cells as processes of their own, ``jobs`` at a time; those running end with this one.

    Args:
        cells: what to run, in this order.
        jobs: how many at a time.
        command: of a cell.
        ended: called with every cell that has ended.

    Returns:
        The cells that ended without figures.
    """
    waiting, failures = deque(cells), []
    running: dict[Cell, subprocess.Popen[str]] = {}
    said: dict[Cell, IO[str]] = {}
    with _ending(running), ExitStack() as files:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.popleft()
                said[cell] = files.enter_context(tempfile.TemporaryFile("w+"))
                running[cell] = _start(command(cell), said[cell])
            time.sleep(PAUSE)
            for cell in [cell for cell, process in running.items() if process.poll() is not None]:
                process = running.pop(cell)
                said[cell].seek(0)
                lines = said[cell].read().strip().splitlines()
                if code := process.returncode:
                    sentence = lines[-1] if lines else f"exit code {code}"
                    failures.append(Failure(cell, sentence, refused=code == InputError.exit_code))
                ended(cell)
    return failures


def _start(command: list[str], said: IO[str]) -> subprocess.Popen[str]:
    """A cell as a process; what it says goes to a file, since nobody reads a pipe while it runs."""
    return subprocess.Popen(
        command,
        cwd=ROOM.parent,
        env={**os.environ, **ONE_THREAD},
        stdout=subprocess.DEVNULL,
        stderr=said,
        text=True,
    )


@contextmanager
def _ending(running: dict[Cell, subprocess.Popen[str]]) -> Iterator[None]:
    """Processes that still run when this is left, by Ctrl-C say, are ended."""
    try:
        yield
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def show(made: Sequence[Plan], todo: Sequence[Cell], console: Console) -> None:
    """List the cells that would run, with their CPU seconds, and the sum."""
    for cell in todo:
        console.print(f"{expected(cell):6d} core-s  {cell.name}")
    for one in made:
        for what, seconds in one.later.items():
            console.print(f"{seconds:6d} core-s  then {what}")
    later = sum(sum(one.later.values()) for one in made)
    seconds = sum(map(expected, todo)) + later
    total = sum(one.seconds for one in made)
    tuning = sum(cell.seconds for group in GROUPS for cell in trials(group))
    console.print(
        f"to run: {seconds / 3600:.2f} core-hours at most, of {total / 3600:.2f} for the whole; "
        f"the tuning before it is {tuning / 3600:.2f}; looking at the test rows comes on top"
    )


def go_on(
    made: Sequence[Plan], jobs: int, data: Path | None, results: Path, console: Console
) -> list[Failure]:
    """Run the cells that are missing and can be run here.

    Raises:
        InputError: settings are not those that the tuning recorded.
    """
    todo = missing(made, data, results)
    for cell in todo:
        check(SETS[cell.set].group, cell.method, cell.setting)
    unable_to = unable(todo)
    todo = [cell for cell in todo if cell.method not in unable_to]
    failures = run_round(todo, jobs, data, results, console) if todo else []
    failed = {failure.cell for failure in failures}
    failures += [
        Failure(cell, "the machine did much else meanwhile: run it again when it is quiet", refused=False)
        for cell in todo
        if cell not in failed and result_of(cell, data, results) is None
    ]
    for sentence in unable_to.values():
        console.print(f"left out: {sentence}")
    return failures


def run_round(
    todo: Sequence[Cell], jobs: int, data: Path | None, results: Path, console: Console
) -> list[Failure]:
    """Run cells with a bar that shows how many have ended."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("cells", total=len(todo))

        def ended(cell: Cell) -> None:
            progress.update(bar, advance=1, description=cell.name)

        return run_all(todo, jobs, lambda cell: command_of(cell, data, results), ended)


@click.command()
@click.option("--only", type=click.Choice(KINDS), help="One kind of sets.")
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Cells at a time.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@click.option("--dry-run", is_flag=True, help="List the cells that would run, with their CPU seconds.")
@DATA
@sentences
def main(only: str | None, jobs: int, results: Path, data: Path | None, *, dry_run: bool) -> None:
    """Run every cell of the benchmark that has no figures yet."""
    console = Console(highlight=False, soft_wrap=True)
    made, left_out = plans(only, data)
    for sentence in left_out:
        console.print(sentence)
    if dry_run:
        show(made, missing(made, data, results), console)
        return
    failures = go_on(made, jobs, data, results, console)
    for failure in failures:
        console.print(f"failed: {failure.cell.name}: {failure.sentence}")
    if failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
