r"""The experiment of arXiv:2310.17582: ε² of one JKO block while it trains, by every estimator we have.

:math:`p_0 = N((3,3), I)` in the plane, target N(0, I), γ = .5; the exact step ends at N((2,2), I). The
authors plot a kernel statistic whose floor hides the end of training; here it stands beside the
closed form and the critics, and so do the norms of what ξ is made of and the level of an exact step,
which the authors show, too. Their stored samples can be measured the same way.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from jko.config.sections import Training
from jko.core.seeds import generator
from jko.laws.gaussian import epsilon_squared_of_moments
from jko.laws.score import mean_square, score_after
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField
from jko.measure.residual import LinearCritic, residual_data
from jko.statistics.kernel_statistic import ROWS, KernelTerms, independent_rows, kernel_terms, statistic_of
from jko.statistics.transport import optimal_back
from jko.training.block_trainer import FitRecord, fit_block
from tasks.experiments.cltx_records import Estimates, Level, Moment, Snapshot

MEAN = (3.0, 3.0)
STEP_SIZE = 0.5
CENTRES = 40
HELD_OUT = 5000
TRAINING_ROWS = 20_000
#: iterations at which the block is measured: half of the way is covered in the first few
MOMENTS = (0, 2, 4, 6, 8, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 320)
#: rows of the pictures of ξ
ARROWS = 250

#: where the exact step ends, and draws of it that its level is the mean of
EXACT_MEAN, DRAWS = (2.0, 2.0), 20

Listener = Callable[[Estimates], None]


def _silent(found: Estimates) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Field:
    """ξ at particles at one moment of training.

    Args:
        iteration: of the training.
        epsilon_squared: E|ξ|² over all held-out rows.
        paper_kde_l2: the paper's estimate of it.
        y: the particles, shape (rows, 2).
        xi: ξ there, through the exact score, shape (rows, 2).
        xi_kernel: ξ there as the paper estimates it, shape (rows, 2).
    """

    iteration: int
    epsilon_squared: float
    paper_kde_l2: float
    y: Tensor
    xi: Tensor
    xi_kernel: Tensor


@dataclass(frozen=True)
class Trained:
    """What the training showed.

    Args:
        moments: figures of every moment, see :func:`training`.
        fields: ξ at the start, on the way and at the end.
    """

    moments: list[Moment]
    fields: tuple[Field, ...]


def measured(x: Tensor, y: Tensor, terms: KernelTerms) -> Estimates:
    """Every estimate of ε² for a step of size γ = .5.

    Args:
        x: samples of p_0, shape (rows, 2).
        y: their images, row by row.
        terms: :func:`jko.statistics.kernel_statistic.kernel_terms` at some of the images.
    """
    affine, rich = LinearCritic(y), LinearCritic(y, centres=CENTRES)
    own = residual_data(x, y, STEP_SIZE)
    optimal = residual_data(optimal_back(x, y, "affine")[1], y, STEP_SIZE)
    critic, critic_rbf = affine.estimate(own), rich.estimate(own)
    m0, s0, m1, s1 = (part.numpy() for rows in (x, y) for part in (rows.mean(0), torch.cov(rows.T)))
    return Estimates(
        gaussian=epsilon_squared_of_moments(m0, s0, m1, s1, STEP_SIZE),
        critic_affine_ot=affine.estimate(optimal).value,
        critic=critic.value, critic_se=critic.se, critic_rbf=critic_rbf.value, critic_rbf_se=critic_rbf.se,
        **sizes_of(terms),
    )  # fmt: skip


def sizes_of(terms: KernelTerms) -> dict[str, float]:
    """The paper's statistic of ξ and of its parts, by the names of :class:`Estimates`."""
    return {
        **asdict(statistic_of(terms.xi)),
        "paper_gradient": statistic_of(terms.gradient).paper_kde,
        "paper_transport": statistic_of(terms.transport).paper_kde,
        "paper_score": statistic_of(terms.score).paper_kde,
    }


def exact_step(seed: int, *, rows: int = ROWS, draws: int = DRAWS) -> Level:
    """The paper's statistic between independent samples of p_0 and of its exact step N((2,2), I).

    Args:
        seed: of every draw.
        rows: of each sample.
        draws: pairs of samples.
    """
    found = []
    for i in range(draws):
        x, y = draw(seed, f"level {i}", rows), draw(seed, f"exact {i}", rows, EXACT_MEAN)
        found.append(sizes_of(kernel_terms(x.double(), y.double(), STEP_SIZE)))
    columns = {name: np.array([one[name] for one in found]) for name in found[0]}
    parts = ("paper_kde", "paper_gradient", "paper_transport", "paper_score")
    means = {name: float(columns[name].mean()) for name in parts}
    return Level(draws=draws, paper_kde_std=float(columns["paper_kde"].std(ddof=1)), **means)


