"""Train one JKO block on the samples that the previous block pushed forward."""

from __future__ import annotations

import torch
from prefect import State, task

from jko.build import functional_of, new_block, start_law, step_of, target_of
from jko.chain.sampling import log_density
from jko.config import Config
from jko.core.device import require_device
from jko.disk.checkpoint import BlockCheckpoints, remove_checkpoint
from jko.disk.commit import committing, read_commit
from jko.disk.layout import name_of
from jko.disk.weights import chain_of, load_start, save_block
from jko.energies.scheme import LogDensity
from jko.maps.invertible import InvertibleBlock
from jko.preparation.facts import DataFacts
from jko.training.block_trainer import FitResult
from jko.training.chain_trainer import first_block, fit_next
from jko.training.listener import BlockBegun, BlockResumed, Listener
from tasks.adapters.store.chain_store import ChainStore
from tasks.options import DURABLE, skipped
from tasks.push import restore_samples


@task(name="train", task_run_name="block-{k}-train", **DURABLE)
def train_block(store: ChainStore, k: int, *, listener: Listener) -> str | State[str]:
    """Train block k, on from its checkpoint if there is one, and stage its weights.

    They become true with their samples (push).
    """
    name = name_of(k, store.fingerprints[k])
    # committed blocks were verified when the chain was arranged under its lock
    for folder, verify in ((store.folder(k), False), (store.staged(k), True)):
        commit = read_commit(folder, verify=verify)
        if commit is not None and commit.fingerprint == store.fingerprints[k]:
            remove_checkpoint(
                store.layout.checkpoint(k, store.fingerprints[k])
            )  # a kill may have come before that
            return skipped(f"block {k} is already trained ({name})", name)
    require_device(store.config)
    torch.set_num_threads(store.config.runtime.threads)
    restore_samples(store, k - 1)
    train = store.rows(k - 1, "train")
    validation = store.particles(k - 1, "validation")
    block = starting_block(store, k)
    entering = entering_density(store, k)
    step = step_of(store.config, block.dim, entering)
    start = block.state_of(validation)
    density = start.new_zeros(len(start)) if entering is None else entering(start)
    level = float(step.energy.energies(start, density).total)
    constant = reference_constant(store.config, store.facts, validation) if k == 1 else None
    listener.tell(BlockBegun(k, store.config, level, constant))
    checkpoints = BlockCheckpoints(
        store.config, store.layout, k, store.fingerprints[k], block=block,
        on_resume=lambda iteration: listener.tell(BlockResumed(k, iteration)),
    )  # fmt: skip
    result = fit_next(
        store.config, k, block, train, validation, step=step, checkpoints=checkpoints, listener=listener
    )
    stage(store, k, trained=(block, result))
    remove_checkpoint(store.layout.checkpoint(k, store.fingerprints[k]))
    return name


def entering_density(store: ChainStore, k: int) -> LogDensity | None:
    """Log p_{k−1} where the functional needs it: back through the blocks before to the start."""
    facts, law = store.facts, start_law(store.config)
    functional = functional_of(store.config, facts.dim)
    if law is None or functional is None or not functional.needs_density:
        return None
    blocks = [store.block(j) for j in range(1, k)]
    before = chain_of(store.config, facts, blocks)

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


def starting_block(store: ChainStore, k: int) -> InvertibleBlock:
    """The weights of ``start``, else with ``warm_start`` the previous block's, else the identity."""
    facts = store.facts
    size: dict[str, int] = {"dim": facts.dim, "context": facts.context}
    if start := store.config.start_of(k):
        return load_start(store.layout, k, start, new_block(store.config, k, **size))
    previous = store.block(k - 1) if store.config.starts_warm(k) else None
    return first_block(store.config, k, **size, previous=previous)


def stage(
    store: ChainStore,
    k: int,
    *,
    trained: tuple[InvertibleBlock, FitResult],
) -> None:
    """Commit the trained weights and the training curve to the run folder."""
    block, result = trained
    with committing(store.staged(k), store.fingerprints[k], {}) as folder:
        save_block(folder, store.config, k, block, result)
