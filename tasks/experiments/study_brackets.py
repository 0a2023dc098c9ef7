"""The bracket of a chain cut after a block, beside the KL at its resolution, which is known in the plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from jko.certify.bracket import bracket
from jko.certify.resolution import Bracket
from jko.chain.chain import reference_log_prob
from jko.core.records import Number, Record
from jko.core.seeds import counter_seed, generator
from jko.laws.blurred import Grid, truth_at
from jko.laws.densities import Array, Density
from jko.maps.ode_block import Block

#: of the brackets, in the units of the blocks
RESOLUTIONS = (0.05, 0.1, 0.2, 0.4, 0.7)


class Judged(Record):
    """A bracket, and what it is of.

    Args:
        bracket: from fresh rows and samples of the model.
        kl: KL(ρ_s‖q_s), nats.
        kl_error: of the grid that it was summed over.
    """

    bracket: Bracket
    kl: Number
    kl_error: Number


class OnGrid:
    """The densities of a law and of its model on a grid, block by block.

    Args:
        law: p_0 of the plane, in the units of the blocks.
        box: what holds it and every model of it.
        spacing: of the grid.
    """

    def __init__(self, law: Density, box: Sequence[tuple[float, float]], spacing: float) -> None:
        self.grid = Grid.over(box, spacing)
        points = self.grid.points
        self.log_p = law.log_prob(points)
        self.x = torch.from_numpy(points).float()
        self.log_det = torch.zeros(len(points), dtype=torch.float64)

    @torch.no_grad()
    def push(self, block: Block) -> None:
        """Go on to the chain with one block more."""
        pushed = block(self.x)
        self.x, self.log_det = pushed.x, self.log_det + pushed.log_det.double()

    @property
    def log_q(self) -> Array:
        """Log-density of the model at the points, nats, shape (n,)."""
        return (reference_log_prob(self.x.double()) + self.log_det).numpy()


@torch.no_grad()
def judged(
    law: Density, blocks: Sequence[Block], there: OnGrid, sizes: tuple[int, int], name: str
) -> list[Judged]:
    """The bracket after the last of some blocks at every resolution, and the truth.

    Args:
        law: p_0.
        blocks: of the chain.
        there: the densities after them.
        sizes: held-out rows, which nothing else has seen, and samples of the model.
        name: of the chain; every draw is a function of it and of the number of blocks.
    """
    of_draw = (name, len(blocks))
    draw = np.random.default_rng(counter_seed(0, *of_draw, "held-out"))
    rows = torch.from_numpy(law.sample(sizes[0], draw))
    samples = torch.randn(sizes[1], law.dim, generator=generator(0, *of_draw, "samples"))
    for block in reversed(blocks):
        samples = block.pull_back(samples)
    log_q, found = there.log_q, []
    for one in bracket(rows, samples, resolutions=RESOLUTIONS, seed=counter_seed(0, *of_draw, "bracket")):
        true = truth_at(there.grid, there.log_p, log_q, one.resolution)
        found.append(Judged(bracket=one, kl=true.value, kl_error=true.error))
    return found
