"""Speed of the parts against peers that do the same arithmetic: one iteration, sampling, log-density."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from benchmarks.cell import RESULTS
from benchmarks.command import sentences
from benchmarks.compare import compare
from benchmarks.page import keep, markdown
from benchmarks.solving import ROWS, solving, trained_chain
from jko.core.seeds import generator
from jko.energies.objective import jko_objective
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField

FILE = "speed.json"


@dataclass(frozen=True)
class Case:
    """Network, batch and solver of one block, as in a preset.

    Args:
        dim: d.
        hidden: widths.
        batch: rows of an iteration.
        steps: RK4 steps.
        fourier: random frequencies.
        scale: their standard deviations.
        output: standard deviation of the output weights, so that the field is not zero.
    """

    dim: int
    hidden: tuple[int, ...]
    batch: int
    steps: int = 4
    fourier: int = 0
    scale: tuple[float, ...] = (3.0,)
    output: float = 0.1

    def block(self, *, probes: int = 0) -> Block:
        """A block with weights of some size; always the same."""
        field = VelocityField(
            self.dim, self.hidden,
            fourier=self.fourier, fourier_scale=self.scale, generator=generator(0, "speed"),
        )  # fmt: skip
        draw = generator(0, "speed", "output")
        with torch.no_grad():
            field.layers[-1].weight.normal_(0, self.output, generator=draw)
            field.linear.weight.normal_(0, 0.1, generator=draw)
        return Block(field, 0.5, Solver(steps=self.steps, probes=probes))

    def rows(self) -> Tensor:
        """A batch; always the same."""
        return torch.randn(self.batch, self.dim, generator=generator(0, "speed", "rows"))


CASES: dict[str, Case] = {
    "moons": Case(2, (128, 128, 128), 1000, fourier=64, scale=(1.0, 3.0, 8.0), output=0.02),
    "table": Case(8, (256, 256), 512),
    "digits": Case(64, (256, 256), 128, steps=8),
    "rose": Case(2, (256, 128, 128), 2000, fourier=128, scale=(5.0, 10.0, 20.0), output=0.02),
}


def iteration(block: Any, x: Tensor, field: VelocityField) -> Callable[[], None]:
    """One iteration of the JKO objective: forward, backward, optimiser."""
    optimiser = torch.optim.AdamW(field.parameters(), lr=0.0, fused=True)

    def run() -> None:
        optimiser.zero_grad(set_to_none=True)
        jko_objective(block, x, generator(0, "probe")).total.backward()
        optimiser.step()

    return run


def training(name: str, repetitions: int) -> dict[str, Any]:
    """One iteration of a case against every way in which peers take the trace."""
    from benchmarks.adjoint import TRACES, AdjointBlock

    case = CASES[name]
    found = {}
    for label, trace in TRACES.items():
        exact = label.startswith("exact")
        count = 2 if exact and case.dim > 8 else repetitions
        ours = case.block(probes=0 if exact or case.block().field.has_trace_formula else 1)
        peer = AdjointBlock(ours.field, ours.step_size, ours.solver, trace)
        x = case.rows()
        timed = compare(iteration(ours, x, ours.field), iteration(peer, x, ours.field), count)
        found[label] = {"ratio": asdict(timed), "ours": "one probe" if ours.solver.probes else "exact"}
    return found


def agreement(name: str) -> dict[str, float]:
    """How far the objective and its gradient are from the adjoint's, exact trace, four times the steps.

    So many, because torchdiffeq's ``rk4`` is another method of order four, the 3/8 rule, and because the
    adjoint's gradient is that of the equation and not of its discretisation.
    """
    from benchmarks.adjoint import AdjointBlock, batched_trace

    case = CASES[name]
    case = replace(case, steps=4 * case.steps, batch=min(case.batch, 64))
    ours = case.block()
    peer = AdjointBlock(ours.field, ours.step_size, ours.solver, batched_trace)
    values, gradients = [], []
    for block in (ours, peer):
        ours.zero_grad()
        total = jko_objective(block, case.rows()).total  # type: ignore[arg-type]
        total.backward()
        values.append(float(total.detach()))
        gradients.append(torch.cat([p.grad.flatten() for p in ours.parameters() if p.grad is not None]))
    difference = float((gradients[0] - gradients[1]).norm() / gradients[0].norm())
    return {"objective": abs(values[0] - values[1]), "gradient_relative": difference}


def table(figures: Mapping[str, Any]) -> str:
    """Both tables as Markdown."""
    body: list[tuple[str, ...]] = []
    for case, rows in figures["training"].items():
        for label, row in rows.items():
            ratio = row["ratio"]
            body.append((case, label, row["ours"], f"{1e3 * ratio['ours_s']:.0f}", *shown(ratio)))
    heading: tuple[str, ...] = (
        "one iteration",
        "the peer's trace",
        "ours",
        "ours, ms",
        "peer / ours",
        "smallest … largest",
    )
    lines = [markdown(heading, body), ""]
    body = []
    for what, rows in figures["solving"].items():
        for name in ("zuko", "torchdiffeq"):
            row, steps = rows[name], rows["ours"]["steps"]
            rate = ROWS / row["ratio"]["ours_s"]
            tolerance = f"10^{math.log10(row['tolerance']):.1f}"
            body.append((what, name, tolerance, f"{steps}", f"{rate:.0f}", *shown(row["ratio"])))
    heading = ("at equal error", "peer", "its tolerance", "our steps", "ours, rows/s", *heading[-2:])
    return "\n".join([*lines, markdown(heading, body)])


def shown(ratio: Mapping[str, float]) -> tuple[str, str]:
    """Median and range of ratios as cells of a table."""
    return f"**{ratio['value']:.2f}**", f"{ratio['low']:.2f} … {ratio['high']:.2f}"


def measured(repetitions: int) -> dict[str, Any]:
    """All figures, on one thread."""
    torch.set_num_threads(1)
    return {
        "torch": torch.__version__,
        "repetitions": repetitions,
        "training": {name: training(name, repetitions) for name in CASES},
        "agreement": {name: agreement(name) for name in CASES},
        "solving": solving(trained_chain(), repetitions),
    }


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--repetitions", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@sentences
def main(as_json: bool, repetitions: int, results: Path) -> None:
    """Time our parts and the peers' in turn, keep the figures and put the tables into the README."""
    figures = measured(repetitions)
    keep(results / FILE, figures, "speed", table(figures))
    click.echo(json.dumps(figures, indent=1) if as_json else table(figures))


if __name__ == "__main__":
    main()
