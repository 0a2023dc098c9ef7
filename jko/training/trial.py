"""Short trials: one block trained with few iterations, to choose among preparations on validation rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from jko.chain.chain import reference_log_prob
from jko.config import Config
from jko.core.context import state_of
from jko.training.chain_trainer import fit_chain

#: share of the iterations of all blocks that a trial has
SHARE = 0.1
#: iterations of flow matching, and of the JKO objective, that it has at most; of the latter one costs as much
#: as some ten of the former
MOST_MATCHED, MOST_POLISHED = 300, 30
#: the trial's step is no longer: what is left of the rows' law by then is less than a trial can see
LONGEST = 20.0
#: rows of its batches at most, and validation rows on which its weights are chosen
BATCH, CHOOSING_ROWS = 256, 300


def trial_config(config: Config, part: float = 1.0) -> Config:
    r"""The settings of a trial: one block that goes as far as all of them together.

    Its step size is :math:`\prod_k (1 + \gamma_k) - 1`, the same Ornstein–Uhlenbeck time, and no rows are
    pushed from a block to the next. It is trained by flow matching alone where block 1 is begun so.

    Args:
        config: of the whole chain.
        part: of the iterations of a trial.
    """
    blocks = range(1, len(config.step_sizes) + 1)
    plans, first = [config.training_of(k) for k in blocks], config.training_of(1)
    matched = min(SHARE * sum(plan.flow_matching_iterations for plan in plans), MOST_MATCHED)
    polished = 0.0 if matched else min(SHARE * sum(plan.iterations for plan in plans), MOST_POLISHED)
    training = first.model_copy(
        update={
            "flow_matching_iterations": math.ceil(part * matched),
            "iterations": math.ceil(part * polished),
            "validate_every": max(1, math.ceil(part * max(matched, polished))),
            "batch_size": min(first.batch_size, BATCH),
            "validation_rows": min(first.validation_rows, CHOOSING_ROWS),
        }
    )
    longest = LONGEST if config.scheme == "backward_euler" else max(config.step_sizes)
    step = min(math.prod(1 + size for size in config.step_sizes) - 1, longest)
    changed = {
        "steps": {"sizes": [step]}, "training": training.model_dump(),
        "network": config.network_of(1).model_dump(), "blocks": {}, "start": {},
    }  # fmt: skip
    return Config.model_validate({**config.model_dump(), **changed})


def trial_log_density(config: Config, parts: Mapping[str, Tensor], dim: int, *, part: float = 1.0) -> Tensor:
    """Log-densities of validation rows under a block trained for a moment (:func:`trial_config`).

    Args:
        config: the settings of the whole chain.
        parts: ``train`` and ``validation`` rows in start coordinates, shape (rows, d + c).
        dim: d.
        part: of the iterations of a trial.

    Returns:
        Nats in start coordinates, without block 0's log-determinant, shape (rows,).
    """
    (trained,) = fit_chain(trial_config(config, part), parts["train"], parts["validation"], dim)
    reference = reference_log_prob(state_of(trained.validation, dim).double().cpu())
    return reference + trained.log_det.double().cpu()
