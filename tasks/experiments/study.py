"""How loose the certificates and the bracket are: chains on a grid of targets, KL against every bound."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from jko.chain.chain import reference_log_prob
from jko.config import NUMERICS
from jko.config.sections import Evaluation, Measure, Training
from jko.core.digest import digest_of
from jko.core.records import Record
from jko.core.seeds import generator
from jko.disk.identity import BRACKET, MEASURES
from jko.disk.sealed import read_sealed, write_sealed
from jko.laws.densities import Array, Density
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField
from jko.measure.measures import HeldOut, measure_block, standard_error
from jko.training.block_trainer import fit_block
from tasks.baselines import baseline_log_densities
from tasks.experiments.study_brackets import RESOLUTIONS, Judged, OnGrid, judged
from tasks.experiments.study_laws import BOXES, law_of

#: raised when a change alters what a cell computes
VERSION = 2
MEASURE = Measure(reference_rows=200)


@dataclass(frozen=True)
class Sizes:
    """How large a study is; all of it is part of a cell's identity.

    Args:
        blocks: N of every chain.
        hidden: width of both hidden layers.
        rows: fresh rows that train a chain, and a tenth of them more that choose its weights.
        measured: fresh particles that are measured.
        mixture: rows that a Gaussian mixture is fitted to, for the second guard.
        truth: fresh particles that the KL is averaged over; the measured ones are among them.
        held_out: fresh rows of a bracket.
        samples: of the model, for a bracket.
        spacing: of the grid that KL at a resolution is summed over.
    """

    blocks: int = 6
    hidden: int = 64
    rows: int = 20_000
    measured: int = 5000
    mixture: int = 10_000
    truth: int = 40_000
    held_out: int = 5000
    samples: int = 20_000
    spacing: float = 0.05


@dataclass(frozen=True)
class Cell:
    """One chain of the study.

    Args:
        target: ``gaussian``, ``mixture`` or ``moons``.
        step_size: γ of every block.
        effort: ``short`` or ``long``.
        training: (flow-matching iterations, JKO iterations) of a block.
        sizes: how large.
    """

    target: str
    step_size: float
    effort: str
    training: tuple[int, int]
    sizes: Sizes

    @property
    def name(self) -> str:
        """For people and file names."""
        return f"{self.target}-{self.step_size:g}-{self.effort}"

    @property
    def settings(self) -> Training:
        """How a block is trained."""
        matching, iterations = self.training
        return Training(
            flow_matching_iterations=matching, flow_matching_learning_rate=4e-3, iterations=iterations,
            learning_rate=4e-3, batch_size=256, validate_every=max(5, iterations // 4), validation_rows=2000,
        )  # fmt: skip

    @property
    def key(self) -> str:
        """Digest of all that decides the cell's figures."""
        settings = {"training": self.settings.model_dump(), "measure": MEASURE.model_dump()}
        versions = {"study": VERSION, "numerics": NUMERICS, "measures": MEASURES, "bracket": BRACKET}
        return digest_of({"cell": asdict(self), "resolutions": list(RESOLUTIONS), **settings, **versions})


def cells(*, quick: bool = False) -> list[Cell]:
    """The grid; the quick one is two blocks of two tiny chains."""
    if quick:
        small = Sizes(blocks=2, hidden=16, rows=2000, measured=2000, mixture=500, truth=4000,
                      held_out=1000, samples=2000)  # fmt: skip
        return [
            Cell("gaussian", 1.0, "short", (0, 40), small),
            Cell("moons", 0.3, "short", (60, 15), small),
        ]
    efforts = {"short": (200, 30), "long": (1000, 200)}
    grid = itertools.product(("gaussian", "mixture", "moons"), (0.3, 1.0), efforts.items())
    return [
        Cell(target, gamma, effort, (0 if target == "gaussian" else matching, iterations), Sizes())
        for target, gamma, (effort, (matching, iterations)) in grid
    ]


