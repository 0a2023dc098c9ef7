r"""The experiment of arXiv:2310.17582: ε² of one JKO block while it trains, by every estimator we have.

:math:`p_0 = N((3,3), I)` in the plane, target N(0, I), γ = .5; the exact step ends at N((2,2), I). The
authors plot a kernel statistic whose floor hides the end of training; here it stands beside the
closed form and the critics. Their stored samples can be measured the same way.
"""

from __future__ import annotations

import copy
import math
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jko.config.sections import Training
from jko.core.errors import InputError
from jko.core.seeds import generator
from jko.laws.gaussian import epsilon_squared_of_moments
from jko.laws.score import mean_square, score_after
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField
from jko.measure.residual import LinearCritic, residual_data
from jko.statistics.kernel_statistic import ROWS, independent_rows, kernel_residual, statistic_of
from jko.statistics.transport import optimal_back
from jko.training.block_trainer import FitRecord, fit_block

MEAN = (3.0, 3.0)
STEP_SIZE = 0.5
CENTRES = 40
HELD_OUT = 5000
TRAINING_ROWS = 20_000
#: fewer rows than this are too few for the critic with bumps
FEWEST_ROWS = 100
#: iterations at which the block is measured: half of the way is covered in the first few
MOMENTS = (0, 2, 4, 6, 8, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 320)
#: rows of the pictures of ξ
ARROWS = 250

Figures = dict[str, Any]
Listener = Callable[[Figures], None]


def _silent(figures: Figures) -> None:
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

    moments: list[Figures]
    fields: tuple[Field, ...]


def measured(x: Tensor, y: Tensor, xi_kernel: Tensor) -> Figures:
    """Every estimate of ε² for a step of size γ = .5.

    Args:
        x: samples of p_0, shape (rows, 2).
        y: their images, row by row.
        xi_kernel: :func:`jko.statistics.kernel_statistic.kernel_residual` at some of the images.

    Returns:
        ``gaussian``: closed form from the fitted moments; ``critic_affine_ot``: affine critic, the optimal
        map between the fitted Gaussians as map back; ``critic`` and ``critic_rbf`` with standard errors:
        affine critic and affine + 40 bumps, block pairing; ``paper_kde`` and ``paper_kde_l2``: see
        :class:`jko.statistics.kernel_statistic.KernelStatistic`.
    """
    affine, rich = LinearCritic(y), LinearCritic(y, centres=CENTRES)
    own = residual_data(x, y, STEP_SIZE)
    optimal = residual_data(optimal_back(x, y, "affine")[1], y, STEP_SIZE)
    critic, critic_rbf = affine.estimate(own), rich.estimate(own)
    paper = statistic_of(xi_kernel)
    m0, s0, m1, s1 = (part.numpy() for rows in (x, y) for part in (rows.mean(0), torch.cov(rows.T)))
    return {
        "gaussian": epsilon_squared_of_moments(m0, s0, m1, s1, STEP_SIZE),
        "critic_affine_ot": affine.estimate(optimal).value,
        "critic": critic.value,
        "critic_se": critic.se,
        "critic_rbf": critic_rbf.value,
        "critic_rbf_se": critic_rbf.se,
        "paper_kde": paper.paper_kde,
        "paper_kde_l2": paper.paper_kde_l2,
    }


def snapshots(arrays: dict[str, Tensor], *, tell: Listener = _silent) -> list[Figures]:
    """Figures of every snapshot of somebody's training.

    Args:
        arrays: as :func:`read_snapshots` gives them.
        tell: called with the figures of each, when they are there.

    Returns:
        ``name`` and the figures of :func:`measured`, in the file's order.
    """
    results = []
    x = arrays["p0"]
    for name, y in arrays.items():
        figures = {"name": name, **measured(x, y, kernel_residual(*independent_rows(x, y), STEP_SIZE))}
        tell(figures)
        results.append(figures)
    return results


def read_snapshots(file: Path) -> dict[str, Tensor]:
    """All arrays of an NPZ file: ``p0`` and its images, row i of each being the same particle.

    Returns:
        Arrays by name in the file's order, float64, shape (rows, 2).

    Raises:
        InputError: the file, or one of its arrays, cannot be used.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error):
        # a single NPY file gives an array, which has no names and cannot be entered
        raise InputError(f"{file}: not a readable NPZ file of arrays of numbers") from None
    if "p0" not in arrays:
        raise InputError(f"{file}: there is no array p0 in it, only {', '.join(arrays) or 'nothing'}")
    for name, values in arrays.items():
        _check(f"{file}: {name}", values, arrays["p0"])
    return {name: torch.from_numpy(values.astype(np.float64)) for name, values in arrays.items()}


def _check(where: str, values: Any, first: Any) -> None:
    """Refuse an array that is no sample in the plane, or not paired with the first."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise InputError(f"{where} is not an array of real numbers")
    if values.ndim != 2 or values.shape[1] != 2:
        raise InputError(f"{where} has shape {values.shape}; (rows, 2) is needed")
    if values.shape != first.shape:
        raise InputError(f"{where} has shape {values.shape} and p0 {first.shape}; rows must be paired")
    if len(values) < FEWEST_ROWS:
        raise InputError(f"{where} has {len(values)} rows; at least {FEWEST_ROWS} are needed")
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise InputError(f"{where} holds a value that is not finite, in row {int(bad.argmax()) + 1}")
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.cov(values.T.astype(np.float64))
    if not (np.isfinite(spread).all() and np.linalg.cond(spread) < 1e12):
        raise InputError(f"{where} has rows on a line, or too large to square; their law has no finite ε")


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
        Moments with ``iteration``, ``percent``, the figures of :func:`measured` on held-out rows, and
        ``exact`` ± ``exact_se``: E|ξ|² in block pairing, the score by differentiating through the block.
    """
    held_out, drawn = draw(seed, "held-out", rows), draw(seed, "kernel", min(ROWS, rows)).double()
    results, fields = [], []
    for iteration, block in _states(seed, moments).items():
        x, y, xi = _residual(block, held_out)
        exact, xi_kernel = mean_square(xi), kernel_residual(drawn, y[: len(drawn)], STEP_SIZE)
        figures = {
            "iteration": iteration,
            "percent": 100 * iteration / moments[-1],
            **measured(x, y, xi_kernel),
            "exact": exact.value,
            "exact_se": exact.se,
        }
        tell(figures)
        results.append(figures)
        if iteration in (moments[0], moments[len(moments) // 4], moments[-1]):
            rows_shown = (part[:ARROWS] for part in (y, xi, xi_kernel))
            fields.append(Field(iteration, exact.value, figures["paper_kde_l2"], *rows_shown))
    return Trained(results, tuple(fields))


def draw(seed: int, purpose: str, rows: int) -> Tensor:
    """Samples of p_0 = N((3,3), I), shape (rows, 2)."""
    return torch.tensor(MEAN) + torch.randn(rows, 2, generator=generator(seed, "cltx", purpose))


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


def _residual(block: Block, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x, its image y and ξ(y) in block pairing, float64, shapes (rows, 2)."""
    with torch.no_grad():
        y = block.push_forward(x).double()
    x = x.double()
    score = score_after([block], y, lambda rows: torch.tensor(MEAN).to(rows) - rows)
    return x, y, residual_data(x, y, STEP_SIZE) + score
