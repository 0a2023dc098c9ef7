r"""A chain the other way round: from a known law p_0 forward to a target :math:`q \propto e^{-V}`.

.. math:: y = T(x),\ x \sim p_0, \qquad \log p_N(y) = \log p_0(x) - \log|\det\nabla T(x)|

so the samples come with their log-density, and with weights :math:`w = e^{-V(y)}/p_N(y)` whose mean is Z.
With corrections between the blocks the density has their factors, too (:mod:`jko.chain.corrected`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from jko.chain.chain import Chain
from jko.chain.corrected import corrected, drawn_before, followed
from jko.chain.importance import ImportanceReport, energy_distance, importance_report, systematic_resample
from jko.core.errors import NumericalError
from jko.core.seeds import counter_seed, generator
from jko.laws.densities import Density, Estimate
from jko.laws.targets import Target
from jko.maps.row_seeds import RowSeeds

#: rows of each sample in an energy distance: it costs the square
DISTANCE_ROWS = 5000


@dataclass(frozen=True)
class Drawn:
    """Samples of a chain's end with their log-density.

    Args:
        y: float64, shape (rows, d).
        log_density: log p_N(y), nats, shape (rows,); estimated where log-determinants are.
        mass_se: standard error of the mass of p_N, of which corrections know their part ᾱ by a mean only.
    """

    y: Tensor
    log_density: Tensor
    mass_se: float = 0.0

    def log_weights(self, target: Target) -> Tensor:
        """The logarithms −V(y) − log p_N(y) of the importance weights, nats, shape (rows,)."""
        return -target.potential(self.y) - self.log_density


@dataclass(frozen=True)
class TargetFigures:
    """How well samples stand for a target.

    Args:
        importance: estimate of log Z with the effective sample size; its error has that of the mass in it.
        log_normaliser: log Z where it is known, nats.
        distance: squared energy distance to exact samples, where these can be drawn.
        corrected: the same of samples drawn again by their weights.
        floor: the same of two sets of exact samples: what the number of rows alone makes of it.
    """

    importance: ImportanceReport
    log_normaliser: float | None
    distance: Estimate | None
    corrected: Estimate | None
    floor: Estimate | None


def draw(chain: Chain, start: Density, rows: int, *, seed: int = 0) -> Drawn:
    """Independent samples of p_N.

    Args:
        chain: the blocks from p_0 to p_N.
        start: p_0.
        rows: how many.
        seed: of the draws.
    """
    if chain.corrected:
        last = len(chain.blocks)
        end = corrected(chain, last, drawn_before(chain, last, start, rows, seed=seed), start, seed=seed)
        check_finite(end.y, last)
        return Drawn(end.y.double(), end.log_density, mass_error(chain))
    x = start.sample(rows, np.random.default_rng(counter_seed(seed, "start")))
    pushed = chain(torch.from_numpy(x), seed=seed)
    check_finite(pushed.x, len(chain.blocks))
    before = torch.from_numpy(start.log_prob(x)).to(pushed.x.device)
    return Drawn(pushed.x.double(), before - pushed.log_det.double())


def check_finite(y: Tensor, blocks: int) -> None:
    """Refuse samples that are none.

    Raises:
        NumericalError: some values are not finite.
    """
    bad = int((~y.isfinite()).any(1).sum())
    if bad:
        raise NumericalError(
            f"{bad} of {len(y)} samples behind it have values that are not finite", block=blocks,
            remedy="train the chain again with smaller steps or more solver.steps",
        )  # fmt: skip


def mass_error(chain: Chain) -> float:
    r"""Standard error of the mass of a corrected chain's density.

    .. math:: se^2 = \sum_k se(\bar\alpha_k)^2

    to first order: with ᾱ + δ for ᾱ, log p_k is :math:`\delta/f_k` too small. In the estimate of log Z that
    is :math:`\delta\, E_q[1/f_k]`, which is δ over the corrected law and somewhat less where f_k favours q.
    """
    return math.hypot(*(one.acceptance_se for one in chain.corrections if one))


def log_density(
    chain: Chain, start: Density, y: Tensor, *, seed: int | RowSeeds = 0
) -> tuple[Tensor, Tensor]:
    """The log-density log p_N at given rows, nats, and its standard error; shape (rows, d) to (rows,).

    Back through all blocks, and forward again with the factors of the corrections.
    """
    x = chain.inverse(y, finite=False)
    if chain.corrected:
        end = followed(chain, start, x, seed=seed)
        return end.log_density, end.log_density_se
    before = torch.from_numpy(start.log_prob(x.double().cpu().numpy())).to(x.device)
    pushed = chain(x, seed=seed)
    return before - pushed.log_det.double(), pushed.log_det_se


def resampled(drawn: Drawn, target: Target, *, seed: int = 0) -> Tensor:
    """As many rows, drawn again by their weights; rows repeat where the effective size is small."""
    return drawn.y[systematic_resample(drawn.log_weights(target), generator(seed, "resample"))]


def target_figures(drawn: Drawn, target: Target, *, seed: int = 0) -> TargetFigures:
    """Importance weights and distances of samples.

    Args:
        drawn: the samples.
        target: the law they stand for.
        seed: of the exact samples and of the drawing by weight.
    """
    report = importance_report(drawn.log_weights(target))
    found = report.log_normaliser
    report = replace(report, log_normaliser=Estimate(found.value, math.hypot(found.se, drawn.mass_se)))
    rows = min(len(drawn.y), DISTANCE_ROWS)
    exact = [target.sample(rows, np.random.default_rng(counter_seed(seed, "exact", i))) for i in range(2)]
    if exact[0] is None or exact[1] is None:
        return TargetFigures(report, target.log_normaliser, None, None, None)
    first, second = (torch.from_numpy(np.asarray(sample)) for sample in exact)
    y = drawn.y.cpu()
    return TargetFigures(
        report,
        target.log_normaliser,
        distance=energy_distance(y[:rows], first),
        corrected=energy_distance(resampled(drawn, target, seed=seed).cpu()[torch.randperm(
            len(y), generator=generator(seed, "shuffle"))[:rows]], first),
        floor=energy_distance(second, first),
    )  # fmt: skip