def train(cell: Cell, law: Density) -> Iterator[Block]:
    """The blocks of a cell, each trained on the particles that those before it pushed forward."""
    sizes = cell.sizes
    rows = torch.from_numpy(training_rows(cell, law)).float()
    previous: Block | None = None
    for k in range(1, sizes.blocks + 1):
        field = VelocityField(law.dim, (sizes.hidden,) * 2, generator=generator(0, cell.name, k, "init"))
        block = Block(field, cell.step_size, Solver(steps=4))
        if previous is not None:
            block.load_state_dict(previous.state_dict())
        fit_block(block, rows[: sizes.rows], rows[sizes.rows :], cell.settings, seed=0, index=k)
        with torch.no_grad():
            rows = block.push_forward(rows)
        previous = block.requires_grad_(False)
        yield previous


def training_rows(cell: Cell, law: Density) -> Array:
    """Rows that train the chain, then those that choose its weights."""
    return law.sample(cell.sizes.rows + cell.sizes.rows // 10, np.random.default_rng(1))


def rival(cell: Cell, law: Density, start: Array) -> Tensor:
    """Log-density of particles under a Gaussian mixture of the training rows."""
    rows, few = training_rows(cell, law), cell.sizes.mixture
    parts = {"train": rows[:few], "validation": rows[few : 2 * few], "test": start}
    components = Evaluation().mixture_components
    return torch.from_numpy(baseline_log_densities(parts, components, seed=0)["mixture"])


#: figures by name; null where one is not known
Figures = dict[str, JsonValue]


class StudyCell(Record):
    """A measured cell as it is stored: what it is, the figures of its blocks, and the brackets after each."""

    cell: Figures
    blocks: list[Figures]
    brackets: list[list[Judged]] = []


def known(figures: Figures, name: str) -> float:
    """A figure that every block has."""
    value = figures[name]
    if not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r} and no number")
    return value


def measure(cell: Cell) -> StudyCell:
    """Train and measure one cell: the figures of every block, and the true KL after it."""
    law, sizes = law_of(cell.target), cell.sizes
    start = law.sample(sizes.truth, np.random.default_rng(2))
    x, total = torch.from_numpy(start).float(), torch.zeros(sizes.truth, dtype=torch.float64)
    log_prob = torch.from_numpy(law.log_prob(start))

    def score(rows: Tensor) -> Tensor:
        return torch.from_numpy(law.score(rows.numpy()))

    mixture = rival(cell, law, start[: sizes.measured])
    blocks: list[Block] = []
    found, brackets, there = [], [], OnGrid(law, BOXES[cell.target], sizes.spacing)
    for block in train(cell, law):
        blocks.append(block)
        pushed = block(x)
        total = total + pushed.log_det.double()
        few = slice(sizes.measured)
        log_dets = pushed.log_det[few], pushed.log_det_se[few], total[few]
        rows = HeldOut(x[few], pushed.x[few], *log_dets, rival=mixture)
        figures = measure_block(blocks, rows, MEASURE, score=score).model_dump()
        x = pushed.x
        gap = log_prob - reference_log_prob(x.double()) - total
        own = {"step_size": cell.step_size, "kl": float(gap.mean()), "kl_se": standard_error(gap)}
        found.append(own | figures)
        there.push(block)
        brackets.append(judged(law, blocks, there, (sizes.held_out, sizes.samples), cell.name))
    about = {**asdict(cell), "training": list(cell.training)}
    return StudyCell(cell=about, blocks=found, brackets=brackets)


def study(folder: Path, wanted: list[Cell], say: Callable[[str], None]) -> list[StudyCell]:
    """All cells: stored ones are read, the others trained, measured and stored one by one.

    Args:
        folder: where the cells are stored, one file each.
        wanted: the grid.
        say: told of every cell.
    """
    found = []
    for i, cell in enumerate(wanted, start=1):
        path = folder / f"{cell.name}-{cell.key[:12]}.json"
        stored = read_sealed(path, StudyCell, cell.key)
        if stored is None:
            say(f"cell {i}/{len(wanted)}  {cell.name}: training {cell.sizes.blocks} blocks")
            stored = measure(cell)
            write_sealed(path, stored, cell.key)
        kls = "  ".join(f"{known(block, 'kl'):.3g}" for block in stored.blocks)
        say(f"cell {i}/{len(wanted)}  {cell.name}: KL after each block {kls} nats")
        found.append(stored)
    return found
