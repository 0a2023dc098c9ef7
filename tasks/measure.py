"""Measure a committed block on validation rows."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import torch
from prefect import task

from jko.config import Config
from jko.errors import NumericalError
from jko.measures import measure_block as block_figures
from tasks.adapters.commit import read_json, write_json
from tasks.adapters.layout import Layout
from tasks.adapters.store import load_block, read_facts, read_particles, read_samples
from tasks.options import DURABLE, skipped


@task(name="measure", task_run_name="block-{k}-measure", **DURABLE)
def measure_block(config: Config, layout: Layout, chain: tuple[str, ...], k: int) -> Any:
    """Write the figures of block k; after its commit, so a kill here costs no training."""
    path = layout.measures(k, chain[k])
    figures = read_json(path)
    if figures is None or figures.get("settings") != measured_with(config):
        torch.set_num_threads(config.runtime.threads)
        figures = {**measure(config, layout, chain, k), "settings": measured_with(config)}
        write_json(path, figures)
        check_inversion(config, k, figures)
        return figures
    check_inversion(config, k, figures)
    return skipped(f"block {k} is already measured", figures)


def measured_with(config: Config) -> dict[str, int]:
    """The settings that change what is measured."""
    return {"rows": config.measure.rows, "critic_centres": config.measure.critic_centres}


def measure(config: Config, layout: Layout, chain: tuple[str, ...], k: int) -> dict[str, Any]:
    """The figures of :class:`jko.measures.BlockFigures`; nan becomes null."""
    rows = config.measure.rows

    def held_out(name: str, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return torch.from_numpy(read_samples(layout, k, chain[k], name)[:rows]).to(dtype)

    block = load_block(layout, config, k, chain[k], read_facts(layout, chain[0]).dim)
    figures = block_figures(
        block,
        read_particles(layout, config, k - 1, chain[k - 1], "validation")[:rows],
        read_particles(layout, config, k, chain[k], "validation")[:rows],
        log_det=held_out("validation_log_det"),
        log_det_se=held_out("validation_log_det_se"),
        total_log_det=held_out("validation_log_det_total"),
        critic_centres=config.measure.critic_centres,
    )
    values = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in asdict(figures).items()
    }
    return {"step_size": block.step_size, **values}


def check_inversion(config: Config, k: int, figures: dict[str, Any]) -> None:
    """Stop a run whose block cannot be inverted.

    Raises:
        NumericalError: the round trip is off by more than ``measure.inversion_limit``.
    """
    error = figures["inversion_error"]
    if error is None or error > config.measure.inversion_limit:
        raise NumericalError(
            "the block does not invert", block=k, value=math.nan if error is None else error,
            bound=config.measure.inversion_limit,
            remedy="raise solver.steps or lower the step size (measure.inversion_limit is the bound)",
        )  # fmt: skip
