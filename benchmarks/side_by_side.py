"""Peers and ours on one file of the user's, as rows of one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.methods import METHODS
from benchmarks.problem import Problem
from benchmarks.run import run_method
from jko.core.errors import InputError

#: columns of text where the output is no terminal
WIDE = 120
#: what is run on any file, in this order
SHOWN = ("gaussian", "mixture", "nsf", "ours")


@dataclass(frozen=True)
class Line:
    """One row of the table.

    Args:
        name: of the method.
        ours: whether it is the project's own chain.
        value: the gap to the picture's density or the NLL of the table, nats; ``None`` if unknown.
        se: its standard error over the test rows, nats.
        core_s: CPU seconds spent.
        peak_mb: largest resident memory of the process so far, MiB.
        note: what else there is to say.
    """

    name: str
    ours: bool
    value: float | None = None
    se: float | None = None
    core_s: float | None = None
    peak_mb: float | None = None
    note: str = ""


def compare(
    problem: Callable[[str | None], Problem],
    seconds: Mapping[str, float],
    threads: Mapping[str, int],
    seed: int,
) -> list[Line]:
    """Run every method that can be run here.

    Args:
        problem: the user's rows, as a method's start (:attr:`benchmarks.methods.Method.start`) has them.
        seconds: CPU seconds by method.
        threads: of torch, by method; 1 for those that are not named.
        seed: of the methods.
    """
    lines = []
    for name in SHOWN:
        click.echo(f"{METHODS[name].label}: at most {seconds[name]:.0f} core-s", err=True)
        lines.append(_line(problem, name, seconds[name], threads.get(name, 1), seed))
    return lines


def _line(
    problem: Callable[[str | None], Problem], name: str, seconds: float, threads: int, seed: int
) -> Line:
    method = METHODS[name]
    try:
        method.load()
    except InputError as error:
        note = "not installed" if method.missing else str(error)
        return Line(method.label, method.ours, note=note)
    torch.set_num_threads(threads)
    try:
        record = run_method(problem(method.start), name, "default", seed, seconds).record()
    except InputError as error:  # such as a budget in which no iteration would be left
        return Line(method.label, method.ours, note=str(error))
    figure = record[record["measure"]]
    note = "" if figure["value"] is not None else "not finite"
    return Line(
        method.label, method.ours, figure["value"], figure["se"], record["core_s"], record["peak_mb"], note
    )


def show(problem: Problem, lines: Sequence[Line], *, as_json: bool) -> None:
    """Print the table, the smallest figure first, or JSON."""
    ranked = sorted(lines, key=lambda line: (line.value is None, line.value or 0.0))
    if as_json:
        click.echo(json.dumps({"rows": [_json(line, problem.measure) for line in ranked]}, indent=1))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=f"{problem.name}: {len(problem.test)} test rows")
    for heading in ("method", f"{_HEADINGS[problem.measure]}, nats", "±", "core-s", "peak MiB", ""):
        table.add_column(heading, justify="left" if heading in ("method", "") else "right")
    for line in ranked:
        cells = (_number(line.value, 4), _number(line.se, 4), _number(line.core_s), _number(line.peak_mb))
        table.add_row(line.name, *cells, line.note, style="bold" if line.ours else None)
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=WIDE)).print(table)
    for note in problem.notes:
        click.echo(note)


_HEADINGS = {"gap": "gap to the density", "nll": "NLL"}


def _json(line: Line, measure: str) -> dict[str, Any]:
    values = asdict(line)
    return {"name": values.pop("name"), "ours": values.pop("ours"), measure: values.pop("value"), **values}


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
