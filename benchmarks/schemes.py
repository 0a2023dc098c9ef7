"""Three schemes of Wasserstein gradient descent at equal iterations: KL over blocks and over the time."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.cell import RESULTS, ROOM
from benchmarks.command import sentences
from benchmarks.page import keep, markdown
from jko.chain.chain import push_in_batches, reference_log_prob
from jko.config import Config, Training, parse_config
from jko.core.seeds import generator
from jko.disk.durable import write_bytes
from jko.energies.scheme import Scheme, Step
from jko.laws import densities
from jko.laws.densities import Density
from jko.training.chain_trainer import first_block, fit_next
from tasks.report.drawing import ACCENT, DATA, MODEL, STYLE, png

FILE = "schemes.json"
PAGE = ROOM.parent / "docs" / "schemes.md"
PICTURE = ROOM / "pictures" / "schemes.png"
STEP_SIZE, BLOCKS, ROWS, HELD_OUT = 0.35, 6, 20_000, 5000
COLOURS: Mapping[str, str] = {"backward_euler": MODEL, "forward_euler": DATA, "forward_backward": ACCENT}
#: the same for all: iterations of the scheme's own objective only
SETTINGS = Training(
    flow_matching_iterations=0, iterations=200, learning_rate=4e-3, batch_size=500, validate_every=100,
    validation_rows=2000,
)  # fmt: skip


@dataclass(frozen=True)
class Law:
    """A law to start from, in units of its own.

    Args:
        name: of the row.
        density: p_0.
        entropy: of p_0, nats.
    """

    name: str
    density: Density
    entropy: float


def laws() -> list[Law]:
    """The paper's Gaussian, with a narrow direction, and two moons."""
    normal = densities.DiagonalGaussian(np.array([3.0, 3.0]), np.array([1.0, 0.6]))
    plane = densities.moons()
    return [
        Law("N((3, 3), diag(1, .36))", normal, 1 + np.log(2 * np.pi) + np.log(0.6)),
        Law("two moons", plane, densities.entropy(plane, rows=200_000).value),
    ]


def settings(iterations: int) -> Config:
    """Those of a chain of so many iterations a block."""
    return parse_config(
        {
            "seed": 0,
            "steps": {"sizes": [STEP_SIZE] * BLOCKS, "count": None},
            "network": {"hidden": [64, 64]},
            "solver": {"steps": 4},
            "training": {**SETTINGS.model_dump(), "iterations": iterations},
        }
    )


def descend(law: Law, scheme: Scheme, iterations: int) -> list[dict[str, float]]:
    """Train a chain; KL(p_k ‖ N(0, I)) by change of variables on held-out rows, and CPU seconds so far."""
    rows = torch.from_numpy(law.density.sample(ROWS + HELD_OUT, np.random.default_rng(0))).float()
    x, held = rows[:ROWS], rows[ROWS:]
    log_det, spent, found = torch.zeros(HELD_OUT), 0.0, [_point(held, torch.zeros(HELD_OUT), law, 0.0)]
    config, before = settings(iterations), None
    for k in range(1, BLOCKS + 1):
        block = first_block(config, k, 2, previous=before)
        begun = time.process_time()
        fit_next(config, k, block, x, held[:2000], step=Step(scheme=scheme))
        spent += time.process_time() - begun
        with torch.no_grad():
            x = block.push_forward(x)
        pushed = push_in_batches(block, held, HELD_OUT, generator(0, k, "push"))
        held, log_det, before = pushed.x, log_det + pushed.log_det, block
        found.append(_point(held, log_det, law, spent))
    return found


def _point(y: Tensor, log_det: Tensor, law: Law, spent: float) -> dict[str, float]:
    excess = -(reference_log_prob(y) + log_det).double() - law.entropy
    return {"kl": float(excess.mean()), "se": float(excess.std()) / len(y) ** 0.5, "core_s": spent}


def table(figures: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> str:
    """KL after each block, nats, and the time of all of them."""
    heading = ("law", "scheme", *(f"p{k}" for k in range(BLOCKS + 1)), "SE of the last", "core-s")
    body = [
        (
            law, scheme.replace("_", " "), *(f"{point['kl']:.3f}" for point in points),
            f"{points[-1]['se']:.3f}", f"{points[-1]['core_s']:.0f}",
        )
        for law, schemes in figures.items() for scheme, points in schemes.items()
    ]  # fmt: skip
    return markdown(heading, body)


def picture(figures: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> Figure:
    """KL over blocks and over seconds, one row of pictures a law."""
    figure = Figure(figsize=(8.6, 3.4 * len(figures)))
    for row, (law, schemes) in enumerate(figures.items()):
        for column, (over, label) in enumerate((("block", "block"), ("core_s", "CPU seconds of training"))):
            axes = figure.add_subplot(len(figures), 2, 2 * row + column + 1)
            for scheme, points in schemes.items():
                at = range(len(points)) if over == "block" else [point[over] for point in points]
                axes.errorbar(
                    list(at), [point["kl"] for point in points], yerr=[2 * point["se"] for point in points],
                    color=COLOURS[scheme], marker="o", ms=3.5, capsize=2, label=scheme.replace("_", " "),
                )  # fmt: skip
            axes.set(title=law, xlabel=label, ylabel="KL to N(0, I), nats (± 2 SE)")
            axes.set_yscale("symlog", linthresh=0.05)
            axes.legend(fontsize=7)
    figure.tight_layout()
    return figure


@click.command()
@click.option("--iterations", type=click.IntRange(min=1), default=SETTINGS.iterations, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@sentences
def main(iterations: int, as_json: bool, results: Path) -> None:
    """Train every scheme on both laws, and put table and picture into docs/schemes.md."""
    import matplotlib

    torch.set_num_threads(1)
    figures = {
        law.name: {scheme: descend(law, scheme, iterations) for scheme in get_args(Scheme)} for law in laws()
    }
    with matplotlib.rc_context(STYLE):
        write_bytes(PICTURE, png(picture(figures)))
    keep(results / FILE, figures, "schemes", table(figures), PAGE)
    click.echo(json.dumps(figures, indent=1) if as_json else table(figures))


if __name__ == "__main__":
    main()
