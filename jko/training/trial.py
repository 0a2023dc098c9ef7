"""Short trials: a chain trained with few iterations, to choose among preparations on validation rows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from jko.chain.chain import reference_log_prob
from jko.config import Config
from jko.core.context import state_of
from jko.training.calibrate import scaled
from jko.training.chain_trainer import fit_chain


def trial_log_density(config: Config, parts: Mapping[str, Tensor], dim: int, *, share: float) -> Tensor:
    """Log-densities of validation rows under a chain trained with a share of its iterations.

    Args:
        config: the settings of the whole chain.
        parts: ``train`` and ``validation`` rows in start coordinates, shape (rows, d + c).
        dim: d.
        share: of the iterations of every phase; at least one of each stays.

    Returns:
        Nats in start coordinates, without block 0's log-determinant, shape (rows,).
    """
    total = torch.zeros(len(parts["validation"]), dtype=torch.float64)
    validation = parts["validation"]
    for trained in fit_chain(scaled(config, share), parts["train"], validation, dim):
        validation, total = trained.validation, total + trained.log_det.double().cpu()
    return reference_log_prob(state_of(validation, dim).double().cpu()) + total