def snapshots(arrays: dict[str, Tensor], *, tell: Listener = _silent) -> list[Snapshot]:
    """Figures of every snapshot of somebody's training.

    Args:
        arrays: as :func:`tasks.experiments.cltx_files.read_snapshots` gives them.
        tell: called with the figures of each, when they are there.

    Returns:
        In the file's order.
    """
    results = []
    x = arrays["p0"]
    for name, y in arrays.items():
        found = measured(x, y, kernel_terms(*independent_rows(x, y), STEP_SIZE))
        results.append(Snapshot(name=name, **found.model_dump()))
        tell(results[-1])
    return results


def training(
    seed: int, *, moments: Sequence[int] = MOMENTS, rows: int = HELD_OUT, tell: Listener = _silent
) -> Trained:
    """Train one block by the JKO objective alone, from the identity, and measure it on the way.

    Args:
        seed: of every draw; equal seeds give equal figures.
        moments: iterations at which to measure, increasing from 0; the last ends the training.
        rows: held-out rows.
        tell: called with the figures of each moment, when they are there.

    Returns:
        Moments, on held-out rows, and the fields of some of them.
    """
    held_out, drawn = draw(seed, "held-out", rows), draw(seed, "kernel", min(ROWS, rows)).double()
    results, fields = [], []
    for iteration, block in _states(seed, moments).items():
        x, y, score = _scored(block, held_out)
        terms = kernel_terms(drawn, y[: len(drawn)], STEP_SIZE)
        found = Moment(
            iteration=iteration, percent=100 * iteration / moments[-1],
            **measured(x, y, terms).model_dump(), **_exact(x, y, score),
        )  # fmt: skip
        tell(found)
        results.append(found)
        if iteration in (moments[0], moments[len(moments) // 4], moments[-1]):
            xi = residual_data(x, y, STEP_SIZE) + score
            rows_shown = (part[:ARROWS] for part in (y, xi, terms.xi))
            fields.append(Field(iteration, found.exact, found.paper_kde_l2, *rows_shown))
    return Trained(results, tuple(fields))


def draw(seed: int, purpose: str, rows: int, mean: tuple[float, float] = MEAN) -> Tensor:
    """Samples of N(mean, I), p_0 = N((3,3), I) by default, shape (rows, 2)."""
    return torch.tensor(mean) + torch.randn(rows, 2, generator=generator(seed, "cltx", purpose))


def _states(seed: int, moments: Sequence[int]) -> dict[int, Block]:
    """Copies of the block at the moments of its training."""
    states: dict[int, Block] = {}

    def keep(record: FitRecord) -> None:
        if record.iteration in moments:
            states[record.iteration] = copy.deepcopy(block)

    # every setting that counts is written out: the defaults of a chain may change
    settings = Training(
        flow_matching_iterations=0, iterations=moments[-1], learning_rate=3e-3, batch_size=512,
        weight_decay=0.0, clip=5.0, jitter=0.0, validate_every=math.gcd(*moments), validation_rows=500,
    )  # fmt: skip
    field = VelocityField(2, (64, 64), "silu", generator=generator(seed, "cltx", "field"))
    block = Block(field, STEP_SIZE, Solver("rk4", steps=2, probes=0))
    train, chosen_on = draw(seed, "training", TRAINING_ROWS), draw(seed, "validation", 500)
    fit_block(block, train, chosen_on, settings, seed=seed, index=1, on_record=keep)
    return states


def _scored(block: Block, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x, its image y and the score of the image's law there, float64, shapes (rows, 2)."""
    with torch.no_grad():
        y = block.push_forward(x).double()
    score = score_after([block], y, lambda rows: torch.tensor(MEAN).to(rows) - rows)
    return x.double(), y, score


def _exact(x: Tensor, y: Tensor, score: Tensor) -> dict[str, float]:
    """Mean squares of ξ and its parts by the exact score, by the names of :class:`Moment`."""
    fields = {
        "exact": residual_data(x, y, STEP_SIZE) + score, "exact_gradient": y + score,
        "exact_transport": (x - y) / STEP_SIZE, "exact_score": score,
    }  # fmt: skip
    found = {name: mean_square(field) for name, field in fields.items()}
    errors = {f"{name}_se": one.se for name, one in found.items()}
    return {name: one.value for name, one in found.items()} | errors
