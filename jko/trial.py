"""Short trials: a chain trained with few iterations, to choose among preparations on validation rows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from jko.build import new_block, torch_dtype
from jko.calibrate import scaled
from jko.chain import push_in_batches, reference_log_prob
from jko.config import Config
from jko.context import state_of
from jko.fit import fit_block
from jko.invertible import InvertibleBlock
from jko.seeds import generator

BATCH = 8192


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
    config = scaled(config, share)
    dtype = torch_dtype(config)
    train, validation = parts["train"].to(dtype), parts["validation"].to(dtype)
    total = torch.zeros(len(validation), dtype=torch.float64)
    previous: InvertibleBlock | None = None
    for k in range(1, len(config.step_sizes) + 1):
        block, plan = new_block(config, k, dim, context=train.shape[1] - dim), config.training_of(k)
        if previous is not None and config.starts_warm(k):
            block.load_state_dict(previous.state_dict())
        chosen = validation[: plan.validation_rows]
        fit_block(block, train, chosen, plan, seed=config.seed, index=k)
        pushed = push_in_batches(block, validation, BATCH, generator(config.seed, k, "push"))
        validation, total = pushed.x, total + pushed.log_det.double()
        if k < len(config.step_sizes):
            with torch.no_grad():
                train = torch.cat([block.push_forward(rows) for rows in train.split(BATCH)])
        previous = block
    return reference_log_prob(state_of(validation, dim).double()) + total
