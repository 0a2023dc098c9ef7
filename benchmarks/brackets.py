"""CPU seconds and memory of the brackets: of whole rows at every resolution, and of every pair of columns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import click
import torch
from torch import Tensor

from benchmarks.budget import peak_memory_mb
from benchmarks.command import sentences
from benchmarks.page import markdown
from jko.certify.bracket import bracket
from jko.certify.projections import pairs_of
from jko.config.sections import RESOLUTIONS


@dataclass(frozen=True)
class Cost:
    """What a computation took.

    Args:
        what: in words.
        seconds: of CPU time, one thread.
        above: largest resident memory of the process above what it was before, MiB.
    """

    what: str
    seconds: float
    above: float


def cost_of(what: str, work: Callable[[], object]) -> Cost:
    """Time and memory of some work, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        before, start = peak_memory_mb(), time.process_time()
        work()
        return Cost(what, time.process_time() - start, peak_memory_mb() - before)
    finally:
        torch.set_num_threads(threads)


def normal(rows: int, columns: int, seed: int) -> Tensor:
    """Draws of N(0, I), float64."""
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@click.command()
@click.option("--rows", default=10_000, show_default=True, help="Held-out rows.")
@click.option("--samples", default=100_000, show_default=True, help="Samples of the model.")
@click.option("--columns", default=10, show_default=True, help="Columns of the bracket of whole rows.")
@click.option("--pairs-of", "many", default=30, show_default=True, help="Columns of the pairs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@sentences
def main(rows: int, samples: int, columns: int, many: int, as_json: bool) -> None:
    """Bracket rows of a normal law and samples of the same, then all pairs of other columns."""
    own, model = normal(rows, columns, 0), normal(samples, columns, 1)
    found = [
        cost_of(
            f"{rows} rows, {samples} samples, {columns} columns, {len(RESOLUTIONS)} resolutions",
            lambda: bracket(own, model),
        )
    ]
    if many > 1:
        wide, drawn = normal(rows, many, 2), normal(samples, many, 3)
        names = [f"x{i}" for i in range(many)]
        found.append(
            cost_of(f"{many * (many - 1) // 2} pairs of {many} columns", lambda: pairs_of(wide, drawn, names))
        )
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
        return
    body = [(one.what, f"{one.seconds:.1f}", f"{one.above:.0f}") for one in found]
    click.echo(markdown(("bracket", "CPU s, one thread", "MiB above what rows and imports take"), body))


if __name__ == "__main__":
    main()
