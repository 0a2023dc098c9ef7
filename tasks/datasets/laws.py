"""The laws with a known density among the sources, and their score as the blocks see it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from jko.config import Config
from jko.config.data_section import Data
from jko.laws import densities
from jko.laws.densities import Array, Density, Estimate
from jko.laws.score import Score
from jko.preparation.facts import DataFacts
from tasks.datasets.pictures import is_picture, load_picture

#: points that stand for a curve; their spacing is far below the width of any smoothing
CURVE_POINTS = 2000

LAWS: dict[str, Callable[[Data], Density]] = {
    "moons": lambda settings: densities.moons(),
    "eight_gaussians": lambda settings: densities.eight_gaussians(),
    "rose": lambda settings: densities.PictureDensity(densities.rose_picture()),
    "gaussian": lambda settings: densities.DiagonalGaussian(np.array(settings.mean), np.array(settings.std)),
}


def density_of(settings: Data) -> Density | None:
    """The density that a source draws from, data units; ``None`` where it has none or it is unknown."""
    if settings.source in LAWS:
        return LAWS[settings.source](settings)
    file = settings.file or ""
    return load_picture(file)[1] if is_picture(file) and Path(file).is_file() else None


def smoothed_curve(smoothing: float, shift: Array, scale: Array) -> densities.IsotropicMixture:
    """The law ρ_δ of the source ``curve`` in standardised units: a Gaussian around every point.

    Args:
        smoothing: δ > 0.
        shift: of the standardisation, data units, shape (d,).
        scale: of the standardisation, data units, shape (d,).
    """
    angle = 2 * math.pi * np.arange(CURVE_POINTS) / CURVE_POINTS
    points = (densities.trefoil(angle) - shift) / scale
    return densities.IsotropicMixture(math.exp(-smoothing) * points, math.sqrt(-math.expm1(-2 * smoothing)))


def smoothed_entropy(source: str, smoothing: float, shift: Array, scale: Array) -> Estimate | None:
    """Entropy of ρ_δ in nats, data units, where that law is known."""
    if source != "curve":
        return None
    inner = densities.entropy(smoothed_curve(smoothing, shift, scale), seed=1)
    return Estimate(inner.value + float(np.log(scale).sum()), inner.se)


def score_of(config: Config, facts: DataFacts) -> Score | None:
    """∇log p_0 in standardised units, if the law is known and its use is not switched off."""
    if config.measure.density == "off" or facts.start is not None:
        return None  # behind a start map the law has another score
    shift, scale = np.array(facts.shift), np.array(facts.scale)
    if facts.smoothing:
        if config.data.source != "curve":
            return None
        law: Density | None = smoothed_curve(facts.smoothing, shift, scale)
        shift, scale = np.zeros_like(shift), np.ones_like(scale)
    else:
        law = density_of(config.data)
    if law is None:
        return None
    known = law

    def score(x: torch.Tensor) -> torch.Tensor:
        rows = x.cpu().numpy() * scale + shift
        return torch.from_numpy(scale * known.score(rows)).to(x)

    return score
