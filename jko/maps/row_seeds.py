"""Probes that go by the row and not by its place: a row's numbers are a function of its own seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from jko.core.seeds import generator
from jko.maps.invertible import InvertibleBlock, Probes

#: what probes of a block's rows are drawn from
ProbeSource = torch.Generator | Callable[[InvertibleBlock, Tensor], Probes | None]


@dataclass(frozen=True)
class RowSeeds:
    """A seed for each of some rows: equal seeds give equal probes, in any order and company.

    Args:
        seeds: one for each row.
    """

    seeds: tuple[int, ...]

    def probes(self, k: int, block: InvertibleBlock, x: Tensor) -> Probes | None:
        """Probes of block k for rows x, shape (rows, d); ``None`` where it uses none."""
        rows = x.detach().cpu()
        each = []
        for i, seed in enumerate(self.seeds):
            own = block.draw_probes(rows[i : i + 1], generator(seed, k, "probes"))
            if own is None:
                return None
            each.append(own)
        levels = [own.levels for own in each if own.levels is not None]
        return Probes(
            torch.cat([own.vectors for own in each], dim=1).to(x.device),
            torch.cat(levels, dim=1).to(x.device) if levels else None,
        )


def probe_source(seed: int | RowSeeds, k: int) -> ProbeSource:
    """What the probes of block k are drawn from: one seed for all rows together, or one for each."""
    return partial(seed.probes, k) if isinstance(seed, RowSeeds) else generator(seed, k, "probes")
