"""The laws with a known density among the sources, and their score as the blocks see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from jko import densities
from jko.config import Config, Data
from jko.score import Score
from tasks.adapters.store import DataFacts


def density_of(settings: Data) -> densities.Density | None:
    """The density that a source draws from; ``None`` where there is none or it is unknown."""
    from tasks.datasets.pictures import is_picture, load_picture

    if settings.source == "moons":
        return densities.moons()
    if settings.source == "eight_gaussians":
        return densities.eight_gaussians()
    if settings.source == "rose":
        return densities.PictureDensity(densities.rose_picture())
    if settings.source == "gaussian":
        return densities.DiagonalGaussian(np.array(settings.mean), np.array(settings.std))
    file = settings.file or ""
    return load_picture(file)[1] if is_picture(file) and Path(file).is_file() else None


def score_of(config: Config, facts: DataFacts) -> Score | None:
    """∇log p_0 in standardised units, if the law is known and its use is not switched off."""
    known = config.measure.density == "auto" and not facts.smoothing
    density = density_of(config.data) if known else None
    if density is None:
        return None
    shift, scale = np.array(facts.shift), np.array(facts.scale)

    def score(x: torch.Tensor) -> torch.Tensor:
        rows = x.cpu().numpy() * scale + shift
        return torch.from_numpy(scale * density.score(rows)).to(x)

    return score
