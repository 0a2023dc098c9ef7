"""How far above ε² the bound of smoothed rows is, beside the exact score, a critic, and one row alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import click
import numpy as np
import torch

from benchmarks.command import sentences
from benchmarks.page import markdown
from jko.config.sections import Training
from jko.core.seeds import generator
from jko.laws.densities import Estimate, IsotropicMixture
from jko.laws.score import Score, mean_square, score_after
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField
from jko.measure.from_above import ROWS, from_above
from jko.measure.measures import measure_epsilon
from jko.measure.residual import residual_data
from jko.training.block_trainer import fit_block

GAMMA = 0.5
WIDTHS = (0.05, 0.1, 0.2, 0.4)
DIMENSIONS = (1, 2, 5)


@dataclass(frozen=True)
class Row:
    """ε² of one block of one law, four ways.

    Args:
        law: its name.
        dim: d.
        width: s.
        exact: by the exact score.
        above: by all rows.
        alone: by one row in place of all.
        below: by a critic.
    """

    law: str
    dim: int
    width: float
    exact: Estimate
    above: Estimate
    alone: Estimate
    below: Estimate


def law_of(name: str, dim: int, seed: int) -> IsotropicMixture:
    """Eight narrow bumps, or one normal law off the middle."""
    if name == "normal":
        return IsotropicMixture(1.5 * np.eye(1, dim), 1.0)
    centres = np.random.default_rng(seed).standard_normal((8, dim))
    return IsotropicMixture(0.95 * (centres - centres.mean(0)) / centres.std(0), 0.3)


def trained(rows: torch.Tensor, seed: int) -> Block:
    """One block, trained shortly."""
    field = VelocityField(rows.shape[1], (32, 32), generator=generator(seed, 1, "init"))
    block, held = Block(field, GAMMA, Solver(steps=4)), len(rows) // 6
    settings = Training(
        flow_matching_iterations=150, iterations=120, learning_rate=5e-3, batch_size=500,
        validate_every=40, validation_rows=1000,
    )  # fmt: skip
    fit_block(block, rows[held:], rows[:held], settings, seed=seed, index=1)
    return block.requires_grad_(False)


def measured(name: str, dim: int, width: float, *, rows: int, seed: int = 3) -> Row:
    """ε² of a block of a smoothed law by the four ways."""
    rng, a = np.random.default_rng(seed), math.sqrt(1 - width**2)
    plain = law_of(name, dim, seed)
    smoothed = IsotropicMixture(a * plain.centres, math.hypot(a * plain.std, width))
    block = trained(torch.from_numpy(smoothed.sample(6000, rng)).float(), seed)
    noise = torch.from_numpy(rng.standard_normal((rows, dim)))
    noisy = a * torch.from_numpy(plain.sample(rows, rng)) + width * noise
    x = noisy[:ROWS]
    with torch.no_grad():
        y = block.push_forward(noisy.float()).double()
    first = y[:ROWS]
    known = residual_data(x, first, GAMMA)

    def error(score: Score) -> Estimate:
        return mean_square(known + score_after([block], first, score))

    below = measure_epsilon(noisy, y, GAMMA, 30)[0]
    return Row(
        name, dim, width,
        exact=error(torch.from_numpy(smoothed.score(x.numpy())).to),
        above=from_above([block], noisy, noise, width)[0].epsilon_squared,
        alone=error((-noise[:ROWS] / width).to),
        below=Estimate(below.value, below.se),
    )  # fmt: skip


def table(found: Sequence[Row]) -> str:
    """One line a law, dimension and width."""
    heading = (
        "law", "d", "s", "ε², exact score", "from above, all rows", "one row alone", "critic, from below",
    )  # fmt: skip
    body = [
        (
            row.law, str(row.dim), f"{row.width:g}",
            *(f"{one.value:.3g} ± {one.se:.2g}" for one in (row.exact, row.above, row.alone, row.below)),
        )
        for row in found
    ]  # fmt: skip
    return markdown(heading, body)


@click.command()
@click.option("--rows", default=8000, show_default=True, help="Rows m in the mixture.")
@sentences
def main(rows: int) -> None:
    """Print the table of all laws, dimensions and widths; a few minutes."""
    found = [
        measured(name, dim, width, rows=rows)
        for name in ("bumps", "normal")
        for dim in DIMENSIONS
        for width in WIDTHS
    ]
    click.echo(table(found))


if __name__ == "__main__":
    main()
