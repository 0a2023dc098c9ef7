"""Train one JKO block on the samples that the previous block pushed forward."""

from __future__ import annotations

from typing import Any

import torch
from prefect import task

from jko.build import functional_of, new_block, start_law, step_of, target_of
from jko.chain.sampling import log_density
from jko.config import Config
from jko.core.device import require_device
from jko.disk.checkpoint import BlockCheckpoints, remove_checkpoint
from jko.disk.commit import committing, read_commit
from jko.disk.facts import read_facts
from jko.disk.layout import Layout, name_of
from jko.disk.weights import chain_of, load_block, load_start, save_block
from jko.energies.scheme import LogDensity
from jko.maps.invertible import InvertibleBlock
from jko.preparation.facts import DataFacts
from jko.training.block_trainer import FitResult
from jko.training.chain_trainer import first_block, fit_next
from tasks.adapters.store.arrays import read_particles, read_rows
from tasks.options import DURABLE, skipped
from tasks.progress import Progress
from tasks.push import restore_samples


@task(name="train", task_run_name="block-{k}-train", **DURABLE)
def train_block(config: Config, layout: Layout, chain: tuple[str, ...], k: int, *, progress: Progress) -> Any:
    """Train block k, on from its checkpoint if there is one, and stage its weights.

    They become true with their samples (push).
    """
    name = name_of(k, chain[k])
    # committed blocks were verified when the chain was arranged under its lock
    for folder, verify in ((layout.block(k, chain[k]), False), (layout.staged(k, chain[k]), True)):
        commit = read_commit(folder, verify=verify)
        if commit is not None and commit.fingerprint == chain[k]:
            remove_checkpoint(layout.checkpoint(k, chain[k]))  # a kill may have come before that
            return skipped(f"block {k} is already trained ({name})", name)
    require_device(config)
    torch.set_num_threads(config.runtime.threads)
    restore_samples(config, layout, chain, k - 1)
    train = read_rows(layout, config, k - 1, chain[k - 1], "train")
    validation = read_particles(layout, config, k - 1, chain[k - 1], "validation")
    block = starting_block(config, layout, chain, k)
    entering = entering_density(config, layout, chain, k)
    step = step_of(config, block.dim, entering)
    start = block.state_of(validation)
    density = start.new_zeros(len(start)) if entering is None else entering(start)
    level = float(step.energy.energies(start, density).total)
    if k == 1:
        progress.start_chain(level, reference_constant(config, read_facts(layout, chain[0]), validation))
    progress.start_block(k, config, level)
    checkpoints = BlockCheckpoints(config, layout, k, chain[k], block=block, on_resume=progress.go_on)
    result = fit_next(
        config, k, block, train, validation, step=step, checkpoints=checkpoints,
        on_record=progress.record, on_iteration=progress.iterate,
    )  # fmt: skip
    stage(config, layout, chain, k, trained=(block, result))
    remove_checkpoint(layout.checkpoint(k, chain[k]))
    return name


def entering_density(config: Config, layout: Layout, chain: tuple[str, ...], k: int) -> LogDensity | None:
    """Log p_{k−1} where the functional needs it: back through the blocks before to the start."""
    facts, law = read_facts(layout, chain[0]), start_law(config)
    functional = functional_of(config, facts.dim)
    if law is None or functional is None or not functional.needs_density:
        return None
    blocks = [load_block(layout, config, j, chain[j], facts.dim) for j in range(1, k)]
    before = chain_of(config, facts, blocks)

    def log_p(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return log_density(before, law, x)[0].to(x)

    return log_p


def reference_constant(config: Config, facts: DataFacts, validation: torch.Tensor) -> float:
    """What turns E V into the NLL of the reference, nats: log Z less block 0's mean log-determinant.

    Args:
        config: the settings; log Z is 0 where it is unknown.
        facts: of the data.
        validation: stored rows of block 0.
    """
    target = target_of(config, facts.dim)
    log_det = float(facts.log_det(validation.double().cpu().numpy()).mean())
    return ((target and target.log_normaliser) or 0.0) - log_det


def starting_block(config: Config, layout: Layout, chain: tuple[str, ...], k: int) -> InvertibleBlock:
    """The weights of ``start``, else with ``warm_start`` the previous block's, else the identity."""
    facts = read_facts(layout, chain[0])
    size: dict[str, int] = {"dim": facts.dim, "context": facts.context}
    if start := config.start_of(k):
        return load_start(layout, k, start, new_block(config, k, **size))
    previous = load_block(layout, config, k - 1, chain[k - 1], **size) if config.starts_warm(k) else None
    return first_block(config, k, **size, previous=previous)


def stage(
    config: Config,
    layout: Layout,
    chain: tuple[str, ...],
    k: int,
    *,
    trained: tuple[InvertibleBlock, FitResult],
) -> None:
    """Commit the trained weights and the training curve to the run folder."""
    block, result = trained
    with committing(layout.staged(k, chain[k]), chain[k], {}) as folder:
        save_block(folder, config, k, block, result)
